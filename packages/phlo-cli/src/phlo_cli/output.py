"""What commands print: text for people, JSON for programs."""

from __future__ import annotations

import json
import math
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from rich.console import Console
    from rich.table import Table

_UNBROKEN = 10_000
_GAP = 3
_PROSE = 24
"""Characters from which a cell is folded where the terminal is narrow."""

F = TypeVar("F", bound="Callable[..., Any]")


@dataclass(frozen=True)
class Output:
    """Where a command's answer goes.

    Attributes:
        as_json: Print JSON, and nothing else, on standard output.
        verbose: Show tracebacks and all that is logged.
    """

    as_json: bool = False
    verbose: bool = False

    @cached_property
    def console(self) -> Console:
        """The terminal, for text; with JSON it is standard error, so that output stays JSON."""
        from rich.console import Console

        console = Console(stderr=self.as_json, highlight=False)
        if not console.is_terminal:
            console.width = _UNBROKEN  # what goes into a file or a pipe is not folded
        return console

    def json(self, value: Any) -> None:
        """Print a value as JSON; dates, decimals and names become text, NaN becomes null."""
        click.echo(json.dumps(_finite(value), default=plain, indent=2, ensure_ascii=False))

    def line(self, text: str = "", style: str | None = None) -> None:
        """Print one line of text; brackets in it are no markup."""
        self.console.print(text, style=style, markup=False, soft_wrap=True)

    @cached_property
    def _progress_console(self) -> Console:
        from rich.console import Console

        return Console(stderr=True, highlight=False)

    def warn(self, text: str) -> None:
        """Print a warning on standard error, above what says that a command is busy."""
        if sys.stderr.isatty():
            self._progress_console.print(f"! {text}", style="yellow", markup=False, soft_wrap=True)
        else:
            click.secho(f"! {text}", fg="yellow", err=True)

    @contextmanager
    def busy(self, text: str) -> Iterator[None]:
        """Say on a terminal what is going on, until it is over."""
        if self.as_json or not self.console.is_terminal:
            yield
            return
        with self._progress_console.status(f"{text} ..."):
            yield

    def rows(
        self,
        rows: Sequence[dict[str, Any]],
        *,
        columns: Sequence[str],
        empty: str,
        right: Iterable[str] = (),
        headers: Sequence[str] | None = None,
        spare: Sequence[str] = (),
    ) -> None:
        """Print rows: as JSON whole, as text a table of ``columns``.

        Args:
            rows: One mapping per row; all keys go to JSON.
            columns: Keys shown in text, in order; the headers are these, underscores as blanks.
            empty: What to say in text where there are no rows.
            right: Columns of numbers, set to the right.
            headers: What stands above the columns, where that is not their keys.
            spare: Columns that a narrow terminal may do without, the first one first.
        """
        if self.as_json:
            self.json(list(rows))
        elif rows:
            shown = _fitting(rows, columns, spare, self.console.width + _GAP)
            names = dict(zip(columns, headers or _headers(columns), strict=True))
            table = _table(rows, shown, [names[name] for name in shown], set(right))
            needs = _needs(rows, shown)
            if sum(needs) <= self.console.width + _GAP:  # no word is broken
                for column, need in zip(table.columns, needs, strict=True):
                    column.min_width = need - _GAP
            self.console.print(table)
            left_out = [name for name in columns if name not in shown]
            self._tell_left_out([name for name in left_out if not _is_empty(rows, name)])
        else:
            self.line(empty)

    def _tell_left_out(self, columns: Sequence[str]) -> None:
        if columns:
            names = ", ".join(_headers(columns))
            self.line(f"\nNot shown: {names}. A wider terminal and --json have it.", style="dim")


def _fitting(
    rows: Sequence[dict[str, Any]], columns: Sequence[str], spare: Sequence[str], width: int
) -> list[str]:
    """Return the columns of a table that fits: without spare ones, as need be, empty ones first."""
    shown = list(columns)
    for column in sorted(spare, key=lambda column: not _is_empty(rows, column)):
        if sum(_needs(rows, shown)) > width:
            shown.remove(column)
    return shown


