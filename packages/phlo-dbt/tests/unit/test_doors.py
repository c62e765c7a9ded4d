"""dbt that phlo did not start: at a prompt, in an editor, by `phlo dbt`."""

import json
import signal
from contextlib import suppress
from functools import partial

import pytest
from dbt.cli.main import dbtRunner
from phlo.config import reset_settings
from phlo.names import TableName
from phlo_dbt.command import run_command

SUITE = """
from phlo_quality import RangeCheck, phlo_quality


@phlo_quality(table="silver.days", checks=[RangeCheck(column="n", max_value=5)])
def days(): ...
"""
ALIASED = """
{{ config(materialized='incremental' if var('inc', false) else 'table', alias=var('al', 'other')) }}
select {{ var('n', 1) }} as n
"""


def plain_dbt(dbt_project, *arguments: str):
    """Run dbt as at a prompt in the project's folder, by the profile that `phlo dbt init` wrote."""
    if not (dbt_project.dbt_dir / "profiles.yml").exists():
        run_command(["init"])
    folder = str(dbt_project.dbt_dir)
    quiet = ["--log-level", "none", "--no-send-anonymous-usage-stats"]
    folders = ["--project-dir", folder, "--profiles-dir", folder]
    return dbtRunner().invoke([*quiet, *arguments, *folders])


def phlo_dbt(dbt_project, *arguments: str):
    class Result:
        success = run_command(["--log-level", "none", *arguments]) == 0

    return Result


@pytest.fixture(params=[plain_dbt, phlo_dbt])
def door(request, dbt_project):
    return partial(request.param, dbt_project)


def write_days(dbt_project, n: int) -> None:
    dbt_project.write("models/silver/days.sql", f"select {n} as n")
    dbt_project.write(
        "models/gold/read.sql", "select n, '{{ var(\"partition_date\") }}' as day from silver.days"
    )
    dbt_project.write(
        "models/silver/s.yml",
        "models: [{name: days, columns: [{name: n, data_tests: "
        "[{accepted_values: {arguments: {values: [1, 9], quote: false}}}]}]}]",
    )


def test_what_passes_is_published_and_what_does_not_fails_the_command(dbt_project, door, capsys):
    write_days(dbt_project, 1)
    dbt_project.project.write("workflows/quality/days.py", SUITE)
    assert door("build", "--select", "days").success
    assert dbt_project.rows("silver.days") == [(1,)]
    assert door("run", "--select", "read").success
    [(n, day)] = dbt_project.rows("gold.read")
    assert n == 1
    assert len(day) == len("2025-01-01")

    write_days(dbt_project, 2)  # refused by dbt's test
    assert not door("build").success
    assert "days was not published: the test accepted_values" in capsys.readouterr().err
    write_days(dbt_project, 9)  # refused by the suite
    assert not door("build").success
    assert "days was not published: the check days__RangeCheck__n" in capsys.readouterr().err
    assert dbt_project.rows("silver.days") == [(1,)]
    assert list((dbt_project.root / ".phlo/dbt/runs").iterdir()) == []


INTERRUPTED = """
import os
import signal
import time


def model(dbt, session):
    dbt.ref("days")
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.5)
    return session.sql("select 1 as n")
"""


@pytest.fixture
def _interrupts_raise():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in the background
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_interrupts_raise")
def test_of_a_run_that_is_interrupted_nothing_is_published(dbt_project, door, capsys):
    write_days(dbt_project, 1)
    assert door("build", "--select", "days").success
    write_days(dbt_project, 9)
    dbt_project.write("models/gold/interrupted.py", INTERRUPTED)
    success = False
    with suppress(KeyboardInterrupt):  # plain dbt hands it on as its result
        success = door("build", "--select", "days+").success

    assert not success
    assert "Interrupted: nothing was published." in capsys.readouterr().err
    assert dbt_project.rows("silver.days") == [(1,)]
    assert list((dbt_project.root / ".phlo/dbt/runs").iterdir()) == []


def test_env_var_finds_the_variables_of_the_file_and_the_environment_wins(
    dbt_project, door, monkeypatch, tmp_path
):
    dbt_project.project.write(".env", "SHOP=file\nTOKEN=file\n")
    monkeypatch.setenv("TOKEN", "environment")
    run_command(["init"])
    monkeypatch.chdir(tmp_path.parent)  # above the project, where another program may start dbt
    monkeypatch.delenv("PHLO_PROJECT_DIR")
    reset_settings()
    with (dbt_project.dbt_dir / "dbt_project.yml").open("a") as file:
        file.write("\nvars: {shop: \"{{ env_var('SHOP') }}\"}\n")
    dbt_project.write(
        "models/gold/doors.sql",
        "select '{{ env_var(\"SHOP\") }}' as a, '{{ env_var(\"TOKEN\") }}' as b, "
        "'{{ var(\"shop\") }}' as c",
    )
    if door.func is phlo_dbt:
        monkeypatch.chdir(dbt_project.dbt_dir)
    assert door("run").success
    assert dbt_project.rows("gold.doors") == [("file", "environment", "file")]


def test_variables_reach_the_parse(dbt_project):
    dbt_project.write("models/silver/m.sql", ALIASED)
    for n in (1, 2):
        variables = f"{{n: {n}, inc: true, al: named}}"
        assert phlo_dbt(dbt_project, "run", "--vars", variables).success
    assert dbt_project.rows("silver.named") == [(1,), (2,)]
    assert not dbt_project.project.lake.store.exists(TableName("silver", "other"))


