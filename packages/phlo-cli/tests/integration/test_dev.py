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
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["1", "0"], done.stderr
    assert time.monotonic() - started < 30