def _is_empty(rows: Sequence[dict[str, Any]], column: str) -> bool:
    return all(cell(row.get(column)) == "-" for row in rows)


def _needs(rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> list[int]:
    """Return the characters that each column needs, with the gap behind it; prose is folded."""
    needs = []
    for column in columns:
        texts = [column, *(cell(row.get(column)) for row in rows)]
        longest_word = max(len(word) for text in texts for word in text.split() or [""])
        needs.append(min(max(map(len, texts)), max(longest_word, _PROSE)) + _GAP)
    return needs


def _headers(columns: Sequence[str]) -> list[str]:
    return [column.replace("_", " ") for column in columns]


def _table(
    rows: Sequence[dict[str, Any]],
    columns: Sequence[str],
    headers: Sequence[str],
    right: set[str],
) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
    for column, header in zip(columns, headers, strict=True):
        justify = "right" if column in right else "left"
        first = column == columns[0]  # it names the row: broken it could not be copied
        table.add_column(
            Text(header),
            justify=justify,
            overflow="fold",
            no_wrap=first,
        )
    for row in rows:
        table.add_row(*(Text(cell(row.get(column))) for column in columns))
    return table


def plain(value: Any) -> Any:
    r"""Convert a value for programs: ISO dates, hexadecimal bytes.

    >>> import datetime
    >>> plain(datetime.date(2025, 1, 15)), plain(b"\x01"), plain(1.5)
    ('2025-01-15', '01', 1.5)
    """
    if isinstance(value, date):  # a datetime is one too
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    if _is_interval(value):
        return interval_text(*value)
    return value if isinstance(value, bool | int | float | str) else str(value)


def _finite(value: Any) -> Any:
    """Replace numbers that JSON does not have by null."""
    if isinstance(value, dict):
        return {str(name): _finite(inner) for name, inner in value.items()}
    if _is_interval(value):
        return interval_text(*value)
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _is_interval(value: Any) -> bool:
    """Return whether it is Arrow's interval, a tuple whose class is not loaded here."""
    return type(value).__name__ == "MonthDayNano"


def interval_text(months: int, days: int, nanoseconds: int) -> str:
    """Format an interval as Trino shows it.

    >>> interval_text(14, 0, 0), interval_text(0, 1, -1_500_000_000)
    ('1-2', '0 23:59:58.500')
    """
    sign = "-" if months < 0 else ""
    if months and not days and not nanoseconds:
        return f"{sign}{abs(months) // 12}-{abs(months) % 12}"
    milliseconds = days * 86_400_000 + nanoseconds // 1_000_000
    seconds, rest = divmod(abs(milliseconds), 1000)
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    sign = "-" if milliseconds < 0 else ""
    return f"{sign}{hours // 24} {hours % 24:02}:{minute:02}:{second:02}.{rest:03}"


def cell(value: Any) -> str:
    """Format a value for people.

    >>> cell(None), cell(1234567), cell(True), cell(["a", "b"])
    ('-', '1,234,567', 'yes', 'a, b')
    """
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if _is_interval(value):
        return interval_text(*value)
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="seconds").removesuffix("+00:00")
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def output_options(*, json_option: bool = True) -> Callable[[F], F]:
    """Give a command ``--json`` and ``--verbose``; it receives them as ``output``."""

    def decorate(command: F) -> F:
        import functools

        @functools.wraps(command)
        def wrapped(*args: Any, verbose: bool, as_json: bool = False, **kwargs: Any) -> Any:
            above = (click.get_current_context().find_root().obj or {}).get("verbose", False)
            output = Output(as_json=as_json, verbose=verbose or above)
            return command(*args, output=output, **kwargs)

        decorated: Any = click.option("--verbose", "-v", is_flag=True, help="Show tracebacks.")(
            wrapped
        )
        if json_option:
            decorated = click.option(
                "--json", "as_json", is_flag=True, help="Print JSON, for programs."
            )(decorated)
        return decorated

    return decorate


def is_terminal() -> bool:
    """Return whether standard output is a terminal."""
    return sys.stdout.isatty()
