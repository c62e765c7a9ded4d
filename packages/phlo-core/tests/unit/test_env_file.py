"""`.env` in the environment, which wins."""

import os
import subprocess
import sys

import pytest
from phlo.config import get_settings, reset_settings
from phlo.env_file import is_from_env_file, load_env_file
from phlo.errors import ConfigurationError

READS_THE_ENVIRONMENT = """
    import os

    import dagster as dg

    TOKEN = os.environ["SHOP_ADDRESS"]

    @dg.asset
    def shop() -> None: ...
"""


def test_the_projects_code_finds_the_variables_of_the_file(phlo_project):
    phlo_project.write(".env", "SHOP_ADDRESS=http://shop\nEMPTY=\nexport QUOTED='a b'\nNOTHING\n")
    phlo_project.write("workflows/shop.py", READS_THE_ENVIRONMENT)
    project = phlo_project.load()
    assert project.modules["workflows.shop"].TOKEN == "http://shop"
    assert (os.environ["EMPTY"], os.environ["QUOTED"]) == ("", "a b")
    assert "NOTHING" not in os.environ
    reset_settings()
    assert "SHOP_ADDRESS" not in os.environ


@pytest.mark.parametrize("value", ["from the environment", ""])
def test_the_environment_wins(phlo_project, monkeypatch, value):
    phlo_project.write(".env", "SHOP_ADDRESS=from the file\n")
    monkeypatch.setenv("SHOP_ADDRESS", value)
    load_env_file()
    assert os.environ["SHOP_ADDRESS"] == value
    assert not is_from_env_file("SHOP_ADDRESS")
    reset_settings()
    assert os.environ["SHOP_ADDRESS"] == value


def test_the_environment_wins_in_settings_of_another_case(phlo_project, monkeypatch):
    phlo_project.write(".env", "phlo_timezone=Asia/Tokyo\n")
    monkeypatch.setenv("PHLO_TIMEZONE", "Europe/Berlin")
    assert get_settings().timezone == "Europe/Berlin"


def test_a_variable_that_the_program_changed_is_kept(phlo_project, monkeypatch):
    phlo_project.write(".env", "SHOP_ADDRESS=from the file\n")
    load_env_file()
    monkeypatch.setitem(os.environ, "SHOP_ADDRESS", "changed")
    reset_settings()
    assert os.environ["SHOP_ADDRESS"] == "changed"


def test_a_file_that_is_no_text_is_named(phlo_project):
    (phlo_project.root / ".env").write_bytes(b"NAME=M\xfcller\n")
    with pytest.raises(ConfigurationError, match=r"\.env cannot be read: it is no UTF-8 text"):
        load_env_file()


@pytest.mark.parametrize("home", [None, ".tmp_dagster_home_x", "kept"])
def test_plain_dagster_reads_the_file_and_warns_where_it_keeps_no_history(
    phlo_project, tmp_path, home
):
    """One process after the other, as Dagster starts them: the second one inherits the warning."""
    phlo_project.write(".env", "SHOP_ADDRESS=http://shop\n")
    phlo_project.write("workflows/shop.py", READS_THE_ENVIRONMENT)
    code = (
        "import subprocess, sys, phlo.definitions as d\n"
        "print([key.to_user_string() for key in d.defs.resolve_all_asset_keys()])\n"
        "if sys.argv[1:]:\n"
        "    sys.exit(subprocess.call([sys.executable, '-c', 'import phlo.definitions']))\n"
    )
    homes = {} if home is None else {"DAGSTER_HOME": str(tmp_path / home)}
    done = subprocess.run(
        [sys.executable, "-c", code, "again"],
        env=os.environ | homes,
        cwd=phlo_project.root,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "'shop'" in done.stdout
    assert done.stderr.count("DAGSTER_HOME is not set") == (home != "kept")
    if home != "kept":
        cure = f"export DAGSTER_HOME={phlo_project.root / '.phlo' / 'dagster'}"
        assert cure in done.stderr
        assert (phlo_project.root / ".phlo" / "dagster" / "dagster.yaml").exists()


def test_the_environment_wins_under_dagsters_own_commands_which_let_the_file_win(phlo_project):
    phlo_project.write(".env", "FIRST=file\nSECOND=file\n")
    phlo_project.write(
        "workflows/assets.py",
        """
        import os

        import dagster as dg

        @dg.asset(name=f"first_{os.environ['FIRST']}_second_{os.environ['SECOND']}")
        def one() -> None: ...
        """,
    )
    listed = subprocess.run(
        [sys.executable, "-m", "dagster", "asset", "list", "-m", "phlo.definitions"],
        env=os.environ | {"FIRST": "environment"},
        cwd=phlo_project.root,
        capture_output=True,
        text=True,
        check=True,
    )
    assert listed.stdout.split() == ["first_environment_second_file"]


def test_a_notebook_finds_the_variables_when_it_imports_the_lake(phlo_project):
    phlo_project.write(".env", "OF_A_NOTEBOOK=http://shop\n")
    code = "import phlo.lake, os; print(os.environ['OF_A_NOTEBOOK'])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=phlo_project.root, capture_output=True, text=True
    )
    assert done.stdout == "http://shop\n"
