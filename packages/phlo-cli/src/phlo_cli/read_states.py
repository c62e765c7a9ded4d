"""The states of tables that a query reads, as a user names them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from phlo.errors import TableNotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from phlo.config import Settings
    from phlo.lake import Lake
    from phlo.names import TableName


def find_states(
    sql: str, names: Sequence[str], lake: Lake, settings: Settings
) -> dict[TableName, str]:
    """Find what a query reads instead of the newest state, by table.

    Args:
        sql: The query.
        names: Each a state of the lake as `phlo diff` takes it, for all tables of the query; or
            ``TABLE=NAME`` for one, by a branch, a tag or a snapshot of that table alone.
        lake: Where the tables are.
        settings: Of the project.

    Raises:
        click.UsageError: Nothing is called so, or a name is a branch of the lake.
        TableNotFoundError: A table did not exist in that state, or it is no longer kept.
    """
    from phlo_cli.table_summaries import find_table

    read = lake.engine.tables(sql)
    found: dict[TableName, str] = {}
    for name in (n for n in names if "=" not in n):
        # A name that is no table is told by the query itself, with the nearest ones.
        found |= _of_lake(filter(lake.store.exists, read), name, settings)
    for text, _, state in (n.partition("=") for n in names if "=" in n):
        if not text or not state:
            raise click.UsageError("--at takes a state, or TABLE=NAME.")
        table = find_table(lake.store, text)
        if table not in read:
            tables = ", ".join(sorted(map(str, read))) or "no table"
            raise click.UsageError(f"The query does not read {table}. It reads {tables}.")
        found[table] = state
    return found


def _of_lake(read: Iterable[TableName], name: str, settings: Settings) -> dict[TableName, str]:
    from phlo_cli.lake_branches import open_branches
    from phlo_cli.lake_states import LakeHistory

    history = LakeHistory(open_branches(), settings.branch, settings.timezone)
    state = history.find(name)
    if state.branch != settings.branch or state.at is None:
        raise click.UsageError(f"{name!r} is a branch. Read it with --branch {name}.")
    found: dict[TableName, str] = {}
    for table in read:
        version = history.version(state, table)
        if version is None or version.snapshot_id is None:
            raise TableNotFoundError(
                f"{table} had no rows in the state {name!r}.",
                hint=f"`phlo catalog history {table}` lists its states.",
                table=table,
            )
        found[table] = str(version.snapshot_id)
    return found
