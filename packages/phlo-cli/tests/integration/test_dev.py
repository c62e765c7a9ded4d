import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress

import psutil
import pytest


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for_page(url, seconds=100):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with (
            suppress(urllib.error.URLError, OSError),
            urllib.request.urlopen(url, timeout=5) as page,
        ):
            return page.read().decode()
        time.sleep(0.5)
    raise AssertionError(f"{url} does not answer")


@pytest.mark.integration
def test_dev_serves_the_project_and_leaves_no_process_behind(plain_project):
    port = free_port()
    dev = subprocess.Popen(
        [sys.executable, "-m", "phlo_cli", "dev", "--port", str(port)],
        cwd=plain_project.root,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        assert "dagster_webserver_version" in wait_for_page(f"http://127.0.0.1:{port}/server_info")
        children = psutil.Process(dev.pid).children(recursive=True)
        assert len(children) >= 3
        dev.send_signal(signal.SIGTERM)
        assert dev.wait(timeout=60) == 0
        assert [child for child in children if child.is_running()] == []
    finally:
        with suppress(ProcessLookupError):
            os.kill(dev.pid, signal.SIGKILL)
        dev.stdout.close()


def test_stopping_ends_grandchildren_that_ignore_it(plain_project):
    """What a child leaves in its process group is ended by force."""
    code = (
        "import os, signal, subprocess, sys, threading\n"
        "from phlo_cli.commands import dev\n"
        "dev._STOP_SECONDS = 1\n"
        "inner = 'import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True);'"
        " 'time.sleep(99)'\n"
        'outer = f\'import subprocess, sys; subprocess.Popen([sys.executable, "-c", {inner!r}])'
        ".wait()'\n"
        "threading.Timer(2, os.kill, (os.getpid(), signal.SIGTERM)).start()\n"
        "print(dev.run_until_stopped([sys.executable, '-c', outer], dict(os.environ), '.'))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["1", "0"], done.stderr


def test_a_closed_terminal_does_not_stop_it_under_nohup():
    code = (
        "import os, signal, sys, threading\n"
        "from phlo_cli.commands import dev\n"
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGHUP)).start()\n"
        "inner = 'import sys, time; time.sleep(1.5); sys.exit(7)'\n"
        "print(dev.run_until_stopped([sys.executable, '-c', inner], dict(os.environ), '.'))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["7"], done.stderr


def run_dev(*arguments):
    command = [sys.executable, "-m", "phlo_cli", "dev", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_an_address_that_cannot_be_served_is_refused(plain_project):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        busy = run_dev("--port", port)
    assert (busy.returncode, f"127.0.0.1:{port}" in busy.stderr) == (1, True)
    assert run_dev("--host", "nonexistent.invalid").returncode == 1
    assert run_dev("--port", "99999").returncode == 2


def test_a_project_is_served_once_and_the_refusal_names_the_address(plain_project):
    from phlo.config import get_settings
    from phlo_cli.commands.dev import serving_alone

    with serving_alone(get_settings(), "http://127.0.0.1:4000"):
        second = run_dev("--port", str(free_port()))
    assert second.returncode == 1
    assert f"http://127.0.0.1:4000 (process {os.getpid()})" in second.stderr


@pytest.mark.integration
@pytest.mark.parametrize(
    "number", [signal.SIGHUP, pytest.param(signal.SIGKILL, marks=pytest.mark.slow)]
)
def test_a_closed_terminal_or_a_kill_leaves_no_process(plain_project, number):
    port = free_port()
    dev = subprocess.Popen(
        [sys.executable, "-m", "phlo_cli", "dev", "--port", str(port)],
        cwd=plain_project.root,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
    )
    wait_for_page(f"http://127.0.0.1:{port}/server_info")
    children = psutil.Process(dev.pid).children(recursive=True)
    dev.send_signal(number)
    dev.wait(timeout=60)
    _, alive = psutil.wait_procs(children, timeout=30)
    assert [child for child in alive if child.status() != psutil.STATUS_ZOMBIE] == []
