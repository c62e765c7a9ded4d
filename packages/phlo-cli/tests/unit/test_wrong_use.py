"""Commands that fail before their run: what they print, and for whom."""

import json
import os
import subprocess
import sys

import pytest
from phlo_cli.main import main


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["materialize", ""], 2),
        (["materialize", ","], 2),
        (["materialize", "nothing_of_that_name"], 2),
        (["materialize", "whole", "--select", ""], 2),
        (["materialize", "whole", "--from-staged", ""], 2),
        (["materialize", "whole", "--no-such-option"], 2),
        (["backfill"], 2),
        (["config", "show", "NOPE"], 2),
        (["catalog", "tables", "--namespace", "nope"], 2),
    ],
)
def test_json_has_the_error_and_the_exit_code_is_that_of_wrong_use(
    plain_project, capsys, arguments, code
):
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--json"])
    assert ended.value.code == code
    out, err = capsys.readouterr()
    assert json.loads(out)["error"]["message"]
    assert err.startswith("Error: ")


def test_json_of_a_command_that_succeeds_is_as_ever(plain_project, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["status", "--json"])
    assert ended.value.code in (None, 0)
    assert isinstance(json.loads(capsys.readouterr().out), list)


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_an_output_that_lacks_a_sign_is_no_failure(phlo_project, encoding):
    phlo_project.write("workflows/a.py", "import dagster as dg\n@dg.asset\ndef one(): ...\n")
    ended = subprocess.run(
        [sys.executable, "-m", "phlo_cli", "materialize", "one"],
        env=os.environ | {"PYTHONIOENCODING": encoding},
        capture_output=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr


def test_a_verbose_error_shows_where_and_has_the_same_json_and_exit_code(plain_project, phlo):
    answer = phlo("--verbose", "materialize", "nope", "--json")
    assert answer.code == 2
    assert json.loads(answer.out)["error"]["type"] == "AssetNotFoundError"
    assert "Traceback" in answer.err
