"""`phlo logs`: what runs logged."""

from __future__ import annotations

import contextlib
import json
import logging
import re
import signal
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click

from phlo_cli.output import output_options, plain

if TYPE_CHECKING:
    from dagster import DagsterInstance

    from phlo_cli.logs import LogFilter, LogLine
    from phlo_cli.output import Output

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_STYLES = {"WARNING": "yellow", "ERROR": "red", "CRITICAL": "red bold", "DEBUG": "dim"}
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
_WIDEST = 200


class Ago(click.ParamType):
    """A time back from now, such as ``30m``, ``1h`` or ``2d``."""

    name = "time"

    def convert(
        self, value: str | datetime, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """Convert the text to the moment it means, in UTC."""
        if isinstance(value, datetime):
            return value
        match = re.fullmatch(r"(\d+)([smhd])", value)
        if match is None:
            self.fail(f"{value!r} is no time such as 30m, 1h or 2d.", param, ctx)
        try:
            return datetime.now(UTC) - timedelta(**{_UNITS[match[2]]: int(match[1])})
        except OverflowError:  # before the first year there is
            return datetime.min.replace(tzinfo=UTC)


@click.command(short_help="Show what runs logged.")
@click.option("--asset", metavar="NAME", help="Only what makes or checks this asset or table.")
@click.option("--job", metavar="NAME", help="Only runs of this job.")
@click.option(
    "--level",
    type=click.Choice(_LEVELS, case_sensitive=False),
    default="INFO",
    show_default=True,
    help="Lowest level shown.",
)
@click.option("--since", type=Ago(), metavar="TIME", help="Only the last 30m, 1h, 2d ...")
@click.option("--run-id", metavar="ID", help="Only this run; its first letters are enough.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(min=1))
@click.option("--follow", "-f", is_flag=True, help="Go on as lines are written.")
@click.option("--full", is_flag=True, help="Cut nothing off, and show tracebacks.")
@output_options()
def logs(
    asset: str | None,
    job: str | None,
    level: str,
    since: datetime | None,
    run_id: str | None,
    limit: int,
    follow: bool,
    full: bool,
    output: Output,
) -> None:
    """Show what runs logged, newest last.

    JSON has every line whole; with --follow it is one object per line.
    """
    from phlo.orchestration.instance import open_instance

    from phlo_cli.logs import LogFilter, read_lines
    from phlo_cli.project_settings import require_project

    lowest = logging.getLevelNamesMapping()[level.upper()]
    wanted = LogFilter(
        level=lowest, job=job, since=since, run_id=run_id, assets=_assets(asset, output)
    )
    with open_instance(require_project()) as instance:
        if job is not None:
            _require_job(instance, job, output)
        if follow:
            _follow(instance, wanted, limit, full, output)
            return
        lines = read_lines(instance, wanted, limit)
    if output.as_json:
        output.json([line.as_dict() for line in lines])
        return
    if not lines:
        days = require_project().history_keep_days if run_id is not None else 0
        kept = f" What runs log is kept for {days} days." if days else ""
        output.line(f"No run has logged anything like that.{kept}")
    for line in lines:
        _print(line, full or output.verbose, output)


def _require_job(instance: DagsterInstance, job: str, output: Output) -> None:
    """Refuse a job that neither ran nor is declared."""
    from dagster import RunsFilter

    if not instance.get_runs_count(RunsFilter(job_name=job)):
        from phlo_cli.known_names import require_known
        from phlo_cli.known_project import read_project

        require_known(job, read_project(output).jobs, "job")


def _assets(name: str | None, output: Output) -> frozenset:
    """Find the assets of a name in the index, of an expression in the project itself."""
    if name is None:
        return frozenset()
    from dagster import AssetKey

    from phlo_cli.known_names import find_key
    from phlo_cli.known_project import read_project

    key = find_key(name, read_project(output))
    if key is not None:
        return frozenset({AssetKey.from_user_string(key)})
    from phlo_cli.location import open_location
    from phlo_cli.names import select

    location = open_location()
    try:
        return select(location, [name])
    finally:
        location.instance.dispose()


def _follow(
    instance: DagsterInstance, wanted: LogFilter, limit: int, full: bool, output: Output
) -> None:
    from phlo_cli.logs import follow_lines

    # Dagster turns SIGTERM into an exception, which can be lost inside a callback; a reader may
    # just end.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with contextlib.suppress(KeyboardInterrupt):
        for line in follow_lines(instance, wanted, limit):
            _print(line, full or output.verbose, output)


def _print(line: LogLine, full: bool, output: Output) -> None:
    if output.as_json:
        click.echo(json.dumps(line.as_dict(), default=plain, ensure_ascii=False))
        return
    where = " ".join(filter(None, (line.step, line.partition)))
    head = f"{line.at:%Y-%m-%d %H:%M:%S} {line.run_id[:8]} {line.level:<7} "
    text = _whole(line) if full else _short(line.message)
    output.line(f"{head}{where}: {text}" if where else head + text, style=_STYLES.get(line.level))


def _whole(line: LogLine) -> str:
    return f"{line.message}\n{line.detail}" if line.detail else line.message


def _short(message: str) -> str:
    first, *more = message.splitlines() or [""]
    cut = first if len(first) <= _WIDEST else first[: _WIDEST - 4]
    return cut + " ..." if more or cut != first else cut
