import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
from dagster import AssetKey, DagsterInstance
from phlo_cli.backfill import FirstFailures

SLOW = """
    import time

    import dagster as dg

    @dg.asset(partitions_def=dg.DailyPartitionsDefinition("2025-01-01", end_date="2025-02-01"))
    def slow(context) -> None:
        time.sleep(0.6)
"""


def made(project, key):
    home = project.root / ".phlo" / "dagster"
    with DagsterInstance.from_config(str(home)) as instance:
        return sorted(instance.get_materialized_partitions(AssetKey(key)))


def test_both_ends_of_a_range_are_made_in_order(plain_project, phlo):
    answer = phlo(
        "backfill", "dlt_orders", "--start-date", "2025-01-30", "--end-date", "2025-01-31"
    )
    assert answer.code == 0
    assert "✓ 2025-01-30  3 inserted, 2 unchanged" in answer.out
    assert "2 of 2 partitions made." in answer.out
    assert made(plain_project, "dlt_orders") == ["2025-01-30", "2025-01-31"]


def test_explicit_partitions_are_made_once_each(plain_project, phlo):
    answer = phlo(
        "backfill", "dlt_orders", "--partitions", "2025-01-05,2025-01-01,2025-01-05", "--json"
    )
    assert answer.json["partitions"] == ["2025-01-05", "2025-01-01"]
    assert list(answer.json["done"]) == ["2025-01-05", "2025-01-01"]
    assert made(plain_project, "dlt_orders") == ["2025-01-01", "2025-01-05"]


def test_a_dry_run_shows_the_partitions_and_runs_none(plain_project, phlo):
    answer = phlo(
        "backfill",
        "dlt_orders+",
        "--start-date",
        "2025-01-10",
        "--end-date",
        "2025-01-12",
        "--dry-run",
    )
    assert answer.code == 0
    assert [line.strip() for line in answer.out.splitlines()[2:5]] == [
        "2025-01-10",
        "2025-01-11",
        "2025-01-12",
    ]
    assert "dlt_orders, dlt_refunds, daily_totals" in answer.out
    assert made(plain_project, "dlt_orders") == []


def test_a_failing_partition_stops_no_other_and_is_run_again_by_resume(phlo_project, phlo):
    phlo_project.write(
        "workflows/flaky.py",
        """
        import dagster as dg
        from pathlib import Path

        @dg.asset(partitions_def=dg.DailyPartitionsDefinition("2025-01-01", end_date="2025-02-01"))
        def flaky(context) -> None:
            up = Path(__file__).with_name("ok").exists()
            if context.partition_key == "2025-01-02" and not up:
                raise RuntimeError("The source is down.")
        """,
    )
    days = ("--start-date", "2025-01-01", "--end-date", "2025-01-03")
    first = phlo("backfill", "flaky", *days, "--json")
    assert first.code == 1
    assert list(first.json["done"]) == ["2025-01-01", "2025-01-03"]
    assert first.json["failed"] == {"2025-01-02": "RuntimeError: The source is down."}
    phlo_project.write("workflows/ok", "")
    again = phlo("backfill", "--resume", "--json")
    assert again.code == 0
    assert again.json["pending"] == []
    assert again.json["failed"] == {}
    assert {p: run for p, run in again.json["done"].items() if p != "2025-01-02"} == first.json[
        "done"
    ]


