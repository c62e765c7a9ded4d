"""`phlo doctor` and `materialize --dry-run` tell of trouble before it comes."""

from collections import namedtuple
from datetime import UTC, datetime, timedelta

import pytest
from phlo import lake
from phlo.folders import PLANS
from phlo_cli import examinations
from phlo_cli.branch_plans import BranchPlan, read_plans, write_plan
from phlo_cli.lake_branches import open_branches
from phlo_cli.project_settings import require_project

SOURCE = """
    import pandera.pandas as pa
    from phlo_dlt import phlo_ingestion
    from phlo_quality import CountCheck, FreshnessCheck, PatternCheck, RangeCheck, phlo_quality

    class Events(pa.DataFrameModel):
        id: str = pa.Field(unique=True)
        value: float = pa.Field(ge=0)

    @phlo_ingestion(
        table_name="events", unique_key="id", validation_schema=Events, group="api",
        max_retries=0,
    )
    def events(partition_date: str):
        if partition_date == "2025-01-02":
            raise ZeroDivisionError
        return [{"id": partition_date, "value": 1.0}]

    @phlo_quality(
        table="bronze.events",
        checks=[
            CountCheck(min_count=1),
            RangeCheck(column="valeu", min_value=0),
            PatternCheck(column="value", pattern="x"),
            FreshnessCheck("_phlo_ingested_at", 24),
        ],
    )
    def events_quality():
        ...
"""
GOOD = SOURCE.replace("valeu", "value").replace(
    'PatternCheck(column="value"', 'PatternCheck(column="id"'
)
GOOD = GOOD.replace('pattern="x"', 'pattern="20.*"')


@pytest.fixture
def project(phlo_project):
    phlo_project.write("workflows/events.py", GOOD)
    phlo_project.set(PHLO_START_DATE="2025-01-01")
    return phlo_project


def findings(phlo):
    return {row["subject"]: row for row in phlo("doctor", "--json").json}


def test_checks_over_wrong_columns_and_types_are_told_before_a_row_is_loaded(project, phlo):
    project.write("workflows/events.py", SOURCE)
    found = findings(phlo)["checks"]
    assert found["status"] == "failed"
    assert "RangeCheck__valeu: bronze.events has no column 'valeu'; check" in found["message"]
    assert "PatternCheck__value: Column 'value' of bronze.events holds" in found["message"]
    assert "FreshnessCheck" not in found["message"]

    dry = phlo("materialize", "events", "--partition", "2025-01-01", "--dry-run")
    assert dry.code == 1
    assert "RangeCheck__valeu of bronze.events cannot run" in dry.out
    told = phlo("materialize", "events", "--dry-run", "--json")
    assert (told.code, len(told.json["problems"])) == (1, 2)


def test_a_column_that_an_earlier_load_stored_is_there_for_checks(project, phlo):
    assert phlo("materialize", "events", "--partition", "2025-01-01").code == 0
    dropped = GOOD.replace("    value: float = pa.Field(ge=0)\n", "")
    project.write("workflows/events.py", dropped)
    assert findings(phlo)["checks"]["status"] == "ok"


def test_a_healthy_project_says_so_of_each(project, phlo):
    assert phlo("materialize", "events", "--partition", "2025-01-01").code == 0
    found = findings(phlo)
    for name in ("versions", "checks", "clock", "locks", "backfills", "branches"):
        assert found[name]["status"] == "ok", found[name]


def test_a_version_that_does_not_fit_is_named(project, monkeypatch):
    needs = {"phlo-dlt": ["dlt>=99", "nothing-like-that", "polars>=99; extra == 'polars'"]}
    monkeypatch.setattr(examinations.metadata, "requires", lambda name: needs.get(name))
    found = examinations.examine_versions()
    assert found.message.startswith("phlo-dlt needs dlt >=99, not ")
    assert found.message.endswith("phlo-dlt needs nothing-like-that, which is not installed")


@pytest.mark.parametrize(("free", "status"), [(150, "failed"), (1_500, "note")])
def test_a_disk_that_fills_is_told_in_time(project, monkeypatch, free, status):
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(examinations.shutil, "disk_usage", lambda _: usage(free * 1_000_000))
    found = examinations.examine_disk()
    assert (found.status, found.message.split(" are ")[0]) == (status, f"{free:,} MB")


def test_a_clock_behind_the_newest_snapshot_is_told(project, phlo, monkeypatch):
    assert phlo("materialize", "events", "--partition", "2025-01-01").code == 0

    class Behind(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) - timedelta(hours=2)

    monkeypatch.setattr(examinations, "datetime", Behind)
    found = examinations.examine_clock()
    assert found.status == "failed"
    assert " s behind the catalog" in found.message


def test_an_unfinished_backfill_is_told_with_its_cure(project, phlo):
    days = ("--start-date", "2025-01-01", "--end-date", "2025-01-02")
    assert phlo("backfill", "events", *days).code == 1
    found = findings(phlo)["backfills"]
    assert (found["status"], found["hint"]) == ("note", "phlo backfill --resume")
    assert "left 1 partition of 2" in found["message"]


def test_plans_and_branches_left_over_are_told(project, phlo):
    assert phlo("materialize", "events", "--partition", "2025-01-01").code == 0
    open_branches().create_branch("plan-0badc0de", "main")
    past = datetime.now(UTC) - timedelta(hours=1)
    plan = BranchPlan(
        "3f0c5a1e", "main", ("events",), None, "r", past.isoformat(), past.isoformat()
    )
    write_plan(require_project(), plan)
    found = findings(phlo)["branches"]
    assert found["message"] == (
        "expired plans: 3f0c5a1e; branches of plans that are no longer there: plan-0badc0de"
    )
    assert found["hint"] == "phlo plan discard 3f0c5a1e; phlo branch delete plan-0badc0de"


def test_what_goes_while_it_is_looked_at_is_not_told(project, tmp_path):
    plans = PLANS.path(require_project().lake_dir)
    plans.mkdir(parents=True, exist_ok=True)
    (plans / "applied-meanwhile.json").symlink_to(tmp_path / "gone")

    assert read_plans(require_project()) == []
    assert not examinations._is_older(tmp_path / "gone", datetime.now(UTC))


def test_marks_of_killed_runs_are_told(project):
    marks = require_project().state_dir / "runs"
    marks.mkdir(parents=True)
    (marks / "dead").touch()
    assert examinations.examine_locks().message == "1 run ended without a word"


@pytest.mark.integration
def test_a_catalog_in_a_database_server_tells_its_time(project, postgres_database):
    address = postgres_database
    login = f"{address.user}:{address.password.get_secret_value()}"
    place = f"{address.host}:{address.port}/{address.database}"
    project.set(PHLO_ICEBERG_CATALOG_URI=f"postgresql+psycopg://{login}@{place}")
    store = lake.open_lake().store
    at = store.catalog_time()
    assert abs((at - datetime.now(UTC)).total_seconds()) < 30
    assert examinations.examine_clock() == "this machine's clock agrees with the catalog"
    store.catalog.engine.dispose()
