"""Find out what a publish to PostgreSQL would do, in a transaction that only reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from phlo.sql import sql
from phlo.words import counted

from phlo_publishing.database_errors import database_errors
from phlo_publishing.plan import MartPlan
from phlo_publishing.postgresql.dependents import find_materialized_views, read_dependents
from phlo_publishing.postgresql.merge import can_merge, is_worth_reading
from phlo_publishing.postgresql.obstacles import find_obstacles
from phlo_publishing.postgresql.relations import find_table, resolve_names_in, rows
from phlo_publishing.postgresql.rights import read_rights
from phlo_publishing.postgresql.structure import read_structure
from phlo_publishing.postgresql.target import (
    find_current_record,
    own_columns,
    read_columns,
    record_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from phlo.protocols import Changes
    from psycopg import Connection

    from phlo_publishing.marts import Mart, PublishOptions
    from phlo_publishing.postgresql.dependents import Dependents
    from phlo_publishing.postgresql.relations import Relation
    from phlo_publishing.postgresql.rights import Rights
    from phlo_publishing.postgresql.structure import Structure
    from phlo_publishing.target import Connects
    from phlo_publishing.types import PublishedColumn


def plan_mart(
    postgres: Connects,
    mart: Mart,
    columns: Sequence[PublishedColumn],
    options: PublishOptions,
    find_changes: Callable[[int], Changes | None],
) -> MartPlan:
    """Find out what a publish would do to one table.

    Args:
        postgres: Opens connections.
        mart: The mart.
        columns: The columns that the publish would write.
        options: How it would publish.
        find_changes: Finds the rows that changed since a snapshot of the mart.
    """
    with (
        database_errors(f"Planning the publish of {mart.source}"),
        postgres.connect() as connection,
    ):
        connection.execute("SET TRANSACTION READ ONLY")
        resolve_names_in(connection)
        table = find_table(connection, mart.schema, mart.target)
        if table is None:
            return _plan_of_new(mart, columns)
        return _plan_of_old(connection, mart, table, columns, options, find_changes)


def _plan_of_new(mart: Mart, columns: Sequence[PublishedColumn]) -> MartPlan:
    added = tuple(f"+ {column.name} {column.type}" for column in columns)
    return MartPlan(
        str(mart.source),
        mart.published_name,
        "create",
        None,
        mart.row_count,
        None,
        added,
        (),
        (),
        (),
    )


def _plan_of_old(
    connection: Connection[Any],
    mart: Mart,
    table: Relation,
    columns: Sequence[PublishedColumn],
    options: PublishOptions,
    find_changes: Callable[[int], Changes | None],
) -> MartPlan:
    views = find_materialized_views(connection, [table])
    record = record_of(connection, mart, table)
    (count,) = rows(connection, sql("SELECT count(*) AS n FROM {t}", t=table.sql))
    is_current = not options.force and find_current_record(connection, mart) is not None
    changes = None
    if record and record.mart.snapshot_id and options.mode == "merge" and not is_current:
        key = mart.published_key(options)
        if can_merge(connection, mart, table, record, key):
            changes = find_changes(record.mart.snapshot_id)
    is_merge = changes is not None and is_worth_reading(changes, mart)
    refused = (
        []
        if is_current or is_merge
        else find_obstacles(connection, [table, *views], own_columns(record))
    )
    if not options.force and mart.row_count < count.n * (1 - options.max_shrink):
        refused.append(f"a loss of {count.n - mart.row_count:,} of {counted(count.n, 'row')}")
    dependents = read_dependents(connection, [table, *views])
    action = "skip" if is_current else "merge" if is_merge else "replace"
    is_replaced = action == "replace"
    carried = _describe_carried(
        read_structure(connection, table), read_rights(connection, table), dependents, views
    )
    return MartPlan(
        source=str(mart.source),
        target=str(table),
        action="refuse" if refused else action,
        rows_before=count.n,
        rows_after=mart.row_count,
        changed_rows=changes.row_bound if changes is not None and is_merge else None,
        columns=tuple(_compare(read_columns(connection, table), columns, own_columns(record))),
        locks=tuple(_describe_locks(table, dependents, views, action)),
        carried=tuple(carried) if is_replaced else (),
        refused=tuple(refused),
        published_snapshot_id=record.mart.snapshot_id if record else None,
    )


def _compare(
    before: Sequence[Sequence[str]], after: Sequence[PublishedColumn], published: Sequence[str]
) -> Iterator[str]:
    """Describe columns that come, go or change their type; computed ones are carried over."""
    old: dict[str, str] = {n: t for n, t in before if not published or n in published}
    new = {column.name: str(column.type).replace(", ", ",") for column in after}
    yield from (f"+ {name} {new[name]}" for name in new if name not in old)
    yield from (f"- {name} {old[name]}" for name in old if name not in new)
    for name in old.keys() & new.keys():
        if _long_name(new[name]) != old[name]:
            yield f"~ {name} {old[name]} -> {new[name]}"


def _long_name(type_name: str) -> str:
    """Return a type's name as PostgreSQL writes it."""
    zones = {"timestamptz": "timestamp with time zone", "timestamp": "timestamp without time zone"}
    return (zones | {"time": "time without time zone"}).get(type_name, type_name)


def _describe_locks(
    table: Relation, dependents: Dependents, views: Sequence[Relation], action: str
) -> Iterator[str]:
    if action == "skip":
        return
    if action == "merge":
        yield f"SHARE ROW EXCLUSIVE on {table} while changed rows are written; readers go on"
        return
    yield f"SHARE UPDATE EXCLUSIVE on {table} while it is loaded; readers and writers go on"
    names = [str(table), *map(str, views), *(f"{v.schema}.{v.name}" for v in dependents.views)]
    names += [f"{key.schema}.{key.table}" for key in dependents.foreign_keys if key.is_outside]
    yield f"ACCESS EXCLUSIVE on {', '.join(dict.fromkeys(names))} for the swap"


def _describe_carried(
    structure: Structure, rights: Rights, dependents: Dependents, views: Sequence[Relation]
) -> Iterator[str]:
    yield f"owner {rights.owner.name}"
    yield from sorted({f"grants to {grant.grantee or 'PUBLIC'}" for grant in rights.grants})
    yield from (f"policy {policy.name}" for policy in rights.policies)
    yield from (f"constraint {row.name}" for row in structure.constraints)
    yield from (f"index {row.name}" for row in structure.indexes)
    yield from (f"statistics {row.schema}.{row.name}" for row in structure.statistics)
    yield from (f"{row.kind.lower()} {row.name}" for row in structure.triggers)
    yield from (f"computed column {row.name}" for row in structure.columns if row.generated)
    yield from (f"foreign key {k.name} of {k.schema}.{k.table}" for k in dependents.foreign_keys)
    yield from (f"view {view.schema}.{view.name}" for view in dependents.views)
    yield from (f"materialized view {view}" for view in views)
    yield from (f"sequence {row.schema}.{row.name}" for row in dependents.sequences)
