"""The flights example from decorator to published mart, held against the CSV files alone."""

import shutil
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from phlo_cli.backfill import BackfillStore, plan_backfill, run_backfill
from phlo_cli.lineage import Column
from phlo_cli.location import open_location
from phlo_cli.names import select
from phlo_cli.plan import build_plan
from phlo_cli.project_index import load_index
from phlo_cli.report.gather import gather_report
from phlo_cli.report.page import draw_page
from phlo_cli.run import materialize_assets
from pyiceberg.catalog import load_catalog

EXAMPLE = Path(__file__).parents[2] / "examples" / "flights"
DAYS = ("2013-01-01", "2013-01-02")
DIMENSIONS = {"airlines": 16, "airports": 1458, "planes": 3322}

ALL_CELLS = (
    "SELECT year, month, day, dep_time, sched_dep_time, CAST(dep_delay AS DOUBLE), arr_time, "
    "sched_arr_time, CAST(arr_delay AS DOUBLE), carrier, flight, tailnum, origin, dest, "
    "CAST(air_time AS DOUBLE), CAST(distance AS DOUBLE), hour, minute, epoch(time_hour) "
    "FROM flights"
)


@pytest.fixture
def location(phlo_project, postgres_database):
    """The example in a folder of its own, publishing to a real PostgreSQL."""
    shutil.copytree(EXAMPLE / "workflows", phlo_project.root / "workflows", dirs_exist_ok=True)
    return open_location()


def run(location, *names, partition=None):
    return materialize_assets(
        location, build_plan(location, select(location, names), partition=partition)
    )


def read(location, table: str) -> pa.Table:
    """A table as someone sees it who has pyiceberg alone."""
    state = location.project.settings.state_dir
    catalog = load_catalog(
        "lake",
        type="sql",
        uri=f"sqlite:///{state / 'catalog.db'}",
        warehouse=(state / "warehouse").as_uri(),
    )
    found = catalog.load_table(table).scan().to_arrow()
    catalog.engine.dispose()
    return found


def oracle(flights: pa.Table, sql: str) -> list[tuple]:
    """Rows of SQL over the CSV's flights, by DuckDB alone."""
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.register("flights", flights)
    return connection.execute(sql).fetchall()


def csv_flights() -> pa.Table:
    from workflows.ingestion.nyc.source import read_csv

    return read_csv("flights")


def snapshots(location) -> dict[str, int]:
    return {
        str(name): location_store(location).load(name).snapshot_id
        for name in location_store(location).list_tables()
    }


def location_store(location):
    from phlo.lake import open_lake

    return open_lake().store


@pytest.mark.integration
@pytest.mark.timeout(600)
def test_two_days_become_published_marts_and_a_rerun_changes_nothing(location, postgres_database):
    runs = [run(location, *DIMENSIONS)]
    runs += [run(location, "flights", "weather", partition=day) for day in DAYS]
    runs += [run(location, "tag:dbt,group:publishing", partition=DAYS[-1])]
    assert [r.errors for r in runs] == [()] * 4
    assert all(r.is_ok for r in runs)

    assert {n: read(location, f"bronze.{n}").num_rows for n in DIMENSIONS} == DIMENSIONS
    flights = read(location, "bronze.flights")
    days = " WHERE month = 1 AND day IN (1, 2) ORDER BY ALL"
    assert oracle(flights, ALL_CELLS + days) == oracle(csv_flights(), ALL_CELLS + days)
    assert flights.num_rows == 842 + 943

    mart = read(location, "marts.mrt_daily_carrier_punctuality")
    per_day = "SELECT carrier, day, count(*) FROM flights WHERE month = 1 AND day <= 2 GROUP BY ALL"
    assert sorted(
        (r["carrier"], r["flight_date"].day, r["scheduled_flights"]) for r in mart.to_pylist()
    ) == sorted(oracle(csv_flights(), per_day))

    with postgres_database.connect() as connection:
        published = connection.execute(
            "SELECT carrier, flight_date, scheduled_flights FROM marts.daily_carrier_punctuality"
        ).fetchall()
    assert sorted(published) == sorted(
        (r["carrier"], r["flight_date"], r["scheduled_flights"]) for r in mart.to_pylist()
    )

    _assert_lineage_and_report(location)

    before = snapshots(location)
    again = [run(location, *DIMENSIONS)]
    again += [run(location, "flights", "weather", partition=day) for day in reversed(DAYS)]
    assert all(r.is_ok for r in again)
    assert snapshots(location) == before
    accounts = {a.label: a.rows for r in again for a in r.assets}
    assert accounts["bronze.flights"]["unchanged"] == 842
    assert accounts["bronze.flights"]["updated"] == 0


