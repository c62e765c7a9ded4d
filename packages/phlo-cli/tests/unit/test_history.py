"""Old runs are removed, and what is known of assets and partitions stays."""

import shutil
import sqlite3
import time
from contextlib import closing

import pytest
from dagster import RunsFilter
from phlo.config import get_settings, reset_settings
from phlo.orchestration.dagster_private import SCHEDULE_TAG
from phlo.orchestration.instance import open_instance
from phlo_cli.report.runs import read_runs

PROJECT = """
    import dagster as dg

    @dg.asset(
        partitions_def=dg.DailyPartitionsDefinition("2025-01-01", end_date="2025-01-06"),
        freshness_policy=dg.FreshnessPolicy.time_window(fail_window=__import__("datetime").timedelta(1)),
    )
    def days() -> None: ...

    @dg.asset_check(asset=days)
    def is_whole() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=True)

    @dg.asset(deps=[days])
    def whole() -> None: ...

    @dg.asset
    def broken() -> None:
        raise ValueError("no")
"""
RUNS = (
    *(("days", "--partition", f"2025-01-0{n}") for n in (1, 2, 3, 1)),
    ("whole",), ("whole",), ("broken",), ("broken",),
)  # fmt: skip
"""Those at 0, 4 and 6 are made good, or wrong, by a later one."""
SUPERSEDED = [0, 4, 6]


@pytest.fixture(scope="module")
def made_once(tmp_path_factory):
    """Folder of the history that the first test makes, and its run ids."""
    return tmp_path_factory.mktemp("made") / "dagster", []


@pytest.fixture
def run_ids(phlo_project, phlo, monkeypatch, made_once):
    """Run ids of a project, all of which ended 100 days ago."""
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    phlo_project.write("workflows/days.py", PROJECT)
    (made, ids), home = made_once, get_settings().state_dir / "dagster"
    if made.exists():
        shutil.copytree(made, home)
        return ids
    ids += [phlo("materialize", *arguments, "--json").json["run_id"] for arguments in RUNS]
    age(100)
    shutil.copytree(home, made)
    return ids


def age(days):
    moment = time.time() - days * 86400
    file = get_settings().state_dir / "dagster/history/runs.db"
    with closing(sqlite3.connect(file)) as database:
        database.execute(
            "UPDATE runs SET start_time = ?, end_time = ?, "
            "create_timestamp = datetime(?, 'unixepoch'), "
            "update_timestamp = datetime(?, 'unixepoch')",
            [moment] * 4,
        )
        database.commit()


def what_is_known(phlo):
    missing = phlo("status", "--missing", "--json").json
    return phlo("status", "--json").json, missing, phlo("status", "--failed", "--json").json


def asked_by_a_schedule(run_ids):
    with open_instance(get_settings()) as instance:
        for run_id in run_ids:
            instance.add_run_tags(run_id, {SCHEDULE_TAG: "nightly"})


def logs_left():
    return {file.stem for file in get_settings().state_dir.glob("dagster/history/runs/*-*.db")}


def test_old_runs_go_and_what_they_made_stays_known(run_ids, phlo):
    before = what_is_known(phlo)
    would = phlo("maintain", "--dry-run").out
    assert "Would remove 3 old runs and 5 logs of others." in would
    assert logs_left() == set(run_ids)
    assert "Removed 3 old runs and 5 logs of others." in phlo("maintain").out
    assert what_is_known(phlo) == before
    assert [row["partition"] for row in before[1]] == ["2025-01-04", "2025-01-05"]
    with open_instance(get_settings()) as instance:
        gone = [n for n, run_id in enumerate(run_ids) if not instance.get_run_by_id(run_id)]
    assert gone == SUPERSEDED
    assert logs_left() == set()

    assert phlo("logs", "--json").json == []
    told = phlo("logs", "--run-id", run_ids[1]).out
    assert told == "No run has logged anything like that. What runs log is kept for 90 days.\n"
    assert phlo("logs", "--run-id", run_ids[0]).code == 2
    assert logs_left() == set()  # looking makes none anew
    assert "old run" not in phlo("maintain").out

    assert sorted(phlo("backfill", "days", "--missing", "--json").json["done"]) == [
        "2025-01-04",
        "2025-01-05",
    ]
    assert {line["partition"] for line in phlo("logs", "--json").json} == {
        "2025-01-04",
        "2025-01-05",
    }


def test_the_first_run_of_a_schedule_stays_since_it_tells_where_the_schedule_began(run_ids, phlo):
    asked_by_a_schedule(run_ids[4:8])
    assert "Removed 2 old runs and 6 logs of others." in phlo("maintain").out
    with open_instance(get_settings()) as instance:
        chosen = RunsFilter(tags={SCHEDULE_TAG: "nightly"})
        first = instance.get_run_records(chosen, limit=1, ascending=True)
    assert [record.dagster_run.run_id for record in first] == run_ids[4:5]


def test_a_report_tells_no_error_of_a_run_whose_log_is_gone(run_ids, phlo):
    phlo("maintain")
    with open_instance(get_settings()) as instance:
        rows = read_runs(instance)
    assert [row.error for row in rows if row.status == "failure"] == [""]
    assert logs_left() == set()


@pytest.mark.parametrize("keep", ["101", "0"])
def test_younger_runs_stay(run_ids, phlo, monkeypatch, keep):
    monkeypatch.setenv("PHLO_HISTORY_KEEP_DAYS", keep)
    reset_settings()
    assert "old run" not in phlo("maintain").out
    assert logs_left() == set(run_ids)


def test_runs_that_go_on_and_a_history_of_somebody_else_stay(run_ids, phlo, monkeypatch, tmp_path):
    file = get_settings().state_dir / "dagster/history/runs.db"
    with closing(sqlite3.connect(file)) as database:
        database.execute("UPDATE runs SET status = 'STARTED' WHERE run_id = ?", run_ids[:1])
        database.commit()
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    assert "old run" not in phlo("maintain").out
    monkeypatch.delenv("DAGSTER_HOME")
    assert "Removed 2 old runs and 5 logs of others." in phlo("maintain").out
    assert logs_left() == {run_ids[0]}
