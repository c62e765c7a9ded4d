"""`phlo catalog`: what tables there are, and how they became what they are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from phlo.names import MAIN
from phlo.undo import undone_runs
from phlo.values import LoadAccount
from phlo.words import counted

from phlo_cli.main import DONE, FAILED
from phlo_cli.output import output_options
from phlo_cli.table_summaries import find_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from phlo.migration import MigratedTable, MigratesTables
    from phlo.names import TableName
    from phlo.protocols import StoredTable, TableStore
    from phlo.values import Snapshot, TableSummary

    from phlo_cli.output import Output


@click.group()
def catalog() -> None:
    """See the project's tables."""


@catalog.command()
@click.option("--namespace", metavar="NAME", help="Only tables of this namespace.")
@output_options()
def tables(namespace: str | None, output: Output) -> None:
    """List the tables, with their rows and when they last changed."""
    from phlo_cli.table_summaries import summarize_tables

    store = open_store()
    names = store.list_tables()
    if namespace is not None and namespace not in {name.namespace for name in names}:
        _require_declared(namespace, output)
    summaries = summarize_tables(store, [n for n in names if namespace in (None, n.namespace)])
    output.rows(
        [_table_row(name, summary) for name, summary in summaries.items()],
        columns=("table", "rows", "columns", "snapshots", "changed"),
        right=("rows", "columns", "snapshots"),
        empty="There is no table yet. `phlo materialize` makes them.",
    )


@catalog.command()
@click.argument("table")
@output_options()
def describe(table: str, output: Output) -> None:
    """Show the columns of TABLE, its rows and where it is kept."""
    store = open_store()
    stored = store.load(find_table(store, table))
    if output.as_json:
        output.json(_facts(stored) | {"columns": _columns(stored)})
        return
    for name, value in _facts(stored).items():
        output.line(f"{name.replace('_', ' '):<12}{value if value is not None else '-'}")
    output.line()
    output.rows(_columns(stored), columns=("column", "type", "null", "description"), empty="")


@catalog.command()
@click.argument("table")
@click.option("--limit", default=20, show_default=True, help="Snapshots shown.")
@output_options()
def history(table: str, limit: int, output: Output) -> None:
    """Show the snapshots of TABLE, newest first, with the account of each load."""
    store = open_store()
    snapshots = store.history(find_table(store, table))[:limit]
    output.rows(
        [_snapshot_row(snapshot) for snapshot in snapshots],
        columns=("snapshot_id", "committed_at", "operation", "partition", "account", "run"),
        spare=("operation", "partition", "run"),
        empty="The table has no snapshot.",
    )


@catalog.command()
@click.argument("table")
@click.option("--yes", is_flag=True, help="Drop it; without this, only say what would be dropped.")
@output_options()
@click.pass_context
def drop(ctx: click.Context, table: str, yes: bool, output: Output) -> None:
    """Take TABLE out of the catalog: nobody can read it any more.

    Its files stay in its folder until you delete them. The partitions of its asset count as
    missing, and the cursor of its source is gone with it: the next load makes the table anew, from
    the beginning. Marts, models and quarantine made from it stay as they are.
    """
    store = open_store()
    stored = store.load(find_table(store, table))
    facts = _facts(stored)  # while its files are named: after the drop nothing may fail
    if yes:
        _forget_made(stored.name, output)
        store.drop(stored.name)
    _tell_dropped(facts, output, is_dropped=yes)
    ctx.exit(DONE if yes else FAILED)


def _forget_made(table: TableName, output: Output) -> None:
    """Let the partitions of a table's assets count as missing.

    It comes before the drop: after a kill in between, partitions that are there are loaded again.
    The other way round they would be gone, and no schedule would load them.
    """
    from dagster import AssetKey
    from phlo.config import get_settings
    from phlo.orchestration.instance import open_instance

    from phlo_cli.known_project import read_project

    made = [asset.key for asset in read_project(output).assets if asset.table == str(table)]
    if made:
        with open_instance(get_settings()) as instance:
            instance.wipe_assets([AssetKey.from_user_string(key) for key in made])


def _tell_dropped(facts: Mapping[str, Any], output: Output, *, is_dropped: bool) -> None:
    if output.as_json:
        output.json({**facts, "is_dropped": is_dropped})
        return
    rows = counted(facts["rows"] or 0, "row")
    output.line(f"{facts['table']} {'was' if is_dropped else 'would be'} dropped: {rows}.")
    output.line(f"Its files stay in {facts['location']}; delete the folder once nobody needs it.")
    if not is_dropped:
        output.line(f"Drop it: phlo catalog drop {facts['table']} --yes")


