"""Give the next version of a table the structure of the old one.

The structure is read from PostgreSQL's catalog and built on the next version, which stands in the
staging schema, under the names that it has on the old one and before any reader is disturbed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from phlo.sql import Identifier, Sql, qualified, sql

from phlo_publishing.postgresql.relations import (
    STAGING_SCHEMA,
    Relation,
    comment_on,
    find_relation,
    options_sql,
    rows,
    run,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from phlo.sql import SqlPart
    from psycopg import Connection

    from phlo_publishing.types import PublishedColumn


@dataclass(frozen=True, slots=True)
class Structure:
    """What a table or materialized view has besides rows, columns, rights and dependants.

    Attributes:
        settings: Persistence, access method, storage parameters and tablespace of the table.
        columns: Its columns with default, collation, storage, compression, statistics target.
        constraints: Its check and not-null constraints.
        indexes: Its indexes, those of keys among them.
        marks: The index that CLUSTER goes by, and what identifies a row to replication.
        statistics: Its extended statistics.
        triggers: Its triggers and rules.
    """

    settings: Any
    columns: list[Any]
    constraints: list[Any]
    indexes: list[Any]
    marks: Any
    statistics: list[Any]
    triggers: list[Any]


def read_structure(connection: Connection[Any], relation: Relation) -> Structure:
    """Read the structure of a relation; names in it are full but for the search path's."""
    oid = relation.oid
    return Structure(
        settings=rows(connection, _SETTINGS, oid)[0],
        columns=rows(connection, _COLUMNS, oid),
        constraints=rows(connection, _CONSTRAINTS, oid),
        indexes=rows(connection, _INDEXES, oid),
        marks=rows(connection, _MARKS, oid)[0],
        statistics=rows(connection, _STATISTICS, oid),
        triggers=rows(connection, _TRIGGERS, oid, oid),
    )


def create_table(
    connection: Connection[Any],
    name: str,
    columns: Sequence[PublishedColumn],
    structure: Structure | None,
) -> Relation:
    """Create an empty table in the staging schema, with the settings that the old one has."""
    collations = {c.name: c.collation for c in structure.columns} if structure else {}
    run(
        connection,
        "CREATE {unlogged}TABLE {t} ({columns}){clauses}",
        unlogged=Sql("UNLOGGED " if structure and structure.settings.is_unlogged else ""),
        t=qualified(STAGING_SCHEMA, name),
        columns=[_column(column, collations.get(column.name)) for column in columns],
        clauses=storage_clauses(structure) if structure else Sql(""),
    )
    new = find_relation(connection, STAGING_SCHEMA, name)
    assert new is not None
    if structure:
        _add_computed_columns(connection, structure, {column.name for column in columns}, new)
        set_columns(connection, structure, new)
    return new


def _column(column: PublishedColumn, collation: str | None) -> Sql:
    clause = f" COLLATE {collation}" if collation and column.type == "text" else ""
    return sql("{n} {t}{c}", n=Identifier(column.name), t=column.type, c=Sql(clause))


def storage_clauses(structure: Structure) -> Sql:
    """Write access method, storage parameters and tablespace as they follow the columns."""
    row = structure.settings
    options = [*options_sql(row.options), *options_sql(row.toast_options, prefix="toast")]
    space = row.tablespace
    return sql(
        " USING {method}{options}{tablespace}",
        method=Identifier(row.access_method),
        options=sql(" WITH ({o})", o=options) if options else Sql(""),
        tablespace=sql(" TABLESPACE {s}", s=Identifier(space)) if space else Sql(""),
    )


def _add_computed_columns(
    connection: Connection[Any], structure: Structure, published: set[str], new: Relation
) -> None:
    for row in structure.columns:
        if row.generated and row.name not in published:
            run(
                connection,
                "ALTER TABLE {t} ADD COLUMN {c} {type}{collate} "
                "GENERATED ALWAYS AS ({e}) {storage}",
                t=new.sql,
                c=Identifier(row.name),
                type=Sql(row.type),
                collate=Sql(f" COLLATE {row.collation}" if row.collation else ""),
                e=Sql(row.expression),
                storage=Sql(row.generated),
            )