def _assert_lineage_and_report(location):
    """Assert that lineage leads from source field to mart, and the report counts as pyiceberg."""
    report = gather_report(
        location.project.settings, load_index(location.project.settings), location.instance
    )
    above = report.lineage.columns_above(
        Column("postgres:marts.daily_carrier_punctuality", "avg_arrival_delay_minutes")
    )
    assert list(map(str, above)) == [
        "marts.mrt_daily_carrier_punctuality.avg_arrival_delay_minutes",
        "gold.daily_carrier_performance.avg_arrival_delay_minutes",
        "silver.fct_flights.arrival_delay_minutes",
        "bronze.stg_flights.arrival_delay_minutes",
        "bronze.flights.arr_delay",
        "source:bronze.flights.arr_delay",
    ]
    shown = {table.label: table.state.rows for table in report.tables if table.state.table}
    assert shown == {name: read(location, name).num_rows for name in shown}
    assert len(shown) == 15
    assert [(mart.target, mart.charts[0].by) for mart in report.marts] == [
        ("marts.daily_airport_punctuality", "flight_date"),
        ("marts.daily_carrier_punctuality", "flight_date"),
    ]
    assert len(draw_page(report).encode()) < 200_000


@pytest.mark.integration
@pytest.mark.timeout(600)
def test_bad_rows_of_one_day_fail_the_run_and_leave_the_table(location, monkeypatch):
    import workflows.ingestion.nyc.flights as module

    assert run(location, "flights", partition=DAYS[0]).is_ok
    before = read(location, "bronze.flights")

    def with_bad_rows(name, partition_date):
        rows = read_day(name, partition_date).to_pylist()
        rows[3]["distance"] = -7.0
        rows[5]["origin"] = "XXX"
        return rows

    read_day = module.read_day
    monkeypatch.setattr(module, "read_day", with_bad_rows)
    bad = run(location, "flights", partition=DAYS[1])

    assert not bad.is_ok
    (error,) = bad.errors
    assert "distance" in error.message
    assert "origin" in error.message
    assert "2 rows of bronze.flights break Flights" in error.message
    (outcome,) = bad.assets
    assert outcome.status == "failed"
    after = read(location, "bronze.flights")
    assert after.sort_by("_dlt_id").equals(before.sort_by("_dlt_id"))
    quarantined = read(location, "quarantine.bronze__flights").to_pylist()
    assert len(quarantined) == 2

    monkeypatch.setattr(module, "read_day", read_day)
    assert run(location, "flights", partition=DAYS[1]).is_ok
    assert read(location, "bronze.flights").num_rows == 842 + 943


@pytest.mark.slow
@pytest.mark.integration
@pytest.mark.timeout(3000)
def test_the_whole_year_equals_the_csv(location):
    planned = plan_backfill(
        location, select(location, ["flights"]), start="2013-01-01", end="2013-12-31"
    )
    ended = run_backfill(location, planned, BackfillStore(location.project.settings))
    assert ended.pending == ()
    totals = (
        "SELECT count(*), count(DISTINCT (carrier, flight, time_hour)), sum(distance), "
        "sum(CAST(dep_delay AS DOUBLE)), sum(CAST(air_time AS DOUBLE)), sum(flight), "
        "sum(epoch(time_hour)), count(tailnum) FROM flights"
    )
    flights = read(location, "bronze.flights")
    assert oracle(flights, totals) == oracle(csv_flights(), totals)
    assert flights.num_rows == 336_776
    history = location_store(location).history(select_table("bronze.flights"))
    assert len(history) == 365
    for summary in (s.summary for s in history):
        assert int(summary["phlo.extracted"]) == int(summary["phlo.inserted"])


def select_table(name: str):
    from phlo.names import TableName

    return TableName.parse(name)


BROKEN = """
    import dagster as dg

    day = dg.DailyPartitionsDefinition("2013-01-01", end_date="2014-01-01")

    @dg.asset(partitions_def=day)
    def airlines() -> None:
        raise ValueError("The data package is not installed.")

    @dg.asset
    def airports() -> None: ...

    @dg.asset
    def planes() -> None: ...
"""


def test_the_demo_stops_at_what_failed_and_claims_nothing(phlo_project, capsys, monkeypatch):
    phlo_project.write("workflows/broken.py", BROKEN)
    monkeypatch.syspath_prepend(str(EXAMPLE))
    import demo

    assert demo.main() == 1
    out = capsys.readouterr().out
    assert "Stopped: airlines failed: ValueError: The data package is not installed." in out
    assert "phlo backfill" not in out
    assert "up to date" not in out


def test_the_sample_in_the_project_is_the_first_week_of_the_package(location):
    location.project
    from workflows.ingestion.nyc import source

    source.read_csv.cache_clear()
    whole = {name: source.read_csv(name) for name in (*DIMENSIONS, "flights", "weather")}
    source.read_csv.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(source, "data_folder", lambda: EXAMPLE / "data")
        sample = {name: source.read_csv(name) for name in whole}
    source.read_csv.cache_clear()
    for name in ("flights", "weather"):
        of_week = pc.and_(pc.equal(whole[name]["month"], 1), pc.less_equal(whole[name]["day"], 7))
        whole[name] = whole[name].filter(of_week).cast(sample[name].schema)
    assert all(sample[name].equals(whole[name]) for name in whole)
