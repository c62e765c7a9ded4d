"""What a person is told of a run, from the events of real runs."""

import logging

import pytest
from dagster import AssetKey
from phlo_cli.location import open_location
from phlo_cli.plan import build_plan
from phlo_cli.run import materialize_assets
from phlo_cli.run_events import RunObserver, as_level, row_facts

SOURCE = """
    import dagster as dg
    from phlo.errors import SourceError

    @dg.asset
    def first(context):
        context.log.info("counting")
        context.log.warning("odd")
        return dg.MaterializeResult(
            metadata={"inserted": 2, "phlo/updated": 1, "dagster/row_count": 5, "note": "x"}
        )

    @dg.multi_asset(
        specs=[dg.AssetSpec("made", skippable=True), dg.AssetSpec("empty", skippable=True)],
        can_subset=True,
    )
    def pair():
        yield dg.MaterializeResult("made")

    @dg.asset(deps=["empty"])
    def below_empty() -> None: ...

    @dg.asset(retry_policy=dg.RetryPolicy(max_retries=1))
    def broken() -> None:
        try:
            {}["rows"]
        except KeyError as error:
            raise SourceError("The source gave no rows.", hint="Ask it again.") from error

    @dg.asset(deps=["broken"])
    def below_broken() -> None: ...

    @dg.asset(deps=["below_broken"])
    def far_below() -> None: ...

    @dg.asset
    def buggy() -> None:
        len(5)

    @dg.asset_check(asset="first")
    def is_good() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=True)

    @dg.asset_check(asset="first")
    def is_odd() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(
            passed=False,
            severity=dg.AssetCheckSeverity.WARN,
            description="2 of 5 rows are odd.",
            metadata={"row_count": 5},
        )

    @dg.asset_check(asset="first")
    def cannot_run() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=False, metadata={"status": "could_not_run"})
"""


class Heard(RunObserver):
    """Writes down all that it is told."""

    def __init__(self):
        self.told = []

    def step_started(self, step, labels):
        self.told.append(("started", step, labels))

    def step_ended(self, step):
        self.told.append(("ended", step))

    def asset_ended(self, outcome):
        self.told.append((outcome.status, outcome.label))

    def check_ended(self, outcome):
        self.told.append(("check", outcome.name, outcome.word))

    def step_retried(self, step, message):
        self.told.append(("retried", step, message))

    def step_failed(self, error):
        self.told.append(("failed step", error.step, error.labels))

    def logged(self, level, text):
        self.told.append((level, text))


@pytest.fixture
def run(phlo_project, monkeypatch):
    monkeypatch.chdir(phlo_project.root)
    phlo_project.write("workflows/things.py", SOURCE)
    location = open_location()

    def of(*keys):
        heard = Heard()
        plan = build_plan(location, [AssetKey(key) for key in keys])
        return materialize_assets(location, plan, heard), heard.told

    return of


def statuses(summary):
    return {asset.key: asset.status for asset in summary.assets}


def test_rows_checks_and_lines_of_a_step_are_told(run):
    summary, told = run("first")

    (first,) = summary.assets
    assert (first.rows, first.row_count) == ({"inserted": 2, "updated": 1}, 5)
    assert {(c.name, c.word, c.message, c.row_count) for c in summary.checks} == {
        ("is_good", "passed", "", None),
        ("is_odd", "warned", "2 of 5 rows are odd.", 5),
        ("cannot_run", "could not run", "", None),
    }
    assert (summary.status, summary.is_ok) == ("success", False)
    assert [line for line in told if line[0] in (logging.INFO, logging.WARNING)] == [
        (logging.INFO, "counting"),
        (logging.WARNING, "odd"),
    ]
    assert told.index(("started", "first", ("first",))) < told.index(("materialized", "first"))
    assert told.index(("materialized", "first")) < told.index(("ended", "first"))


def test_an_asset_without_rows_has_no_data_and_so_has_what_needs_it(run):
    summary, told = run("made", "empty", "below_empty")

    assert statuses(summary) == {
        "made": "materialized",
        "empty": "no_data",
        "below_empty": "no_data",
    }
    assert summary.is_ok
    (labels,) = [line[2] for line in told if line[:2] == ("started", "pair")]
    assert sorted(labels) == ["empty", "made"]


def test_what_needs_a_failed_asset_is_skipped_and_each_error_is_told_once(run):
    summary, told = run("broken", "below_broken", "far_below", "buggy", "first")

    assert statuses(summary) == {
        "broken": "failed",
        "below_broken": "skipped",
        "far_below": "skipped",
        "buggy": "failed",
        "first": "materialized",
    }
    errors = {error.step: error for error in summary.errors}
    assert set(errors) == {"broken", "buggy"}
    ours, bug = errors["broken"], errors["buggy"]
    assert (ours.kind, ours.labels, ours.where) == ("SourceError", ("broken",), None)
    assert ours.message == "The source gave no rows.\n\nHint: Ask it again."
    assert (bug.kind, bug.message) == (
        "TypeError",
        "TypeError: object of type 'int' has no len()",
    )
    line = SOURCE[: SOURCE.index("len(5)")].count("\n")
    assert bug.where == f"workflows/things.py:{line}"
    assert "KeyError: 'rows'" in ours.traceback
    retried = [line for line in told if line[0] == "retried"]
    assert [line[1] for line in retried] == ["broken"]
    assert retried[0][2].startswith("The source gave no rows.")
    assert sum(line[0] == "failed step" for line in told) == 2


@pytest.mark.parametrize(
    ("level", "number"), [("WARNING", 30), ("DEBUG", 10), (35, 35), ("NONE SUCH", 20)]
)
def test_levels_are_numbers(level, number):
    assert as_level(level) == number


def test_facts_that_are_none_of_a_load_are_left_out():
    facts = row_facts({"phlo/snapshot_id": "7", "strategy": "merge", "removed": 0, "other": 1})

    assert facts == {
        "rows": {"removed": 0},
        "row_count": None,
        "snapshot_id": "7",
        "strategy": "merge",
    }