@pytest.mark.parametrize(
    "number",
    [
        pytest.param(signal.SIGINT, marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, marks=pytest.mark.slow),
        signal.SIGKILL,
    ],
)
def test_after_a_stop_resume_runs_only_what_did_not_finish(phlo_project, phlo, number):
    phlo_project.write("workflows/slow.py", SLOW)
    process = subprocess.Popen(
        [sys.executable, "-m", "phlo_cli", "backfill", "slow"]
        + ["--start-date", "2025-01-01", "--end-date", "2025-01-06"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    for line in process.stdout:
        if "✓ 2025-01-02" in line:
            break
    time.sleep(0.3)  # in the middle of the third
    os.kill(process.pid, number)
    process.communicate(timeout=60)
    assert process.returncode != 0
    before = phlo("backfill", "--resume", "--dry-run", "--json").json
    assert {"2025-01-01", "2025-01-02"} <= set(before["done"])
    assert before["pending"]
    assert before["failed"] == {}
    after = phlo("backfill", "--resume", "--json")
    assert after.code == 0
    assert after.json["pending"] == []
    assert before["done"].items() <= after.json["done"].items()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "Name an asset, or give --resume."),
        (("dlt_orders",), "Give --start-date and --end-date, or --partitions."),
        (("dlt_orders", "--start-date", "2025-01-01"), "Give both"),
        (("dlt_orders", "--resume"), "--resume stands alone"),
        (
            ("dlt_orders", "--start-date", "2024-12-31", "--end-date", "2025-01-02"),
            "expected days from 2025-01-01 to 2025-01-31",
        ),
        (
            ("dlt_orders", "--start-date", "2025-01-09", "--end-date", "2025-01-02"),
            "before it starts",
        ),
        (("dlt_orders", "--start-date", "1.1.2025", "--end-date", "2025-01-02"), "no"),
        (("dlt_orders,dlt_refunds", "--partitions", "2025-01-09"), "dlt_refunds has no partition"),
    ],
)
def test_wrong_use_is_exit_code_2(plain_project, phlo, arguments, message):
    answer = phlo("backfill", *arguments)
    assert answer.code == 2
    assert message in answer.err


def test_an_asset_without_partitions_cannot_be_backfilled(plain_project, phlo):
    answer = phlo("backfill", "broken", "--partitions", "2025-01-01")
    assert answer.code == 1
    assert "broken has no partitions to backfill" in answer.err
    assert "phlo materialize broken" in answer.err


def test_a_backfill_is_run_by_one_process_at_a_time(plain_project, phlo):
    from phlo_cli.backfill import BackfillStore, plan_backfill
    from phlo_cli.location import open_location

    location = open_location()
    backfill = plan_backfill(location, [AssetKey("dlt_orders")], partitions=["2025-01-01"])
    store = BackfillStore(location.project.settings)
    with store.running(backfill):
        answer = phlo("backfill", "--resume")
    assert answer.code == 1
    assert "is being run by another process" in answer.err
    location.instance.dispose()


def test_weekly_partitions_that_touch_the_days_are_made(phlo_project, phlo):
    phlo_project.write(
        "workflows/weekly.py",
        """
        import dagster as dg

        @dg.asset(partitions_def=dg.WeeklyPartitionsDefinition("2025-01-05", end_date="2025-03-02"))
        def weekly() -> None: ...
        """,
    )
    days = ("--start-date", "2025-01-14", "--end-date", "2025-01-19")
    answer = phlo("backfill", "weekly", *days, "--dry-run", "--json")
    assert answer.json["partitions"] == ["2025-01-12", "2025-01-19"]


@pytest.mark.parametrize("seconds", ["nan", "inf", "-1", "soon"])
def test_a_pause_that_is_no_number_of_seconds_is_refused(phlo, seconds):
    answer = phlo("backfill", "events", "--partitions", "2025-01-01", "--delay", seconds)
    assert answer.code == 2
    assert "--delay" in answer.err


def test_parallel_runs_share_the_partitions_among_processes(phlo_project, phlo):
    phlo_project.write(
        "workflows/parallel.py",
        """
        import os
        import time
        from pathlib import Path

        import dagster as dg

        @dg.asset(partitions_def=dg.DailyPartitionsDefinition("2025-01-01", end_date="2025-02-01"))
        def shared(context) -> None:
            print("said by the code")
            time.sleep(0.5)
            Path(__file__).with_name(f"{context.partition_key}.pid").write_text(str(os.getpid()))
        """,
    )
    days = ("--start-date", "2025-01-01", "--end-date", "2025-01-06")
    answer = phlo("backfill", "shared", *days, "--parallel", "2", "--json")
    assert answer.code == 0
    assert sorted(answer.json["done"]) == [f"2025-01-0{n}" for n in range(1, 7)]
    assert answer.json["pending"] == []
    pids = {path.read_text() for path in (phlo_project.root / "workflows").glob("*.pid")}
    assert len(pids) == 2
    assert str(os.getpid()) not in pids


