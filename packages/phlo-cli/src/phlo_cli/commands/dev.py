"""`phlo dev`: Dagster's pages and daemon over this project, without a container."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from importlib.util import find_spec
from typing import TYPE_CHECKING

import click
from phlo.errors import ConfigurationError

from phlo_cli.main import DONE, FAILED
from phlo_cli.output import output_options

if TYPE_CHECKING:
    from types import FrameType

    from phlo.config import Settings

    from phlo_cli.output import Output

_STOP_SECONDS = 20


@click.command(short_help="Serve Dagster's pages and run the schedules of this project.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", "-p", default=3000, show_default=True, help="Port to listen on.")
@output_options(json_option=False)
@click.pass_context
def dev(ctx: click.Context, host: str, port: int, output: Output) -> None:
    """Serve Dagster's pages over this project, and run its schedules and sensors.

    Ctrl-C stops all of it. Runs started there and runs of `phlo materialize` are the same runs.
    """
    from phlo_cli.location import require_project

    settings = require_project()
    _require_webserver()
    output.line(f"Dagster serves {settings.project_dir.name} at http://{host}:{port}")
    output.line("Ctrl-C stops it.\n", style="dim")
    code = run_until_stopped(
        [sys.executable, "-W", "ignore", "-m", "dagster", "dev", "-m", "phlo.definitions"]
        + ["--host", host, "--port", str(port), "--log-level", _log_level(output)],
        _environment(settings),
        cwd=str(settings.project_dir),
    )
    ctx.exit(DONE if code == 0 else FAILED)


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
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        child = subprocess.Popen(command, env=environment, cwd=cwd, start_new_session=True)
        children.append(child)
        code = _wait(child, stopped)
        _end_group(child)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return 0 if stopped.is_set() else code


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
