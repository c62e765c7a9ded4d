"""`phlo query`: SQL over the project's tables."""

from __future__ import annotations

import csv
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click
from phlo.errors import PhloError
from phlo.redaction import redact
from phlo.words import counted

from phlo_cli.output import cell, is_terminal, output_options, plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa

    from phlo_cli.output import Output

_PROMPT, _MORE = "phlo> ", "  ... "
_BOOKKEEPING = ("_phlo_", "_dlt_")


@click.command(short_help="Ask the project's tables in SQL.")
@click.argument("sql", required=False)
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV, with a header.")
@click.option(
    "--limit",
    default=100,
    show_default=True,
    type=click.IntRange(min=1),
    help="Rows shown on the terminal; JSON and CSV have all.",
)
@click.option(
    "--at",
    "states",
    multiple=True,
    metavar="STATE",
    help="Read the tables as they were at a time, a run or a snapshot (as `phlo diff` takes them); "
    "or TABLE=NAME: one of them by its own branch, tag or snapshot, such as a kept audit.",
)
@click.option(
    "--all",
    "-a",
    "with_bookkeeping",
    is_flag=True,
    help="Show the bookkeeping columns of `SELECT *` (_phlo_..., _dlt_...) on a terminal too.",
)
@output_options()
def query(
    sql: str | None,
    as_csv: bool,
    limit: int,
    states: tuple[str, ...],
    with_bookkeeping: bool,
    output: Output,
) -> None:
    """Answer one SELECT, written in Trino's dialect, over the project's tables.

    Without SQL it is read from standard input; on a terminal that is a prompt, where a
    statement ends with a semicolon. There a `SELECT *` shows the columns of your own; --all, files,
    pipes, JSON and CSV have all.

    \b
    phlo query "SELECT count(*) FROM bronze.events"
    phlo query --csv "SELECT * FROM marts.daily" > daily.csv
    phlo query --at 2025-01-15 "SELECT count(*) FROM bronze.events"
    """  # noqa: D301 - click reads the backspace
    if as_csv and output.as_json:
        raise click.UsageError("Choose one of --csv and --json.")
    if sql is None and sys.stdin.isatty() and is_terminal():
        _converse(as_csv, limit, states, output, with_bookkeeping)
    else:
        text = sql if sql is not None else sys.stdin.read()
        _answer(text, as_csv, limit, states, output, with_bookkeeping)


def _converse(
    as_csv: bool, limit: int, states: Sequence[str], output: Output, with_bookkeeping: bool
) -> None:
    output.line("SQL in Trino's dialect; end with a semicolon, leave with Ctrl-D.", style="dim")
    for statement in _statements():
        try:
            _answer(statement, as_csv, limit, states, output, with_bookkeeping)
        except PhloError as error:
            output.line(redact(f"Error: {error}"), style="red")


def _statements() -> Iterator[str]:
    import readline  # noqa: F401 - gives input() its history and editing

    lines: list[str] = []
    while True:
        try:
            lines.append(input(_MORE if lines else _PROMPT))
        except KeyboardInterrupt:
            lines = []
            click.echo()
            continue
        except EOFError:
            click.echo()
            return
        if lines[-1].rstrip().endswith(";"):
            yield "\n".join(lines)
            lines = []


def _answer(
    sql: str,
    as_csv: bool,
    limit: int,
    states: Sequence[str],
    output: Output,
    with_bookkeeping: bool,
) -> None:
    from phlo.lake import open_lake

    from phlo_cli.project_settings import require_project

    settings, lake, statement = require_project(), open_lake(), sql.strip().rstrip(";")
    at = None
    if states:
        from phlo_cli.read_states import find_states

        at = find_states(statement, states, lake, settings)
    reader = lake.engine.query(statement, at=at)
    if as_csv:
        _print_csv(reader)
    elif output.as_json:
        output.json([row for batch in reader for row in _rows(batch)])
    else:
        is_hiding = is_terminal() and not with_bookkeeping
        _print_table(
            reader, limit, output, hidden_columns(reader.schema.names, sql) if is_hiding else ()
        )