def set_columns(connection: Connection[Any], structure: Structure, new: Relation) -> None:
    """Set default, storage, compression, statistics target and options of columns as they were."""
    present = {row.name: row.type for row in rows(connection, _COLUMNS, new.oid)}
    kind = Sql("MATERIALIZED VIEW" if structure.marks.relkind == "m" else "TABLE")
    for row in structure.columns:
        if row.name not in present:
            continue
        for action in _column_actions(row, has_same_type=present[row.name] == row.type):
            run(
                connection,
                "ALTER {kind} {t} ALTER COLUMN {c} {action}",
                kind=kind,
                t=new.sql,
                c=Identifier(row.name),
                action=action,
            )


def _column_actions(row: Any, *, has_same_type: bool) -> Iterator[Sql]:
    if row.expression is not None and not row.generated:
        yield sql("SET DEFAULT {e}", e=Sql(row.expression))
    if row.statistics_target is not None:
        yield sql("SET STATISTICS {n}", n=row.statistics_target)
    if row.options:
        yield sql("SET ({o})", o=options_sql(row.options))
    if row.storage and has_same_type:
        yield sql("SET STORAGE {s}", s=Sql(row.storage))
    if row.compression and has_same_type:
        yield sql("SET COMPRESSION {c}", c=Sql(row.compression))


def build_structure(connection: Connection[Any], structure: Structure, new: Relation) -> None:
    """Build constraints, indexes, statistics, triggers and rules on a table that has its rows."""
    for row in structure.constraints:
        add_constraint(connection, new, row.name, row.definition)
        parts = {"n": Identifier(row.name), "t": new.sql}
        comment_on(connection, "CONSTRAINT {n} ON {t}", row.comment, **parts)
    if structure.marks.relkind == "r":
        for row in structure.columns:
            if row.is_required:
                set_not_null(connection, new, row.name)
    _build_indexes(connection, structure, new)
    for row in structure.statistics:
        _create_statistics(connection, row)
    for row in structure.triggers:
        _create_trigger(connection, row, new)


def set_not_null(connection: Connection[Any], table: Relation, column: str) -> None:
    """Make a column required, unless the table has none of that name or it is so already."""
    if rows(connection, _IS_NULLABLE, table.oid, column):
        run(
            connection,
            "ALTER TABLE {t} ALTER COLUMN {c} SET NOT NULL",
            t=table.sql,
            c=Identifier(column),
        )


def add_constraint(
    connection: Connection[Any], table: Relation, name: str, definition: str
) -> None:
    """Add a constraint, its definition as PostgreSQL wrote it."""
    run(
        connection,
        "ALTER TABLE {t} ADD CONSTRAINT {name} {definition}",
        t=table.sql,
        name=Identifier(name),
        definition=Sql(definition),
    )


def _build_indexes(connection: Connection[Any], structure: Structure, new: Relation) -> None:
    """Build indexes, those of keys as constraints, with their settings."""
    for row in structure.indexes:
        if row.constraint_definition:
            add_constraint(connection, new, row.name, row.constraint_definition)
        else:
            _create_index(connection, new, row)
        _set_index(connection, new, row)
    _mark_indexes(connection, structure.marks, new)


def _create_index(connection: Connection[Any], new: Relation, row: Any) -> None:
    run(
        connection,
        "CREATE {index} {name} ON {t} {rest}",
        index=Sql("UNIQUE INDEX" if row.is_unique else "INDEX"),
        name=Identifier(row.name),
        t=new.sql,
        rest=Sql(row.rest),
    )


def _set_index(connection: Connection[Any], new: Relation, row: Any) -> None:
    index = qualified(STAGING_SCHEMA, row.name)
    if row.constraint_definition and row.options:
        run(connection, "ALTER INDEX {i} SET ({o})", i=index, o=options_sql(row.options))
    if row.tablespace:
        run(connection, "ALTER INDEX {i} SET TABLESPACE {s}", i=index, s=Identifier(row.tablespace))
    for number, target in zip(row.statistics_columns, row.statistics_targets, strict=True):
        template = "ALTER INDEX {i} ALTER COLUMN {n} SET STATISTICS {v}"
        run(connection, template, i=index, n=number, v=target)
    comment_on(connection, "INDEX {n}", row.comment, n=index)
    if row.constraint_definition:
        parts = {"n": Identifier(row.name), "t": new.sql}
        comment_on(connection, "CONSTRAINT {n} ON {t}", row.constraint_comment, **parts)