def test_commands_about_files_need_no_project_that_can_be_parsed(dbt_project, capfd):
    dbt_project.write("models/silver/m.sql", "select * from {{ ref('nobody') }}")
    dbt_project.write("packages.yml", "packages: [{local: ../../../own_macros}]")
    dbt_project.project.write("own_macros/dbt_project.yml", "name: own_macros\nversion: '1.0'\n")
    dbt_project.project.write("own_macros/macros/one.sql", "{% macro one() %}1{% endmacro %}")
    packed = "select n + 1 as n from {{ ref('m') }}"
    dbt_project.project.write("own_macros/models/gold/packed.sql", packed)
    dbt_project.write("models/silver/m.sql", "select {{ own_macros.one() }} as n")

    assert run_command(["deps"]) == 0
    assert run_command(["debug"]) == 0
    assert run_command(["--version"]) == 0
    assert "installed:" in capfd.readouterr().out
    assert run_command(["run"]) == 0
    assert dbt_project.rows("silver.m") == [(1,)]
    assert dbt_project.rows("gold.packed") == [(2,)]
    assert run_command(["clean"]) == 0
    assert run_command(["runn"]) == 2
    assert "runn" in capfd.readouterr().err


@pytest.mark.parametrize("option", [["--target-path", "{}"], ["--target-path={}"]])
def test_options_of_the_user_win(dbt_project, tmp_path, option):
    dbt_project.write("models/silver/m.sql", "select 1 as n")
    folder = tmp_path / "earlier"
    words = [word.format(folder) for word in option]
    assert phlo_dbt(dbt_project, "compile", *words).success
    assert (folder / "manifest.json").exists()
    dbt_project.write("models/silver/m.sql", "select 2 as n")
    dbt_project.write("models/silver/other.sql", "select 2 as n")
    assert phlo_dbt(dbt_project, "run", "-s", "state:modified.body", "--state", str(folder)).success
    assert dbt_project.rows("silver.m") == [(2,)]


def test_retry_builds_again_what_was_built_and_not_published(dbt_project):
    door = partial(phlo_dbt, dbt_project)
    write_days(dbt_project, 1)
    dbt_project.write("models/gold/below.sql", "select n + 1 as n from {{ ref('days') }}")
    assert door("build", "-s", "days+").success
    write_days(dbt_project, 2)
    assert not door("build", "-s", "days+").success
    assert dbt_project.rows("silver.days") == [(1,)]
    dbt_project.write("models/silver/days.sql", "select 9 as n")
    assert door("retry").success
    assert dbt_project.rows("silver.days") == [(9,)]
    assert dbt_project.rows("gold.below") == [(10,)]


def test_a_source_without_a_schema_is_no_modified_one(dbt_project, tmp_path, capfd):
    dbt_project.write_guide()
    dbt_project.load_events(("a", 1, 1.0, "x"))
    assert run_command(["--quiet", "run", "-s", "stg_events", "--target-path", str(tmp_path)]) == 0
    listed = ["--quiet", "ls", "-s", "state:modified", "--state", str(tmp_path)]
    assert run_command(listed) == 0
    assert capfd.readouterr().out == ""


def test_a_table_that_is_not_loaded_names_the_command_that_loads_it(dbt_project, capfd):
    dbt_project.write_guide()
    assert run_command(["run", "--select", "stg_events"]) == 1
    output = capfd.readouterr().out
    assert "bronze.events has no load yet: phlo materialize events" in output
    assert "Did you mean" not in output


def test_init_keeps_what_is_there(dbt_project):
    before = (dbt_project.dbt_dir / "dbt_project.yml").read_text()
    assert run_command(["init"]) == 0
    assert (dbt_project.dbt_dir / "dbt_project.yml").read_text() == f"{before}profile: phlo\n"
    (dbt_project.dbt_dir / "profiles.yml").write_text("mine: {}")
    assert run_command(["init"]) == 0
    assert (dbt_project.dbt_dir / "profiles.yml").read_text() == "mine: {}"


GIVES_UP = """
class PanicException(BaseException):
    pass


def give_up():
    raise {error}


def model(dbt, session):
    give_up()
    return session.sql("select 1 as n")
"""


def test_python_models_that_exit_or_panic_fail_and_the_others_are_published(dbt_project, door):
    """dbt waits for ever for a thread that such an error has ended."""
    errors = {"exits": "SystemExit('no data')", "panics": "PanicException('money')"}
    for name, error in errors.items():
        dbt_project.write(f"models/gold/{name}.py", GIVES_UP.format(error=error))
    dbt_project.write("models/gold/fine.sql", "select 1 as n")

    assert not door("build", "--threads", "2").success

    assert dbt_project.rows("gold.fine") == [(1,)]
    (file,) = dbt_project.root.rglob("run_results.json")
    results = json.loads(file.read_text())["results"]
    told = {r["unique_id"].split(".")[-1]: r["message"] for r in results if r["status"] == "error"}
    assert {name: text.splitlines()[-1].strip() for name, text in told.items()} == {
        "exits": "Python model failed: SystemExit: no data",
        "panics": "Python model failed: PanicException: money",
    }
