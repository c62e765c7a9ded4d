"""The project of `phlo init`, from the first load to the quarantine, by the command itself."""

import json
import re
import subprocess
import sys
from contextlib import contextmanager

import pytest
from phlo_testing.processes import own_environment

pytestmark = pytest.mark.xdist_group("command line")  # one test goes on where another ended


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shop") / "my Läden [1] 'x' & {y} $z"
    folder.mkdir()
    phlo(folder, "init", ".")
    return folder


def phlo(folder, *arguments, code=0, **environment):
    done = subprocess.run(
        [sys.executable, "-m", "phlo_cli", *arguments],
        cwd=folder,
        env=own_environment(**environment),
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


def answer(folder, *arguments, code=0, **environment):
    return json.loads(phlo(folder, *arguments, "--json", code=code, **environment).stdout)


def test_the_first_load_is_judged_and_visible(project):
    run = answer(project, "materialize", "orders", "--partition", "2025-01-15")
    (asset,) = run["assets"]
    assert (asset["table"], asset["rows"]["inserted"]) == ("bronze.orders", 100)
    assert {check["status"] for check in run["checks"]} == {"passed"}
    statement = "SELECT count(*) AS n, count(DISTINCT id) AS ids FROM bronze.orders"
    assert answer(project, "query", statement) == [{"n": 100, "ids": 100}]
    (snapshot,) = answer(project, "catalog", "history", "orders")
    assert snapshot["partition"] == "2025-01-15"
    assert snapshot["run"] == run["run_id"][:8]
    assert asset["snapshot_id"] == snapshot["snapshot_id"]
    assert (project / ".phlo" / "warehouse" / "bronze" / "orders" / "metadata").is_dir()


def test_a_backfill_of_one_process_makes_one_snapshot_each_and_a_rerun_none(project):
    days = ("--start-date", "2025-01-15", "--end-date", "2025-01-17")
    ended = answer(project, "backfill", "bronze.orders", *days)
    assert list(ended["done"]) == ["2025-01-15", "2025-01-16", "2025-01-17"]
    history = answer(project, "catalog", "history", "orders")
    assert [row["partition"] for row in history] == ["2025-01-17", "2025-01-16", "2025-01-15"]
    (state,) = answer(project, "status")
    # It was made just now, but its newest partition is of long ago.
    assert (state["rows"], state["state"], state["freshness"]) == (300, "ok", "stale")


def test_processes_that_write_one_table_at_once_all_land(project):
    days = ("--start-date", "2025-02-01", "--end-date", "2025-02-06")
    ended = answer(project, "backfill", "orders", *days, "--parallel", "3")
    assert sorted(ended["done"]) == [f"2025-02-0{day}" for day in range(1, 7)]
    statement = (
        "SELECT count(*) AS n, count(DISTINCT id) AS ids FROM bronze.orders "
        "WHERE _phlo_partition_date >= DATE '2025-02-01'"
    )
    assert answer(project, "query", statement) == [{"n": 600, "ids": 600}]


def test_bad_rows_fail_the_run_by_message_and_stand_in_quarantine(project):
    source = project / "workflows/ingestion/shop/orders.py"
    good = source.read_text()
    source.write_text(good.replace('"cancelled"])', '"lost"])'))
    failed = phlo(project, "materialize", "orders", "--partition", "2025-01-18", code=1)
    source.write_text(good)
    assert "bronze.orders break Orders" in failed.stdout
    assert "Traceback" not in failed.stdout + failed.stderr
    rows = answer(project, "quarantine", "show", "orders", "--limit", "200")
    assert {row["row"]["status"] for row in rows} == {"lost"}
    assert {row["published"] for row in rows} == {False}
    (listed,) = answer(project, "quarantine", "list")
    assert (listed["table"], listed["rows"]) == ("bronze.orders", len(rows))
    statement = "SELECT count(*) AS n FROM bronze.orders WHERE status = 'lost'"
    assert answer(project, "query", statement) == [{"n": 0}]
    assert "breaks status: isin" in phlo(project, "quarantine", "show", "orders").stdout
    refused = phlo(project, "quarantine", "requeue", "orders", "--partition", "2025-01-18", code=1)
    assert "published nothing" in refused.stdout
    assert "--from-staged" in refused.stdout
    assert len(answer(project, "quarantine", "show", "orders", "--limit", "200")) == len(rows)


def test_a_failed_load_is_loaded_again_once_the_schema_is_corrected(project):
    with mended(project / "workflows/schemas/shop.py", "ge=0,", "ge=0, le=150,"):
        failed = phlo(project, "materialize", "orders", "--partition", "2025-01-19", code=1)
        assert "orders break Orders" in failed.stdout
    (command,) = set(
        re.findall("phlo (materialize bronze.orders\\+ --from-staged \\w+)", failed.stdout)
    )
    with mended(project / "workflows/ingestion/shop/orders.py", "return [", "return 1 / 0 and ["):
        (asset,) = answer(project, *command.split())["assets"]
    assert (asset["partition"], asset["rows"]["inserted"]) == ("2025-01-19", 100)
    again = phlo(project, *command.split(), code=1)
    assert "has kept rows" in again.stdout + again.stderr
    # A wrong id is no failed load: no run was begun.
    (state,) = answer(project, "status")
    assert state["state"] == "ok"
    assert "Traceback" not in again.stdout + again.stderr


@pytest.mark.slow
def test_rows_in_quarantine_are_loaded_once_the_schema_is_corrected(project):
    schema = project / "workflows/schemas/shop.py"
    source = project / "workflows/ingestion/shop/orders.py"
    quarantining = 'group="shop",\n    invalid_rows="quarantine",'
    with (
        mended(schema, "ge=0,", "ge=0, le=150,"),
        mended(source, 'group="shop",', quarantining),
    ):
        for day in ("2025-01-21", "2025-01-22"):
            phlo(project, "materialize", "orders", "--partition", day)
    days = "WHERE _phlo_partition_date >= DATE '2025-01-21' AND amount > 150"
    days += " AND _phlo_partition_date <= DATE '2025-01-22'"
    statement = f"SELECT count(*) AS n FROM bronze.orders {days}"
    assert answer(project, "query", statement) == [{"n": 0}]
    waiting = {r["partition"]: r["rows"] for r in answer(project, "quarantine", "list")}
    waiting = {day: rows for day, rows in waiting.items() if day > "2025-01-20"}
    assert len(waiting) == 2

    for day in waiting:
        (run,) = answer(project, "quarantine", "requeue", "orders", "--partition", day)
        assert run["assets"][0]["rows"]["inserted"] == waiting[day]

    assert answer(project, "query", statement) == [{"n": sum(waiting.values())}]
    left = {r["partition"] for r in answer(project, "quarantine", "list")}
    assert left.isdisjoint(waiting)


@contextmanager
def mended(file, old, new):
    """A file in which something else stands for a while."""
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    try:
        yield
    finally:
        file.write_text(text)


def test_the_template_has_tests_that_pass(project):
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"],
        cwd=project,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert "1 passed" in done.stdout, done.stdout + done.stderr