def test_processes_of_a_killed_parallel_backfill_end_too(phlo_project, phlo):
    phlo_project.write("workflows/slow.py", SLOW.replace("0.6", "30"))
    process = subprocess.Popen(
        [sys.executable, "-m", "phlo_cli", "backfill", "slow", "--parallel", "2"]
        + ["--partitions", "2025-01-01,2025-01-02"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    end = time.monotonic() + 60
    while states(phlo) != {"running"} and time.monotonic() < end:
        time.sleep(0.5)
    workers = [
        c for c in psutil.Process(process.pid).children() if "spawn_main" in str(c.cmdline())
    ]
    assert len(workers) == 2
    process.kill()
    process.communicate(timeout=60)
    gone, alive = psutil.wait_procs(workers, timeout=30)
    assert (len(gone), alive) == (2, [])
    assert states(phlo) <= {"canceled", "failed"}
    pending = phlo("backfill", "--resume", "--dry-run", "--json").json["pending"]
    assert pending == ["2025-01-01", "2025-01-02"]


def states(phlo):
    return {row["state"] for row in phlo("status", "--json").json}


def summary(partition, kind=None, message="", *, checks=()):
    from phlo_cli.summary import RunSummary, StepError

    errors = (StepError("s", ("s",), kind, message, None, ""),) if kind else ()
    status = "failure" if errors else "success"
    return RunSummary("r", status, partition, 0.0, (), checks, errors, ())


@pytest.mark.parametrize(
    ("runs", "stops_after"),
    [
        ([("KeyError", "KeyError: 'TOKEN'")] * 5, 3),
        ([("BrokenSourceError", f"404 of /2025-01-0{n}") for n in range(5)], 3),
        ([("SourceError", "503")] * 5, None),
        ([("ServiceError", "down")] * 5, None),
        ([("ContractError", "3 rows")] * 5, None),
        ([("AuditError", "3 rows")] * 5, None),
        ([("KeyError", "KeyError: 'a'"), ("KeyError", "KeyError: 'b'")] * 3, None),
        ([(None, ""), *[("KeyError", "KeyError: 'a'")] * 5], None),
        ([("KeyError", "KeyError: 'a'")] * 2 + [(None, "")] + [("KeyError", "'a'")] * 5, None),
    ],
)
def test_first_failures_stop_only_where_all_are_alike_and_hopeless(runs, stops_after):
    first = FirstFailures()
    told = [first.after(summary(str(n), *run)) for n, run in enumerate(runs, start=1)]
    assert next((n for n, text in enumerate(told, start=1) if text), None) == stops_after


@pytest.mark.parametrize("parallel", ["1", "2"])
def test_a_backfill_gives_up_on_a_typo_and_resumes_once_it_is_mended(phlo_project, phlo, parallel):
    code = """
        import dagster as dg

        @dg.asset(partitions_def=dg.DailyPartitionsDefinition("2025-01-01", end_date="2025-02-01"))
        def typo(context) -> None:
            {body}
    """
    phlo_project.write("workflows/typo.py", code.format(body="nmae"))
    days = ("--start-date", "2025-01-01", "--end-date", "2025-01-08", "--parallel", parallel)
    answer = phlo("backfill", "typo", *days)
    assert answer.code == 1
    assert "Stopped: the first 3 partitions failed alike" in answer.out
    assert "NameError: name 'nmae' is not defined" in answer.out
    assert answer.out.count("✗") < 8
    phlo_project.write("workflows/typo.py", code.format(body="pass"))
    resumed = phlo("backfill", "--resume", "--json").json
    assert (len(resumed["done"]), resumed["stopped_by"], resumed["failed"]) == (8, "", {})
