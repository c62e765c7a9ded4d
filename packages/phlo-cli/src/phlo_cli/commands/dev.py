"""`phlo dev`: Dagster's pages and daemon over this project, without a container."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from importlib.util import find_spec
from typing import TYPE_CHECKING

import click
from phlo.errors import ConfigurationError
from phlo.folders import DEV

from phlo_cli.main import DONE, FAILED
from phlo_cli.output import output_options

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from phlo.config import Settings

    from phlo_cli.output import Output

_STOP_SECONDS = 20
_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PR_SET_PDEATHSIG = 1


@click.command(short_help="Serve Dagster's pages and run the schedules of this project.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    "-p",
    default=3000,
    show_default=True,
    type=click.IntRange(1, 65535),
    help="Port to listen on.",
)
@output_options(json_option=False)
@click.pass_context
def dev(ctx: click.Context, host: str, port: int, output: Output) -> None:
    """Serve Dagster's pages over this project, and run its schedules and sensors.

    Ctrl-C stops all of it. Runs started there and runs of `phlo materialize` are the same runs.
    """
    from phlo_cli.project_settings import require_project

    settings = require_project()
    _require_webserver()
    with serving_alone(settings, f"http://{host}:{port}"):
        _require_address(host, port)
        _end_abandoned_runs(settings)
        output.line(f"Dagster serves {settings.project_dir.name} at http://{host}:{port}")
        output.line("Ctrl-C stops it.\n", style="dim")
        code = run_until_stopped(
            [sys.executable, "-W", "ignore", "-m", "dagster", "dev", "-m", "phlo.definitions"]
            + ["--host", host, "--port", str(port), "--log-level", _log_level(output)],
            _environment(settings),
            cwd=str(settings.project_dir),
        )
        _end_abandoned_runs(settings, was_stopped=True)
    ctx.exit(DONE if code == 0 else FAILED)


@contextlib.contextmanager
def serving_alone(settings: Settings, address: str) -> Iterator[None]:
    """Hold the lock of the project's one `phlo dev`.

    Two daemons of one project would start its schedules' runs twice.

    Raises:
        ConfigurationError: Another process serves the project; names its address.
    """
    from phlo.locks import locked, write_whole

    note = DEV.path(settings.state_dir)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locked(note.with_suffix(".lock"), timeout_seconds=0))
        except BlockingIOError as exc:
            where = note.read_text().strip() if note.exists() else "another address"
            raise ConfigurationError(
                f"{settings.project_dir.name} is being served already, at {where}.",
                hint="Use that one, or stop it first.",
            ) from exc
        write_whole(note, f"{address} (process {os.getpid()})\n")
        stack.callback(note.unlink, missing_ok=True)
        yield


def _require_address(host: str, port: int) -> None:
    """Check that this machine has the address, and that nobody listens there."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as exc:
        raise ConfigurationError(
            f"Dagster's pages cannot be served at {host}:{port}: {exc.strerror or exc}.",
            hint="Choose another one: phlo dev --host 127.0.0.1 --port 3001",
        ) from exc


def _end_abandoned_runs(settings: Settings, *, was_stopped: bool = False) -> None:
    """End runs whose processes are gone: schedules would wait for them.

    A killed `phlo dev` leaves such runs, and one that is stopped while a run's process starts.
    """
    from phlo.orchestration.instance import open_instance

    from phlo_cli.liveness import end_abandoned_runs

    with open_instance(settings) as instance:
        end_abandoned_runs(settings, instance, was_stopped=was_stopped)


def _require_webserver() -> None:
    if find_spec("dagster_webserver") is None:
        raise ConfigurationError(
            "Dagster's web pages are not installed.", hint='pip install "phlo-cli[dev]"'
        )


def _log_level(output: Output) -> str:
    return "info" if output.verbose else "warning"


def _environment(settings: Settings) -> dict[str, str]:
    from phlo.orchestration.instance import prepare_home

    return os.environ | {
        "DAGSTER_HOME": str(prepare_home(settings)),
        "DAGSTER_DISABLE_TELEMETRY": "yes",
        "PHLO_PROJECT_DIR": str(settings.project_dir),
        # BI tools read the marts of the project's own server while this runs.
        "PHLO_POSTGRES_KEEP_RUNNING": os.environ.get("PHLO_POSTGRES_KEEP_RUNNING", "true"),
    }


def run_until_stopped(command: list[str], environment: dict[str, str], cwd: str) -> int:
    """Run a command until it ends or this process is told to stop; leave no child behind.

    The command gets a process group of its own: a Ctrl-C reaches it once, from here, and what
    its children leave behind is found by the group.

    Returns:
        Its exit code; 0 where it was stopped by a signal to this process.
    """
    children: list[subprocess.Popen[bytes]] = []
    stopped = threading.Event()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        stopped.set()
        for child in children:
            child.send_signal(signal.SIGTERM)

    # Before the child is made: one that inherits an ignored SIGINT would ignore SIGTERM too.
    before = {number: signal.signal(number, stop) for number in _heeded_signals()}
    try:
        child = subprocess.Popen(
            command,
            env=environment,
            cwd=cwd,
            start_new_session=True,
            preexec_fn=_end_with_parent,
        )
        children.append(child)
        code = _wait(child, stopped)
        _end_group(child)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return 0 if stopped.is_set() else code


def _heeded_signals() -> list[signal.Signals]:
    """Signals that stop the command; under nohup a closed terminal does not."""
    is_nohup = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return [number for number in _STOPPING if not (number is signal.SIGHUP and is_nohup)]


def _end_with_parent() -> None:
    """Have the system end this process when phlo is killed; Linux alone knows how."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _wait(child: subprocess.Popen[bytes], stopped: threading.Event) -> int:
    """The child's exit code; a child that was told to stop has a limited time for it."""
    left = _STOP_SECONDS
    while child.poll() is None and left > 0:
        time.sleep(0.2)
        left -= 0.2 if stopped.is_set() else 0
    return child.returncode or 0


def _end_group(child: subprocess.Popen[bytes]) -> None:
    """End what is left of the command's process group, kindly and then not."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, number)
        for _ in range(50):
            if not _is_alive(child):
                return
            time.sleep(0.1)


def _is_alive(child: subprocess.Popen[bytes]) -> bool:
    child.poll()
    try:
        os.killpg(child.pid, 0)
    except ProcessLookupError:
        return False
    return True