def _print_csv(reader: pa.RecordBatchReader) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(reader.schema.names)
    for batch in reader:
        for row in _rows(batch):
            writer.writerow([_field(row[name]) for name in reader.schema.names])


def _field(value: Any) -> Any:
    return "" if value is None else plain(value)


def hidden_columns(schema: Sequence[str], sql: str) -> list[str]:
    """Return the bookkeeping columns of a result that its query does not name: those of a star.

    >>> hidden_columns(["id", "_dlt_id", "_phlo_run_id"], "SELECT *, _dlt_id FROM orders")
    ['_phlo_run_id']
    >>> hidden_columns(["_dlt_id"], "SELECT * FROM all_that_a_query_left")
    []
    """
    hidden = [n for n in schema if n.startswith(_BOOKKEEPING) and n not in sql.lower()]
    return hidden if len(hidden) < len(schema) else []


def _print_table(
    reader: pa.RecordBatchReader, limit: int, output: Output, hidden: Sequence[str]
) -> None:
    import pyarrow as pa
    import pyarrow.types as kinds

    rows, more = _first(reader, limit)
    schema = pa.schema([field for field in reader.schema if field.name not in hidden])
    numbers = [f.name for f in schema if kinds.is_integer(f.type) or kinds.is_floating(f.type)]
    numbers += [f.name for f in schema if kinds.is_decimal(f.type)]
    shown = [{name: _shown(row[name]) for name in schema.names} for row in rows]
    if _width(shown, schema.names) > output.console.width:
        _print_upright(shown, output)
    else:
        output.rows(
            shown, columns=schema.names, headers=schema.names, right=numbers, empty="No rows."
        )
    if more:
        output.line(f"\nThe first {counted(limit, 'row')}; --limit shows more.", style="dim")
    if hidden and rows:
        output.line(f"\nNot shown: {', '.join(hidden)}; --all shows them.", style="dim")


def _width(rows: list[dict[str, str]], names: list[str]) -> int:
    """Return characters that the widest line of a table needs."""
    widths = [max((len(row[name]) for row in rows), default=0) for name in names]
    return sum(max(w, len(n)) + 3 for w, n in zip(widths, names, strict=True))


def _print_upright(rows: list[dict[str, str]], output: Output) -> None:
    """Print one line per value, for rows that are wider than the terminal."""
    for number, row in enumerate(rows, start=1):
        output.line(f"Row {number}", style="bold")
        widest = max(map(len, row))
        for name, value in row.items():
            output.line(f"  {name:<{widest}}  {value}")


def _shown(value: Any) -> str:
    """Format a value unchanged: numbers without separators, null unlike the empty text."""
    if value is None:
        return "NULL"
    return str(value) if isinstance(value, int | datetime) else cell(value)


def _rows(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    """Return the rows of a batch.

    Arrow imports pandas, for a fifth of a second, to read times with a zone; so those in UTC are
    read as times without one.
    """
    columns = [_values(column) for column in batch.columns]
    return [dict(zip(batch.schema.names, row, strict=True)) for row in zip(*columns, strict=True)]


def _values(column: pa.Array) -> list[Any]:
    import pyarrow as pa

    if column.type not in (pa.timestamp("us", "UTC"), pa.timestamp("us", "Etc/UTC")):
        return column.to_pylist()
    times = column.view(pa.timestamp("us")).to_pylist()  # a cast imports pyarrow.compute
    return [time if time is None else time.replace(tzinfo=UTC) for time in times]


def _first(reader: pa.RecordBatchReader, limit: int) -> tuple[list[dict[str, Any]], bool]:
    rows: list[dict[str, Any]] = []
    for batch in reader:
        rows.extend(_rows(batch.slice(0, limit + 1 - len(rows))))
        if len(rows) > limit:
            return rows[:limit], True
    return rows, False
