"""`phlo plan` and `phlo apply`: what a run would change, and the same run published."""

from datetime import UTC, datetime

import pytest
from phlo.config import Settings
from phlo.lake import open_lake, reset_lake, table
from phlo_cli.branch_plans import BranchPlan, read_plans, times, write_plan

EVENTS = """
    import dagster as dg
    import pandera.pandas as pa
    from phlo_dlt import phlo_ingestion
    from workflows import values


    class EventSchema(pa.DataFrameModel):
        id: str
        value: int


    @phlo_ingestion(
        table_name="events", unique_key="id", validation_schema=EventSchema, group="api"
    )
    def events(partition_date: str):
        values.ASKED.append(partition_date)
        return [{"id": id, "value": value} for id, value in values.ROWS.items()]


    @dg.asset_check(asset="dlt_events")
    def warns():
        return dg.AssetCheckResult(passed=False, severity=dg.AssetCheckSeverity.WARN)


    @dg.asset(deps=["bronze__events"])
    def report() -> None: ...
"""


@pytest.fixture
def project(phlo_project):
    phlo_project.write("workflows/ingestion/api/events.py", EVENTS)
    return phlo_project


def deliver(project, **values):
    project.write("workflows/values.py", f"ASKED = []\nROWS = {values!r}\n")


def rows():
    reset_lake()
    found = table("bronze.events").to_arrow().to_pylist()
    return sorted((row["id"], row["value"]) for row in found)


def branches():
    reset_lake()
    return [branch.name for branch in open_lake().store.branches()]


@pytest.fixture
def planned(project, phlo):
    """Rows a and b on main, and a plan that changes a and adds c."""
    deliver(project, a=1, b=2)
    assert phlo("materialize", "events", "--partition", "2025-01-15").code == 0
    deliver(project, a=10, c=3)
    answer = phlo("plan", "events", "--partition", "2025-01-16", "--json")
    assert answer.code == 0, answer.err
    return answer.json


def test_a_plan_tells_what_apply_does_and_no_source_is_asked_again(project, phlo, planned):
    (change,) = planned["tables"]
    assert (change["table"], change["added"], change["changed"], change["removed"]) == (
        "bronze.events",
        1,
        1,
        0,
    )
    assert change["samples"]["added"] == [{"id": "c", "value": 3}]
    assert planned["accounts"]["bronze.events"]["inserted"] == 1
    assert [(c["check"], c["status"], c["is_bad"]) for c in planned["checks"]] == [
        ("warns", "warned", False)  # which keeps nobody from applying it
    ]
    assert rows() == [("a", 1), ("b", 2)]
    assert phlo("plan", "list", "--json").json[0]["plan_id"] == planned["plan_id"]
    deliver(project, never=1)
    applied = phlo("apply", planned["plan_id"][:6], "--json")
    assert applied.code == 0, applied.err
    assert applied.json["tables"] == planned["tables"]
    assert rows() == [("a", 10), ("b", 2), ("c", 3)]
    assert branches() == ["main"]
    assert phlo("apply", planned["plan_id"]).code == 2


def test_a_kept_plan_shows_times_as_the_first_showing_did(tmp_path):
    rows = [{"at": datetime(2025, 1, 16, 22, tzinfo=UTC), "seen": [datetime(2025, 1, 1)]}]
    tables = ({"table": "bronze.events", "change": "changed", "samples": {"added": rows}},)
    plan = BranchPlan("3f0c5a1e", "main", ("events",), None, "run", *times(1), tables=tables)
    settings = Settings(project_dir=tmp_path)
    write_plan(settings, plan)
    assert read_plans(settings) == [plan]


def test_an_applied_plan_succeeds_though_its_branch_has_to_stay(project, phlo, planned):
    phlo("branch", "create", "copy", "--from", f"plan-{planned['plan_id']}")
    applied = phlo("apply", planned["plan_id"], "--json")
    assert applied.code == 0, applied.err
    assert applied.json["applied"] is True
    assert "its branch stays" in applied.err
    assert rows() == [("a", 10), ("b", 2), ("c", 3)]


def test_a_plan_that_main_overtook_is_refused_by_name(project, phlo, planned):
    deliver(project, a=7)
    phlo("materialize", "events", "--partition", "2025-01-16")
    answer = phlo("apply", planned["plan_id"])
    assert answer.code == 1
    assert "bronze.events" in answer.err
    assert rows() == [("a", 7), ("b", 2)]
    assert phlo("plan", "discard", planned["plan_id"]).code == 0
    assert branches() == ["main"]


def test_a_plan_knows_the_tables_that_it_read(project, phlo):
    deliver(project, a=1)
    phlo("materialize", "events", "--partition", "2025-01-15")
    answer = phlo("plan", "report", "--json")
    assert answer.code == 3
    assert answer.json["reads"] == ["bronze.events"]


def test_nothing_to_do_and_a_failed_run_leave_no_branch(project, phlo):
    deliver(project, a=1)
    phlo("materialize", "events", "--partition", "2025-01-15")
    assert phlo("plan", "events", "--partition", "2025-01-15").code == 3
    deliver(project, a="no number")
    assert phlo("plan", "events", "--partition", "2025-01-16").code == 1
    assert phlo("plan", "evnts").code == 2
    assert branches() == ["main"]
    assert rows() == [("a", 1)]


def test_an_expired_plan_is_refused_and_goes_with_the_next(project, phlo):
    deliver(project, a=1)
    answer = phlo("plan", "events", "--partition", "2025-01-15", "--keep-hours", "0", "--json")
    refused = phlo("apply", answer.json["plan_id"])
    assert (refused.code, "expired" in refused.err) == (1, True)
    again = phlo("plan", "events", "--partition", "2025-01-15", "--json")
    assert [p["plan_id"] for p in phlo("plan", "list", "--json").json] == [again.json["plan_id"]]
    assert branches() == ["main", again.json["branch"]]


def test_markdown_fits_a_pull_requests_comment(project, phlo, planned):
    text = phlo("plan", "show", planned["plan_id"], "--markdown").out
    assert "| bronze.events | changed | 1 | 0 | 1 | - | no |" in text
    assert "+ id=c" in text
    assert "~ id=a  value before=1  value after=10" in text
