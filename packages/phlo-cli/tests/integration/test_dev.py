import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager, suppress

import psutil
import pytest
from phlo_cli.dagster_private import SERVICES, name_service
from phlo_testing.ports import free_ports

NOTES_ITS_ENVIRONMENT = """
    import os
    from pathlib import Path

    with Path("notes").open("a") as notes:
        notes.write(f"{os.environ['TOKEN']} {os.environ['SHOP']}\\n")
"""


def service_of(process):
    with suppress(psutil.Error):
        return name_service(process.cmdline())
    return None


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


@contextmanager
def serving(project, port, **options):
    """Run `phlo dev`, which answers; kill it if the test has left it."""
    command = [sys.executable, "-m", "phlo_cli", "dev", "--port", str(port)]
    dev = subprocess.Popen(command, cwd=project.root, stderr=subprocess.PIPE, text=True, **options)
    try:
        require_page(port)
        yield dev
    finally:
        dev.kill()
        dev.communicate()


def require_page(port):
    page = wait_for_page(f"http://127.0.0.1:{port}/server_info")
    assert "dagster_webserver_version" in page


def wait_for_services(dev, but_not=frozenset(), seconds=100):
    """Return Dagster's services by name, when all of them have a process that is not excluded."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        children = set(psutil.Process(dev.pid).children(recursive=True)) - but_not
        services = {service_of(child): child for child in children}
        if set(SERVICES) <= set(services):
            return services
        time.sleep(0.5)
    raise AssertionError(f"Only {sorted(map(str, services))} of {sorted(SERVICES)} live.")


@pytest.mark.slow
@pytest.mark.integration
def test_dev_outlives_a_lost_code_server_and_leaves_no_process_behind(plain_project):
    (port,) = free_ports(1)
    plain_project.write("workflows/doors.py", NOTES_ITS_ENVIRONMENT)
    plain_project.write(".env", "TOKEN=file\nSHOP=file\n")
    notes = plain_project.root / "notes"
    with serving(plain_project, port, env=os.environ | {"TOKEN": "environment"}) as dev:
        first = wait_for_services(dev)
        assert set(notes.read_text().splitlines()) == {"environment file"}
        plain_project.write(".env", "TOKEN=edited\nSHOP=edited\n")
        first["code server"].kill()
        second = wait_for_services(dev, but_not=set(first.values()))
        assert notes.read_text().splitlines()[-1] == "environment edited"
        assert [process for process in first.values() if process.is_running()] == []
        dev.send_signal(signal.SIGTERM)
        _, said = dev.communicate(timeout=60)
        assert dev.returncode == 0
        assert "! Dagster's code server has ended: phlo dev starts all of its processes" in said
        assert [process for process in second.values() if process.is_running()] == []


@pytest.mark.slow
@pytest.mark.integration
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_dev_gives_up_when_its_processes_end_again_and_again(plain_project, number):
    (port,) = free_ports(1)
    with serving(plain_project, port) as dev:
        processes = set()
        # The proxy alone is no loss at times: `dagster dev` may start another at once.
        for name in ("web server", "daemon", "code server", "code server"):
            # A daemon that is told to stop is missed after two minutes of silence.
            services = wait_for_services(dev, but_not=processes, seconds=300)
            require_page(port)
            time.sleep(2)  # phlo dev looks at its processes twice a second
            processes |= set(services.values())
            services[name].send_signal(number)
        _, said = dev.communicate(timeout=100)
        assert dev.returncode == 1
        assert [process for process in processes if process.is_running()] == []
    # `dagster dev` ends of itself for two of them, at times before phlo sees which.
    assert said.count("has ended: phlo dev starts all of its processes again.") == 3
    assert "Dagster's code server has ended" in said
    assert "ended 4 times within 10 minutes, at last Dagster's code server." in said
    assert "Hint: Find out what ends it" in said


SERVE = """
import os, signal, subprocess, sys, threading
from phlo_cli import services

services._STOP_SECONDS, services._LOOK_SECONDS = 1, 0.1

