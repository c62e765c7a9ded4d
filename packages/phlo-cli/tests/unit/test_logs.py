import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest


@pytest.fixture
def two_runs(plain_project, phlo):
    """A good run of dlt_orders on 2025-01-15, then a failed one of broken."""
    good = phlo("materialize", "dlt_orders", "--partition", "2025-01-15", "--json").json["run_id"]
    bad = phlo("materialize", "broken", "--json").json["run_id"]
    return good, bad


def test_lines_of_all_runs_are_shown_oldest_first(two_runs, phlo):
    lines = phlo("logs", "--json").json
    assert [line["run_id"] for line in lines] == sorted(
        (line["run_id"] for line in lines), key=two_runs.index
    )
    assert lines == sorted(lines, key=lambda line: line["at"])
    messages = [line["message"] for line in lines]
    assert "Made dlt_orders: 3 inserted, 2 unchanged" in messages
    assert "Check has_rows of dlt_orders passed" in messages
    assert "Dropped 3 columns of [orders]." in messages


def test_the_level_is_a_threshold(two_runs, phlo):
    lines = phlo("logs", "--level", "warning", "--json").json
    assert {line["level"] for line in lines} == {"WARNING", "ERROR"}
    errors = phlo("logs", "--level", "ERROR", "--json").json
    assert {line["run_id"] for line in errors} == {two_runs[1]}
    assert len(phlo("logs", "--level", "DEBUG", "--json").json) > len(lines)


def test_an_asset_has_the_lines_of_its_steps_and_checks(two_runs, phlo):
    lines = phlo("logs", "--asset", "dlt_orders", "--json").json
    assert {line["run_id"] for line in lines} == {two_runs[0]}
    assert {line["step"] for line in lines} == {"dlt_orders", "dlt_orders_has_rows"}
    assert {line["partition"] for line in lines} == {"2025-01-15"}


def test_a_run_is_found_by_the_first_letters_of_its_id(two_runs, phlo):
    lines = phlo("logs", "--run-id", two_runs[1][:8], "--json").json
    assert {line["run_id"] for line in lines} == {two_runs[1]}


def test_the_limit_keeps_the_newest(two_runs, phlo):
    everything = phlo("logs", "--json").json
    assert phlo("logs", "--limit", "3", "--json").json == everything[-3:]


def test_since_leaves_out_what_is_older(two_runs, phlo):
    assert phlo("logs", "--since", "1h", "--json").json == phlo("logs", "--json").json
    from phlo.config import get_settings
    from phlo.orchestration.instance import open_instance
    from phlo_cli.logs import LogFilter, read_lines

    with open_instance(get_settings()) as instance:
        soon = LogFilter(since=datetime.now(UTC) + timedelta(seconds=1))
        assert read_lines(instance, soon, 100) == []


def test_a_job_has_its_own_runs(two_runs, phlo):
    assert phlo("logs", "--job", "nobody", "--json").code == 2
    assert phlo("logs", "--job", "__ASSET_JOB", "--json").json == phlo("logs", "--json").json


def test_text_shows_the_first_line_of_an_error_and_full_the_traceback(two_runs, phlo):
    short = phlo("logs", "--level", "ERROR").out
    assert "ERROR   broken: 3 rows break the contract. ..." in short
    assert "Hint: Repair it." not in short
    full = phlo("logs", "--level", "ERROR", "--full").out
    assert "Hint: Repair it." in full
    assert "raise dg.Failure" in full


@pytest.mark.timeout(60)
def test_follow_shows_lines_of_runs_that_begin_later(plain_project, phlo, phlo_environment):
    follower = subprocess.Popen(
        [sys.executable, "-u", "-m", "phlo_cli", "logs", "--follow", "--json"],
        stdout=subprocess.PIPE,
        cwd=phlo_environment,
        text=True,
    )
    try:
        run_id = phlo("materialize", "dlt_orders", "--partition", "2025-01-15", "--json").json[
            "run_id"
        ]
        seen = []
        for text in follower.stdout:
            seen.append(json.loads(text))
            if seen[-1]["event"] == "RUN_SUCCESS":
                break
        assert {line["run_id"] for line in seen} == {run_id}
        events = [line["event"] for line in seen]
        assert events.count("ASSET_MATERIALIZATION") == 1
        assert events.count("RUN_START") == 1
    finally:
        follower.terminate()
        follower.communicate(timeout=30)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--since", "yesterday"), "'yesterday' is no time such as 30m, 1h or 2d."),
        (("--level", "LOUD"), "'LOUD' is not one of"),
        (("--limit", "0"), "x>=1"),
        (("--run-id", "zzz"), "No run has an id that begins with 'zzz'."),
        (("--asset", "dlt_odrers"), "Did you mean 'dlt_orders'?"),
    ],
)
def test_bad_values_are_usage_errors(plain_project, phlo, arguments, message):
    answer = phlo("logs", *arguments)
    assert answer.code == 2
    assert message in answer.err


def test_a_new_project_has_no_lines(plain_project, phlo):
    assert phlo("logs").out == "No run has logged anything like that.\n"


def test_a_time_before_all_times_shows_everything(plain_project, phlo):
    phlo("materialize", "broken")
    assert len(phlo("logs", "--since", "99999999999d").out.splitlines()) > 1


def test_a_job_that_has_not_run_is_no_wrong_use(plain_project, phlo):
    plain_project.write(
        "workflows/job.py",
        """
        import dagster as dg

        nightly = dg.define_asset_job("nightly", selection="key:broken")
        """,
    )
    assert phlo("logs", "--job", "nightly").code == 0
    answer = phlo("logs", "--job", "nightli")
    assert (answer.code, "Did you mean 'nightly'?" in answer.err) == (2, True)