def _mark_indexes(connection: Connection[Any], marks: Any, new: Relation) -> None:
    if marks.cluster_index:
        run(
            connection,
            "ALTER {kind} {t} CLUSTER ON {i}",
            kind=Sql("MATERIALIZED VIEW" if marks.relkind == "m" else "TABLE"),
            t=new.sql,
            i=Identifier(marks.cluster_index),
        )
    if marks.replica_identity:
        run(
            connection,
            "ALTER TABLE {t} REPLICA IDENTITY {identity}{i}",
            t=new.sql,
            identity=Sql(marks.replica_identity),
            i=Identifier(marks.identity_index) if marks.identity_index else Sql(""),
        )


def _create_statistics(connection: Connection[Any], row: Any) -> None:
    name = qualified(STAGING_SCHEMA, row.name)
    run(connection, "CREATE STATISTICS {n}{rest}", n=name, rest=Sql(row.rest))
    if row.target is not None:
        run(connection, "ALTER STATISTICS {n} SET STATISTICS {v}", n=name, v=row.target)
    comment_on(connection, "STATISTICS {n}", row.comment, n=name)


def move_statistics(connection: Connection[Any], structure: Structure) -> None:
    """Move extended statistics from the staging schema to where those of the old table were."""
    for row in structure.statistics:
        staged, name = qualified(STAGING_SCHEMA, row.name), qualified(row.schema, row.name)
        run(connection, "ALTER STATISTICS {n} SET SCHEMA {s}", n=staged, s=Identifier(row.schema))
        if row.has_other_owner:
            run(connection, "ALTER STATISTICS {n} OWNER TO {o}", n=name, o=Identifier(row.owner))


def _create_trigger(connection: Connection[Any], row: Any, new: Relation) -> None:
    """Create a trigger or a rule, switched on or off as it was."""
    connection.execute(row.definition.encode())
    parts: dict[str, SqlPart] = {"kind": Sql(row.kind), "n": Identifier(row.name), "t": new.sql}
    comment_on(connection, "{kind} {n} ON {t}", row.comment, **parts)
    if row.state:
        run(connection, "ALTER TABLE {t} {state} {kind} {n}", state=Sql(row.state), **parts)


_SETTINGS = """
SELECT c.relpersistence = 'u' AS is_unlogged, am.amname AS access_method,
    coalesce(c.reloptions, '{}') AS options, coalesce(t.reloptions, '{}') AS toast_options,
    s.spcname AS tablespace
FROM pg_class c JOIN pg_am am ON am.oid = c.relam
LEFT JOIN pg_class t ON t.oid = c.reltoastrelid
LEFT JOIN pg_tablespace s ON s.oid = c.reltablespace
WHERE c.oid = %s
"""

# A target that is not set is -1 before PostgreSQL 17, and null from then on.
_COLUMNS = """
SELECT a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type,
    a.attnotnull AS is_required,
    CASE WHEN a.attcollation <> t.typcollation THEN quote_ident(n.nspname) || '.'
        || quote_ident(l.collname) END AS collation,
    pg_get_expr(d.adbin, d.adrelid) AS expression,
    CASE a.attgenerated WHEN 's' THEN 'STORED' WHEN 'v' THEN 'VIRTUAL' END AS generated,
    nullif(a.attstattarget, -1) AS statistics_target,
    coalesce(a.attoptions, '{}') AS options,
    CASE WHEN a.attstorage <> t.typstorage THEN CASE a.attstorage
        WHEN 'p' THEN 'PLAIN' WHEN 'e' THEN 'EXTERNAL' WHEN 'm' THEN 'MAIN'
        ELSE 'EXTENDED' END END AS storage,
    CASE a.attcompression WHEN 'p' THEN 'pglz' WHEN 'l' THEN 'lz4' END AS compression
FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_collation l ON l.oid = a.attcollation
LEFT JOIN pg_namespace n ON n.oid = l.collnamespace
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = %s AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
"""

_IS_NULLABLE = """
SELECT FROM pg_attribute
WHERE attrelid = %s AND attname = %s AND NOT attnotnull AND NOT attisdropped
"""