@catalog.command()
@click.argument("tables", nargs=-1, metavar="[TABLE]...")
@click.option(
    "--from",
    "folder",
    metavar="FOLDER",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Project whose embedded tables are copied; by default this one.",
)
@click.option("--dry-run", is_flag=True, help="Show what would be copied, and copy nothing.")
@output_options()
def migrate(tables: tuple[str, ...], folder: Path | None, dry_run: bool, output: Output) -> None:
    """Copy TABLEs of the embedded lake into the catalog of the settings; by default all.

    First set the new catalog and warehouse in .env. History, properties, source cursors and, where
    no TABLE is named, branches come too. A table appears when its rows were compared. The embedded
    lake stays as it is; a table of the catalog that has other content is never changed. Stop the
    loads before. After an interrupt or a kill, the same command goes on.
    """
    migrated = _migrate(folder, tables, dry_run=dry_run, output=output)
    if output.as_json:
        output.json({"dry_run": dry_run, "tables": [_migrated_row(one) for one in migrated]})
        return
    output.rows(
        [_migrated_row(one) for one in migrated],
        columns=("table", "branch", "action", "rows", "snapshots", "files", "megabytes"),
        spare=("branch",),
        right=("rows", "snapshots", "files", "megabytes"),
        empty="The embedded lake has no table.",
    )
    if dry_run and any(one.action != "present" for one in migrated):
        output.line("Nothing was copied: this is a dry run. Leave out --dry-run to copy them.")


def _migrate(
    folder: Path | None, tables: Sequence[str], *, dry_run: bool, output: Output
) -> list[MigratedTable]:
    from phlo.folders import STATE_DIR
    from phlo.names import TableName

    from phlo_cli.project_settings import require_project

    store = _open_migrating_store()
    project = (folder or require_project().project_dir).resolve()
    source = project if project.name == STATE_DIR else project / STATE_DIR
    names = [TableName.parse(table, default_namespace="bronze") for table in tables]

    def tell(one: MigratedTable) -> None:
        on = "" if one.branch == MAIN else f" of the branch {one.branch}"
        size = f"{counted(one.files, 'file')}, {one.size_bytes / 1e6:,.1f} MB"
        if not output.as_json:
            output.line(f"{one.table}{on}: copying {size}")

    return store.migrate(source, names, dry_run=dry_run, on_table=tell)


def _open_migrating_store() -> MigratesTables:
    from phlo.migration import MigratesTables

    from phlo_cli.store_abilities import require_ability

    lack = "cannot take tables from an embedded lake"
    return require_ability(open_store(), MigratesTables, lack)


def _migrated_row(migrated: MigratedTable) -> dict[str, Any]:
    return {
        "table": str(migrated.table),
        "branch": migrated.branch,
        "action": migrated.action,
        "rows": migrated.rows,
        "snapshots": migrated.snapshots,
        "files": migrated.files,
        "megabytes": round(migrated.size_bytes / 1e6, 1),
    }


def open_store() -> TableStore:
    """Open the table store of the current project."""
    from phlo.lake import open_lake

    from phlo_cli.project_settings import require_project

    require_project()
    return open_lake().store


def _require_declared(namespace: str, output: Output) -> None:
    """Refuse a namespace in which the project makes no table."""
    from phlo_cli.known_names import require_known
    from phlo_cli.known_project import read_project

    tables = [asset.table for asset in read_project(output).assets if asset.table]
    require_known(namespace, [table.partition(".")[0] for table in tables], "namespace")


def _table_row(name: TableName, summary: TableSummary) -> dict[str, Any]:
    return {
        "table": str(name),
        "rows": summary.row_count,
        "columns": summary.column_count,
        "snapshots": summary.snapshot_count,
        "changed": summary.committed_at,
    }


def _facts(stored: StoredTable) -> dict[str, Any]:
    from phlo_cli.table_summaries import count_rows

    return {
        "table": str(stored.name),
        "rows": count_rows(stored),
        "snapshot_id": stored.snapshot_id,
        "location": stored.location,
        "description": stored.properties.get("comment"),
    }


def _columns(stored: StoredTable) -> list[dict[str, Any]]:
    return [
        {
            "column": field.name,
            "type": str(field.type).removeprefix("large_"),
            "null": field.nullable,
            "description": (field.metadata or {}).get(b"doc", b"").decode() or None,
        }
        for field in stored.schema
    ]


def _snapshot_row(snapshot: Snapshot) -> dict[str, Any]:
    account = LoadAccount.of_summary(snapshot.summary)
    counts = account.as_dict() if account else {}
    undone = [run[:8] for run in undone_runs(snapshot.summary)]
    moved = [f"{n:,} {name}" for name, n in counts.items() if n and name != "extracted"]
    return {
        "snapshot_id": str(snapshot.snapshot_id),
        "committed_at": snapshot.committed_at,
        "operation": "undo" if undone else snapshot.operation,
        "partition": snapshot.summary.get("phlo.partition"),
        "account": moved + [f"took back run {run}" for run in undone],
        "run": snapshot.summary.get("phlo.run-id", "")[:8] or None,
        "undone_runs": undone,
        "summary": snapshot.summary,
    }