def daemon(seconds):
    # A process that looks like the daemon for so many seconds.
    command = [sys.executable, "-c", f"import time; time.sleep({seconds})", "-m", "dagster._daemon"]
    return f"import subprocess, sys, time; daemon = subprocess.Popen({command}); time.sleep(99)"

def serve(code):
    services.serve_until_stopped(
        [sys.executable, "-c", code],
        dict(os.environ),
        ".",
        last_heartbeat=lambda: 1.0,
        on_loss=print,
    )
"""


def run_services(code):
    """Serve with a command of a test's own, in a process whose signals the test may use."""
    return subprocess.run(
        [sys.executable, "-c", SERVE + code], capture_output=True, text=True, timeout=60
    )


def test_stopping_ends_grandchildren_that_ignore_it():
    """What a child leaves in its process group is ended by force."""
    done = run_services(
        "inner = 'import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True);'"
        " 'time.sleep(99)'\n"
        'outer = f\'import subprocess, sys; subprocess.Popen([sys.executable, "-c", {inner!r}])'
        ".wait()'\n"
        "threading.Timer(2, os.kill, (os.getpid(), signal.SIGTERM)).start()\n"
        "serve(outer)\n"
    )
    assert (done.stdout.split(), done.returncode) == (["1"], 0), done.stderr


def test_a_closed_terminal_does_not_stop_it_under_nohup():
    done = run_services(
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGHUP)).start()\n"
        "serve('import sys, time; time.sleep(1.5); sys.exit(7)')\n"
    )
    assert "Dagster ended while it started, with exit code 7." in done.stderr


@pytest.mark.slow
def test_a_daemon_that_falls_silent_is_started_again():
    done = run_services(
        "services._LOOKS_BETWEEN_BEATS, services._LOOKS_WITHOUT_BEAT = 1, 2\nserve(daemon(99))"
    )
    assert done.stdout.split() == ["daemon"] * 3, done.stderr


@pytest.mark.slow
def test_services_that_end_are_started_again_a_few_times():
    done = run_services("serve(daemon(0.5))")
    assert done.stdout.split() == ["daemon"] * 3, done.stderr
    assert "ended 4 times within 10 minutes, at last Dagster's daemon." in done.stderr


@pytest.mark.slow
def test_losses_after_a_pause_of_all_processes_are_not_counted():
    done = run_services(
        "services._PAUSE_SECONDS = 0  # every look is taken for the first one after a pause\n"
        "losses = []\n"
        "def end_after_four(lost):\n"
        "    losses.append(lost)\n"
        "    if len(losses) == 4: os.kill(os.getpid(), signal.SIGTERM)\n"
        "print = end_after_four\n"
        "serve(daemon(0.3))\n"
        "sys.stdout.write(' '.join(losses))\n"
    )
    assert (done.stdout.split(), done.returncode) == (["daemon"] * 4, 0), done.stderr


def run_dev(*arguments):
    command = [sys.executable, "-m", "phlo_cli", "dev", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_an_error_on_an_output_that_is_full_keeps_its_exit_code(plain_project):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "phlo_cli", "materialize", "", "--json"],
            stdout=full,
            stderr=subprocess.PIPE,
            env=os.environ | {"PYTHONUNBUFFERED": ""},  # so that Python's end writes once more
            text=True,
            check=False,
        )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "ignored" not in done.stderr


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
        second = run_dev("--port", str(free_ports(1)[0]))
    assert second.returncode == 1
    assert f"http://127.0.0.1:4000 (process {os.getpid()})" in second.stderr


@pytest.mark.integration
@pytest.mark.parametrize(
    "number", [signal.SIGHUP, pytest.param(signal.SIGKILL, marks=pytest.mark.slow)]
)
def test_a_closed_terminal_or_a_kill_leaves_no_process(plain_project, number):
    (port,) = free_ports(1)
    with serving(plain_project, port, preexec_fn=heed_closed_terminal) as dev:
        children = psutil.Process(dev.pid).children(recursive=True)
        dev.send_signal(number)
        dev.wait(timeout=60)
        _, alive = psutil.wait_procs(children, timeout=30)
        assert [child for child in alive if child.status() != psutil.STATUS_ZOMBIE] == []


def heed_closed_terminal():
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
