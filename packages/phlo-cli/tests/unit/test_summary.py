"""A run in words: what its assets did, which checks fail the command, how long it took."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from phlo.checks import CheckStatus
from phlo_cli.summary import AssetOutcome, CheckOutcome, RunSummary, StepError, seconds_text


def asset(rows=None, **options):
    return AssetOutcome(
        "dlt_events", "bronze.events", None, "materialized", rows=rows or {}, **options
    )


@pytest.mark.parametrize(
    ("rows", "row_count", "words"),
    [
        ({"inserted": 1200, "updated": 1}, 5000, "1,200 inserted, 1 updated"),
        ({"extracted": 3, "inserted": 0, "unchanged": 3}, 3, "3 unchanged"),
        ({"extracted": 0, "inserted": 0}, 0, "no rows"),
        ({"inserted": 8, "removed": 7}, 8, "rebuilt with 8 rows (7 before)"),
        ({"inserted": 1, "removed": 1200}, 1, "rebuilt with 1 row (1,200 before)"),
        ({"inserted": 8, "removed": 7}, 9, "8 inserted, 7 removed"),  # one row was there and stays
        ({"inserted": 8, "updated": 1, "removed": 7}, 8, "8 inserted, 1 updated, 7 removed"),
        ({}, 1, "1 row"),
        ({}, None, ""),
    ],
)
def test_the_account_of_an_asset_in_words(rows, row_count, words):
    assert asset(rows, row_count=row_count).account == words


def check(status, severity="error"):
    return CheckOutcome("dlt_events", "bronze.events", "no_nulls", status, severity, "2 of 3 rows")


@pytest.mark.parametrize(
    ("status", "severity", "word", "is_bad"),
    [
        (CheckStatus.PASSED, "error", "passed", False),
        (CheckStatus.FAILED, "error", "failed", True),
        (CheckStatus.FAILED, "warn", "warned", False),
        (CheckStatus.COULD_NOT_RUN, "error", "could not run", True),
        (CheckStatus.COULD_NOT_RUN, "warn", "could not run", False),
        (CheckStatus.SKIPPED, "error", "skipped", False),
    ],
)
def test_which_checks_fail_the_command(status, severity, word, is_bad):
    outcome = check(status, severity)

    assert (outcome.word, outcome.is_bad) == (word, is_bad)


def run(status="success", checks=(), errors=(), partition="2025-01-15"):
    outcomes = (asset({"inserted": 2}, seconds=0.26), AssetOutcome("m", None, None, "no_data"))
    return RunSummary("0123456789", status, partition, 75.0, outcomes, checks, errors, ())


def test_a_run_with_a_bad_check_succeeded_and_is_not_ok():
    summary = run(checks=(check(CheckStatus.PASSED), check(CheckStatus.FAILED)))

    assert (summary.status, summary.is_ok, summary.word) == ("success", False, "checks failed")
    assert summary.shown().lines == ["check no_nulls of bronze.events failed: 2 of 3 rows"]


def test_a_run_that_failed_is_told_with_its_errors_before_its_checks():
    error = StepError("s", ("bronze.events", "bronze.b"), "SourceError", "no answer", None, "")
    summary = run("failure", (check(CheckStatus.COULD_NOT_RUN),), (error,), partition=None)

    shown = summary.shown()

    assert (summary.is_ok, summary.word) == (False, "failure")
    assert shown.title == "Run 01234567: failure in 1 min 15 s"
    assert shown.rows == [
        ("bronze.events", "materialized", "2 inserted", "0.3"),
        ("m", "no data", "", "0.0"),
    ]
    assert shown.lines == [
        "bronze.events, bronze.b failed: no answer",
        "check no_nulls of bronze.events could not run: 2 of 3 rows",
    ]


def test_a_run_as_json_says_whether_it_is_ok():
    values = json.loads(json.dumps(run(checks=(check(CheckStatus.FAILED, "warn"),)).as_dict()))

    assert values["is_ok"] is True
    assert values["assets"][0]["rows"] == {"inserted": 2}
    assert values["checks"][0]["status"] == "failed"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 00 s"),
        (60, "1 min 00 s"),
        (3599.4, "59 min 59 s"),
        (3599.6, "1 h 00 min"),
        (90_000, "25 h 00 min"),
    ],
)
def test_durations_in_words(seconds, text):
    assert seconds_text(seconds) == text


@given(st.floats(0, 10**6))
def test_no_duration_shows_sixty_of_a_unit(seconds):
    assert "60" not in seconds_text(seconds).replace("h", " ").split()
