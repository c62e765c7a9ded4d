"""`phlo dev`: Dagster's pages and daemon over this project, without a container."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING

import click
from phlo.env_file import is_from_env_file
from phlo.errors import ConfigurationError
from phlo.folders import DEV
from phlo.installing import install_command

from phlo_cli.output import output_options

if TYPE_CHECKING:
    from collections.abc import Iterator

    from phlo.config import Settings

    from phlo_cli.output import Output


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
def dev(host: str, port: int, output: Output) -> None:
    """Serve Dagster's pages over this project, and run its schedules and sensors.

    Ctrl-C stops all of it. Runs started there and runs of `phlo materialize` are the same runs.
    Where one of its processes is killed, by lack of memory say, all of them are started again.
    """
    from phlo_cli.project_settings import require_project

    settings = require_project()
    _require_dev_extra()
    from phlo_cli.services import serve_until_stopped

    def tell_loss(service: str) -> None:
        _end_abandoned_runs(settings)
        output.warn(f"Dagster's {service} has ended: phlo dev starts all of its processes again.")

    with serving_alone(settings, f"http://{host}:{port}"):
        _require_address(host, port)
        _end_abandoned_runs(settings)
        output.line(f"Dagster serves {settings.project_dir.name} at http://{host}:{port}")
        output.line("Ctrl-C stops it.\n", style="dim")
        serve_until_stopped(
            [sys.executable, "-W", "ignore", "-m", "dagster", "dev", "-m", "phlo.definitions"]
            + ["--host", host, "--port", str(port), "--log-level", _log_level(output)],
            _environment(settings),
            cwd=str(settings.project_dir),
            last_heartbeat=lambda: _last_heartbeat(settings),
            on_loss=tell_loss,
        )
        _end_abandoned_runs(settings, was_stopped=True)


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


def _last_heartbeat(settings: Settings) -> float | None:
    from phlo.orchestration.instance import open_instance

    from phlo_cli.dagster_private import last_heartbeat

    with open_instance(settings) as instance:
        return last_heartbeat(instance)


def _require_dev_extra() -> None:
    if any(find_spec(module) is None for module in ("dagster_webserver", "psutil")):
        raise ConfigurationError(
            "Dagster's web pages are not installed.", hint=install_command("phlo-cli[dev]")
        )


def _log_level(output: Output) -> str:
    return "info" if output.verbose else "warning"


def _environment(settings: Settings) -> dict[str, str]:
    from phlo.orchestration.instance import prepare_home

    # Dagster reads .env itself, each time it loads the code anew.
    started_with = {name: v for name, v in os.environ.items() if not is_from_env_file(name)}
    return started_with | {
        "DAGSTER_HOME": str(prepare_home(settings)),
        "DAGSTER_DISABLE_TELEMETRY": "yes",
        "PHLO_PROJECT_DIR": str(settings.project_dir),
        # BI tools read the marts of the project's own server while this runs.
        "PHLO_POSTGRES_KEEP_RUNNING": os.environ.get("PHLO_POSTGRES_KEEP_RUNNING", "true"),
    }
