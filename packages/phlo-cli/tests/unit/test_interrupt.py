import json
import os
import signal
import subprocess
import sys
import time

import pytest
from dagster import DagsterInstance, DagsterRun, DagsterRunStatus
from phlo.config import get_settings
from phlo.orchestration.instance import open_instance
from phlo_cli.liveness import end_abandoned_runs

SLOW = """
    import time

    import dagster as dg

    @dg.asset
    def slow() -> None:
        time.sleep(600)

    @dg.asset(deps=[slow])
    def after_slow() -> None: ...
"""


def start(*arguments):
    return subprocess.Popen(
        [sys.executable, "-u", "-m", "phlo_cli", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # A test run in the background ignores Ctrl-C, and its children would inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def wait_for(process, text):
    for line in process.stdout:
        if text in line:
            time.sleep(0.5)
            return
    raise AssertionError(f"{text!r} was never printed")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_ends_at_once_and_says_so(phlo_project, phlo, number):
    phlo_project.write("workflows/slow.py", SLOW)
    process = start("materialize", "slow+")
    wait_for(process, "2 assets")
    os.kill(process.pid, number)
    out, _ = process.communicate(timeout=200)
    assert process.returncode == 128 + number
    assert "Canceled in " in out
    assert "Traceback" not in out
    assert {row["state"] for row in phlo("status", "--json").json} == {"canceled"}


def test_a_killed_run_is_recorded_as_failed_by_the_next_command(phlo_project, phlo):
    phlo_project.write("workflows/slow.py", SLOW)
    process = start("materialize", "slow")
    wait_for(process, "1 asset")
    assert [row["state"] for row in phlo("status", "--json").json] == ["never", "running"]
    process.kill()
    process.communicate(timeout=60)
    assert [row["state"] for row in phlo("status", "--json").json] == ["never", "failed"]
    lines = phlo("logs", "--level", "ERROR", "--json").json
    assert [line["message"] for line in lines] == ["The process of this run was killed."]
    assert list((phlo_project.root / ".phlo" / "runs").iterdir()) == []


ENDING = """
import os, signal, sys, phlo_cli.run
from phlo_cli.main import main
signal.signal(signal.SIGINT, signal.default_int_handler)
phlo_cli.run._execute = lambda *given: os.kill(os.getpid(), int(sys.argv.pop()))
main(["materialize", "slow"])
"""


@pytest.mark.parametrize(
    ("number", "code", "state"),
    [
        (signal.SIGKILL, -signal.SIGKILL, "failed"),
        (signal.SIGINT, 130, "canceled"),
        (signal.SIGTERM, 143, "canceled"),
    ],
)
def test_a_run_that_ended_before_it_began_is_recorded_as_ended(
    phlo_project, phlo, number, code, state
):
    phlo_project.write("workflows/slow.py", SLOW)
    ended = subprocess.run([sys.executable, "-c", ENDING, str(int(number))], check=False)
    assert ended.returncode == code
    assert [row["state"] for row in phlo("status", "--json").json] == ["never", state]
    assert list((phlo_project.root / ".phlo" / "runs").iterdir()) == []


@pytest.mark.parametrize("was_stopped", [False, True])
def test_runs_of_a_code_server_that_is_gone_have_ended(plain_project, was_stopped):
    server = {".dagster/grpc_info": json.dumps({"host": "localhost", "socket": "/gone"})}
    with open_instance(get_settings()) as instance:
        started, waiting, other = (
            instance.add_run(DagsterRun("job", status=status, tags=tags)).run_id
            for status, tags in [
                (DagsterRunStatus.STARTED, server),
                (DagsterRunStatus.NOT_STARTED, server),
                (DagsterRunStatus.STARTED, {}),
            ]
        )
        ended = end_abandoned_runs(get_settings(), instance, was_stopped=was_stopped)
        assert ended == [started]
        states = [instance.get_run_by_id(run).status.value for run in (started, waiting, other)]
    assert states == ["CANCELED" if was_stopped else "FAILURE", "NOT_STARTED", "STARTED"]


def test_runs_of_another_machines_code_server_are_left_alone(plain_project):
    server = {".dagster/grpc_info": json.dumps({"host": "localhost", "socket": "/gone"})}
    with DagsterInstance.ephemeral() as shared:  # as a database is: no file of this machine
        run = shared.add_run(DagsterRun("job", status=DagsterRunStatus.STARTED, tags=server))
        assert end_abandoned_runs(get_settings(), shared) == []
        assert shared.get_run_by_id(run.run_id).status is DagsterRunStatus.STARTED
