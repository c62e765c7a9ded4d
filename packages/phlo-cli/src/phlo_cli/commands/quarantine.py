"""`phlo quarantine`: rows that were not good enough, and why."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click
from phlo.words import counted

from phlo_cli.main import DONE, FAILED
from phlo_cli.output import output_options
from phlo_cli.table_summaries import find_table

if TYPE_CHECKING:
    from phlo.lake import Lake
    from phlo.names import TableName
    from phlo.sql import Sql

    from phlo_cli.output import Output

NAMESPACE = "quarantine"


@click.group()
def quarantine() -> None:
    """See the rows that were not loaded and the rules they broke, and load them again."""


@quarantine.command("list")
@output_options()
def list_command(output: Output) -> None:
    """List what is in quarantine, by table and partition.

    A load that did not publish anything left its rows here as well; they are marked so.
    """
    lake = _open()
    tables = [name for name in lake.store.list_tables() if name.namespace == NAMESPACE]
    rows = [row for table in tables for row in _counts(lake, table)]
    output.rows(
        _with_published(rows),
        columns=("table", "partition", "rows", "loaded", "published", "run"),
        right=("rows", "loaded"),
        empty="Nothing is in quarantine.",
    )


@quarantine.command()
@click.argument("table")
@click.option("--partition", metavar="DATE", help="Only rows of this partition.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(min=1))
@output_options()
def show(table: str, partition: str | None, limit: int, output: Output) -> None:
    """Show rows of TABLE that are in quarantine, as they were delivered, and their rules."""
    lake = _open()
    name = find_table(lake.store, table)
    kept = _kept_for(name)
    if lake.store.exists(kept):
        rows = _rows(lake, kept, partition, limit + 1)
    else:
        lake.store.load(name)  # a table that is not there is told apart from one without bad rows
        rows = []
    shown = [_row(row) for row in rows[:limit]]
    if output.as_json:
        output.json(_with_published(shown))
        return
    if not shown:
        output.line(f"No row of {table} is in quarantine.")
    for row in _with_published(shown):
        _print(row, output)
    if len(rows) > limit:
        output.line(f"\nThe first {counted(limit, 'row')}; --limit shows more.", style="dim")


@quarantine.command()
@click.argument("table")
@click.option("--partition", metavar="DATE", help="Only rows of this partition.")
@output_options()
@click.pass_context
def requeue(ctx: click.Context, table: str, partition: str | None, output: Output) -> None:
    """Load rows of TABLE that are in quarantine again, by the schema and the checks of today.

    Use it once the schema is corrected. Rows that are good now go to the table, each as of the
    time when it was extracted; the others stay. Rows of each partition, and of each run that
    found some, are loaded by a run of their own.
    """
    with output.busy("Loading the project"):
        from phlo.lake import open_lake
        from phlo.names import FROM_QUARANTINE_TAG

        from phlo_cli.location import open_location
        from phlo_cli.names import select
        from phlo_cli.plan import build_plan
        from phlo_cli.run_report import run_plan

        location, lake = open_location(), open_lake()
        name = find_table(lake.store, table)
        keys = select(location, [str(name)])
        waiting = _waiting(lake, name, partition)
        plans = [(build_plan(location, keys, partition=day), run_id) for day, run_id in waiting]
    ended = [
        run_plan(location, plan, output, tags={FROM_QUARANTINE_TAG: run_id})
        for plan, run_id in plans
    ]
    if output.as_json:
        output.json([summary.as_dict() for summary in ended])
    elif not plans:
        output.line(f"No row of {name} is in quarantine.")
    ctx.exit(DONE if all(summary.is_ok for summary in ended) else FAILED)


@quarantine.command()
@click.argument("table")
@click.option("--partition", metavar="DATE", help="Only rows of this partition.")
@click.option("--yes", is_flag=True, help="Discard them; without this, only count them.")
@output_options()
@click.pass_context
def discard(
    ctx: click.Context, table: str, partition: str | None, yes: bool, output: Output
) -> None:
    """Take rows of TABLE out of quarantine that nobody wants to load any more.

    The table itself stays as it is. Where a load brings other rows meanwhile, nothing is discarded;
    count them anew. Earlier states of the quarantine are kept as long as those of
    any table: `phlo query --at` reads them.
    """
    lake = _open()
    name = find_table(lake.store, table)
    kept = _kept_for(name)
    counted_at = lake.store.load(kept).snapshot_id if lake.store.exists(kept) else None
    count = sum(row["rows"] for row in _waiting_rows(lake, name, partition))
    if count and yes:
        _discard(lake, kept, partition, counted_at)
    if output.as_json:
        output.json({"table": str(name), "rows": count, "is_discarded": yes})
    elif not count:
        output.line(f"No row of {name} is in quarantine.")
    else:
        verb = "discarded" if yes else "would be discarded; --yes discards them"
        output.line(f"{counted(count, 'row')} of {name} {verb}.")
    ctx.exit(DONE if yes or not count else FAILED)


def _discard(lake: Lake, kept: TableName, partition: str | None, snapshot_id: int | None) -> None:
    """Replace rows in quarantine by none.

    Raises:
        MovedHeadError: Other rows came since the snapshot in which they were counted.
    """
    from phlo.names import Partition
    from phlo.values import Replace
    from pyarrow.dataset import dataset

    schema = lake.store.load(kept).schema
    day = Partition.parse(partition) if partition is not None else None
    how = Replace(day, revises=snapshot_id)
    none = dataset(schema.empty_table())
    lake.store.publish([lake.store.stage(kept, none, how, schema=schema)])


def _waiting(lake: Lake, table: TableName, partition: str | None) -> list[tuple[str | None, str]]:
    """Return partitions that have rows in quarantine, with the runs that found them."""
    rows = _waiting_rows(lake, table, partition)
    return [(_day(row), row["run_id"]) for row in rows]


def _waiting_rows(lake: Lake, table: TableName, partition: str | None) -> list[dict[str, Any]]:
    """Count the rows in quarantine by partition and run."""
    kept = _kept_for(table)
    if not lake.store.exists(kept):
        lake.store.load(table)  # a table that is not there is told apart from one without bad rows
        return []
    return [row for row in _counts(lake, kept) if partition in (None, _day(row))]


def _day(row: dict[str, Any]) -> str | None:
    return row["partition"].isoformat() if row["partition"] else None


def _open() -> Lake:
    from phlo.lake import open_lake

    from phlo_cli.project_settings import require_project

    require_project()
    return open_lake()


def _kept_for(table: TableName) -> TableName:
    from phlo.names import TableName

    return TableName(NAMESPACE, f"{table.namespace}__{table.name}")


def _counts(lake: Lake, table: TableName) -> list[dict[str, Any]]:
    from phlo.sql import sql

    namespace, _, name = table.name.partition("__")
    counted_rows = _query(
        lake,
        sql(
            'SELECT _phlo_partition_date AS "partition", run_id, '
            "count(*) AS row_count, CAST(count_if(is_loaded) AS BIGINT) AS loaded "
            "FROM {t} GROUP BY 1, 2 "
            "ORDER BY 1, 2",
            t=table,
        ),
    )
    return [
        {"table": f"{namespace}.{name}", "rows": row.pop("row_count"), **row}
        for row in counted_rows
    ]


def _rows(lake: Lake, table: TableName, partition: str | None, limit: int) -> list[dict[str, Any]]:
    from phlo.names import Partition
    from phlo.sql import Sql, sql

    where: Sql = Sql("")
    if partition is not None:
        day = Partition.parse(partition).date
        where = sql(" WHERE _phlo_partition_date = {d}", d=day)
    return _query(
        lake,
        sql(
            "SELECT * FROM {t}{where} ORDER BY _phlo_partition_date, key LIMIT {n}",
            t=table,
            where=where,
            n=limit,
        ),
    )


def _query(lake: Lake, statement: Sql) -> list[dict[str, Any]]:
    return lake.engine.query(statement).read_all().to_pylist()


def _row(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "partition": row["_phlo_partition_date"],
        "key": json.loads(row["key"]),
        "rules": json.loads(row["rules"]),
        "row": json.loads(row["row"]),
        "is_loaded": row["is_loaded"],
        "attempt": row["attempt"],
        "run_id": row["run_id"],
    }


def _with_published(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Add whether the run that found the rows succeeded, so that the rest of it was loaded."""
    from phlo.config import get_settings
    from phlo.orchestration.instance import open_instance

    with open_instance(get_settings()) as instance:
        runs = {run_id: instance.get_run_by_id(run_id) for run_id in {r["run_id"] for r in rows}}
    return [
        row
        | {
            "published": run.is_success if (run := runs[row["run_id"]]) else None,
            "run": row["run_id"][:8],
        }
        for row in rows
    ]


def _print(row: dict[str, Any], output: Output) -> None:
    key = ", ".join(f"{name}={value!r}" for name, value in row["key"].items())
    note = "" if row["published"] else " (its load published nothing)"
    note = " (loaded all the same)" if row["is_loaded"] and row["published"] else note
    head = " ".join(filter(None, (str(row["partition"] or ""), key)))
    output.line(head + note, style="bold")
    for rule in row["rules"]:
        output.line(f"  breaks {rule}", style="red")
    output.line(f"  {json.dumps(row['row'], ensure_ascii=False)}")
