"""The history of assets read from its files is that which Dagster reads."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime

import pytest
from dagster import DagsterRunStatus, DailyPartitionsDefinition
from phlo.config import get_settings
from phlo.orchestration.instance import open_instance
from phlo_cli.asset_history import read_history
from phlo_cli.history_files_private import read_history_files
from phlo_cli.project_index import load_index
from phlo_cli.status import _day

PROJECT = """
    from datetime import timedelta

    import dagster as dg

    fresh = dg.FreshnessPolicy.time_window(fail_window=timedelta(days=1))
    daily = dg.DailyPartitionsDefinition("2025-01-01", end_date="2025-01-06", timezone="Asia/Tokyo")
    hourly = dg.HourlyPartitionsDefinition("2025-01-01-00:00", end_date="2025-01-02-00:00")

    @dg.asset(partitions_def=daily, freshness_policy=fresh, group_name="a")
    def days(context) -> None:
        context.add_output_metadata({"dagster/row_count": 8, "inserted": 3})
        if context.partition_key == "2025-01-03":
            raise ValueError("no")

    @dg.asset_check(asset=days)
    def passes() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=True, metadata={"status": "skipped"})

    @dg.asset_check(asset=days)
    def warns() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=False, severity=dg.AssetCheckSeverity.WARN)

    @dg.asset_check(asset=days, blocking=True)
    def fails() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=False, metadata={"status": 3})

    @dg.asset(partitions_def=hourly, freshness_policy=fresh, key=["deep", "hours"])
    def hours() -> None: ...

    @dg.asset(freshness_policy=fresh)
    def plain(context) -> None:
        context.add_output_metadata({"dagster/row_count": 8, "note": dg.MetadataValue.json({})})

    @dg.asset(deps=[plain])
    def broken() -> None:
        raise ValueError("no")

    @dg.asset_check(asset=broken)
    def never_run() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=True)

    @dg.asset(partitions_def=dg.StaticPartitionsDefinition(["eu", "us"]))
    def regions() -> None: ...

    @dg.asset
    def never() -> None: ...
"""
RUNS = (
    ("days", "--partition", "2025-01-03"), ("days", "--partition", "2025-01-02"),
    ("deep/hours", "--partition", "2025-01-01-05:00"),
    ("deep/hours", "--partition", "2025-01-01-03:00"),
    ("plain",), ("broken",), ("regions", "--partition", "eu"),
)  # fmt: skip


@pytest.fixture
def project(phlo_project, phlo, monkeypatch):
    """A project that was loaded, and its index."""
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    phlo_project.write("workflows/assets.py", PROJECT)
    assert phlo("status").code == 0
    return load_index(get_settings())


def read_both(index):
    with open_instance(get_settings()) as instance:
        by_dagster = read_history(index, instance)
    return read_history_files(index, get_settings()), by_dagster


def test_files_tell_what_dagster_tells(project, phlo):
    files, by_dagster = read_both(project)
    assert files == by_dagster  # nothing ran yet
    for arguments in RUNS:
        phlo("materialize", *arguments)
    files, by_dagster = read_both(project)
    assert files == by_dagster
    assert files["days"].partitions == {"2025-01-02"}
    assert files["days"].checks == {"passes": "skipped", "warns": "warned", "fails": "failed"}
    assert (files["broken"].run_status, files["days"].row_count) == ("FAILURE", 8)
    assert files["broken"].checks == {"never_run": "not run"}
    states = {row["key"]: row for row in phlo("status", "--json").json}
    assert (states["days"]["state"], states["broken"]["state"]) == ("ok", "failed")
    assert states["deep/hours"]["newest_partition"] == "2025-01-01-05:00"
    assert (states["never"]["state"], states["plain"]["state"]) == ("never", "ok")
    assert (states["days"]["freshness"], states["plain"]["freshness"]) == ("stale", "fresh")


def test_dagster_is_asked_where_files_do_not_tell_all(project, phlo, monkeypatch, tmp_path):
    phlo("materialize", "plain")
    settings = get_settings()
    home = settings.state_dir / "dagster"
    assert read_history_files(project, settings) is not None

    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    assert read_history_files(project, settings) is None
    monkeypatch.delenv("DAGSTER_HOME")

    written = (home / "dagster.yaml").read_text()
    (home / "dagster.yaml").write_text(written + "storage:\n  postgres: {}\n")
    assert read_history_files(project, settings) is None
    (home / "dagster.yaml").write_text(written)

    with open_instance(settings) as instance:
        run = instance.get_runs()[0]
        _set_status(home, DagsterRunStatus.STARTED)
        assert read_history_files(project, settings) is None
        _set_status(home, DagsterRunStatus.SUCCESS)
        assert read_history_files(project, settings) is not None
        instance.wipe_assets([run.asset_selection and next(iter(run.asset_selection))])
    assert read_history_files(project, settings) is None
    assert [row["state"] for row in phlo("status", "--json").json if row["key"] == "plain"]

    (home / "history/runs/index.db").write_bytes(b"no database")
    assert read_history_files(project, settings) is None


def _set_status(home, status):
    with closing(sqlite3.connect(home / "history/runs.db")) as database:
        database.execute("UPDATE runs SET status = ?", [status.value])
        database.commit()


@pytest.mark.parametrize(
    "zone",
    ["UTC", "Europe/Berlin", "America/Sao_Paulo", "Africa/Cairo", "Pacific/Apia", "Asia/Beirut"],
)
def test_days_begin_and_end_as_dagsters_do_or_it_is_asked(zone):
    definition = DailyPartitionsDefinition("2011-12-01", end_date="2019-01-01", timezone=zone)
    days = {}
    for name in definition.get_partition_keys(current_time=datetime(2020, 1, 1, tzinfo=UTC)):
        window = definition.time_window_for_partition_key(name)
        if (day := _day(name, definition.fmt, zone)) is not None:
            days[name] = (day.start, day.end) == (window.start, window.end)
    assert len(days) > 2500
    assert all(days.values()), [name for name, is_same in days.items() if not is_same]