# pg_get_indexdef names index and table at its start; what follows fits any table.
_INDEXES = """
SELECT name, is_unique, comment, constraint_comment, constraint_definition, options, tablespace,
    statistics_columns, statistics_targets, substr(definition, length(head) + 1) AS rest
FROM (
    SELECT c.relname AS name, i.indisunique AS is_unique,
        obj_description(c.oid, 'pg_class') AS comment,
        obj_description(k.oid, 'pg_constraint') AS constraint_comment,
        pg_get_constraintdef(k.oid) AS constraint_definition,
        coalesce(c.reloptions, '{}') AS options, s.spcname AS tablespace,
        ARRAY(SELECT attnum FROM pg_attribute WHERE attrelid = c.oid AND attstattarget >= 0
            ORDER BY attnum) AS statistics_columns,
        ARRAY(SELECT attstattarget FROM pg_attribute WHERE attrelid = c.oid
            AND attstattarget >= 0 ORDER BY attnum) AS statistics_targets,
        pg_get_indexdef(c.oid) AS definition,
        format('CREATE %%sINDEX %%I ON %%I.%%I ',
            CASE WHEN i.indisunique THEN 'UNIQUE ' END, c.relname, n.nspname, t.relname) AS head
    FROM pg_index i
    JOIN pg_class c ON c.oid = i.indexrelid
    JOIN pg_class t ON t.oid = i.indrelid
    JOIN pg_namespace n ON n.oid = t.relnamespace
    LEFT JOIN pg_tablespace s ON s.oid = c.reltablespace
    LEFT JOIN pg_constraint k
        ON k.conindid = c.oid AND k.conrelid = t.oid AND k.contype IN ('p', 'u', 'x')
    WHERE i.indrelid = %s AND i.indisvalid
) AS defined
ORDER BY name
"""

_MARKS = """
SELECT c.relkind::text AS relkind,
    (SELECT x.relname FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
        WHERE i.indrelid = c.oid AND i.indisclustered) AS cluster_index,
    CASE c.relreplident WHEN 'f' THEN 'FULL' WHEN 'n' THEN 'NOTHING'
        WHEN 'i' THEN 'USING INDEX ' END AS replica_identity,
    (SELECT x.relname FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
        WHERE i.indrelid = c.oid AND i.indisreplident) AS identity_index
FROM pg_class c WHERE c.oid = %s
"""

_CONSTRAINTS = """
SELECT conname AS name, pg_get_constraintdef(oid) AS definition,
    obj_description(oid, 'pg_constraint') AS comment
FROM pg_constraint WHERE conrelid = %s AND contype IN ('c', 'n') ORDER BY conname
"""

_STATISTICS = """
SELECT s.stxname AS name, n.nspname AS schema,
    obj_description(s.oid, 'pg_statistic_ext') AS comment,
    nullif(s.stxstattarget, -1) AS target, pg_get_userbyid(s.stxowner) AS owner,
    pg_get_userbyid(s.stxowner) <> current_user AS has_other_owner,
    substr(pg_get_statisticsobjdef(s.oid),
        length(format('CREATE STATISTICS %%I.%%I', n.nspname, s.stxname)) + 1) AS rest
FROM pg_statistic_ext s JOIN pg_namespace n ON n.oid = s.stxnamespace
WHERE s.stxrelid = %s ORDER BY s.oid
"""

_TRIGGERS = """
SELECT 'TRIGGER' AS kind, tgname AS name, pg_get_triggerdef(oid, true) AS definition,
    obj_description(oid, 'pg_trigger') AS comment, CASE tgenabled WHEN 'D' THEN 'DISABLE'
        WHEN 'R' THEN 'ENABLE REPLICA' WHEN 'A' THEN 'ENABLE ALWAYS' END AS state
FROM pg_trigger WHERE tgrelid = %s AND NOT tgisinternal
UNION ALL
SELECT 'RULE', rulename, pg_get_ruledef(oid, true), obj_description(oid, 'pg_rewrite'),
    CASE ev_enabled WHEN 'D' THEN 'DISABLE' WHEN 'R' THEN 'ENABLE REPLICA'
        WHEN 'A' THEN 'ENABLE ALWAYS' END
FROM pg_rewrite WHERE ev_class = %s AND rulename <> '_RETURN'
ORDER BY 1, 2
"""
