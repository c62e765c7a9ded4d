"""Point what reads published tables at their next versions: views, rules, keys, sequences.

Views and rules are redefined in place, so that their own grants, comments and dependants stay.
Materialized views cannot be: they are built anew, filled, and swapped like tables.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from phlo.errors import ConfigurationError
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
from phlo_publishing.postgresql.structure import (
    add_constraint,
    build_structure,
    set_columns,
    storage_clauses,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg import Connection

    from phlo_publishing.postgresql.relations import Replacement
    from phlo_publishing.postgresql.structure import Structure


@dataclass(frozen=True, slots=True)
class Dependents:
    """What depends on tables that are replaced together, with definitions.

    Attributes:
        views: Views that read them.
        rules: Rules of other tables and views that read or write them.
        foreign_keys: Foreign keys of them and to them.
        sequences: Sequences that belong to a column of theirs.
    """

    views: list[Any]
    rules: list[Any]
    foreign_keys: list[Any]
    sequences: list[Any]


def read_dependents(connection: Connection[Any], olds: Sequence[Relation]) -> Dependents:
    """Read what depends on tables; names in it are full but for the search path's."""
    oids = [old.oid for old in olds]
    return Dependents(
        views=rows(connection, _VIEWS, oids),
        rules=rows(connection, _RULES, oids, oids),
        foreign_keys=rows(connection, _FOREIGN_KEYS, oids, oids, oids),
        sequences=rows(connection, _SEQUENCES, oids),
    )


def find_materialized_views(
    connection: Connection[Any], olds: Sequence[Relation]
) -> list[Relation]:
    """Find the materialized views that read relations, directly or through one another.

    Returns:
        In an order in which they can be built.
    """
    found = rows(connection, _MATERIALIZED_VIEWS, [old.oid for old in olds])
    return [Relation(row.oid, row.schema, row.name) for row in found]


def refuse_hidden_names(connection: Connection[Any], olds: Sequence[Relation]) -> None:
    """Raise ConfigurationError if two relations have one name, or PostgreSQL's catalog has it.

    The search path holds their schemas, and definitions name them without schema.
    """
    hidden = rows(connection, _HIDDEN, [old.oid for old in olds])
    if hidden:
        raise ConfigurationError(
            f"{hidden[0].schema}.{hidden[0].name} cannot be published together with what depends "
            "on it: another table or view has that name too.",
            hint="Give one of the two another name.",
        )


def read_query(connection: Connection[Any], view: Relation) -> Any:
    """Read the query of a materialized view, and whether it is filled."""
    return rows(connection, _QUERY, view.oid)[0]


def build_materialized_view(
    connection: Connection[Any], old: Relation, query: Any, structure: Structure
) -> Relation:
    """Build a materialized view over the next versions of tables, and fill it if the old one is.

    It is refreshed apart: then its rows are frozen, as those of new tables are.
    """
    name = qualified(STAGING_SCHEMA, old.name)
    run(
        connection,
        "CREATE MATERIALIZED VIEW {v}{clauses} AS {query} WITH NO DATA",
        v=name,
        clauses=storage_clauses(structure),
        query=Sql(query.text.rstrip().removesuffix(";")),
    )
    new = find_relation(connection, STAGING_SCHEMA, old.name)
    assert new is not None
    set_columns(connection, structure, new)
    if query.is_filled:
        run(connection, "REFRESH MATERIALIZED VIEW {v}", v=name)
    build_structure(connection, structure, new)
    run(connection, "ANALYZE {v}", v=name)
    return new


def lock_views(connection: Connection[Any], views: Sequence[Any]) -> None:
    """Lock views against readers, as ``LOCK TABLE`` would, but not the tables that they read."""
    for view in views:
        run(
            connection,
            "ALTER VIEW {v} OWNER TO {o}",
            v=qualified(view.schema, view.name),
            o=Identifier(view.owner),
        )


def redefine_views(connection: Connection[Any], dependents: Dependents) -> None:
    """Point views and rules at the tables that the search path now finds."""
    for view in dependents.views:
        options = options_sql(view.options)
        run(
            connection,
            "CREATE OR REPLACE VIEW {v}{options} AS {definition}",
            v=qualified(view.schema, view.name),
            options=sql(" WITH ({o})", o=options) if options else Sql(""),
            definition=Sql(view.definition),
        )
    for rule in dependents.rules:
        connection.execute(f"CREATE OR REPLACE {rule.definition.removeprefix('CREATE ')}".encode())


def add_foreign_keys(
    connection: Connection[Any], dependents: Dependents, pairs: Sequence[Replacement]
) -> dict[int, str]:
    """Add foreign keys of and to the next versions, and check the rows that they hold for.

    Returns:
        By the oid of an old key of another table: the name of the key that takes its place.
    """
    new_tables = {pair.old.oid: pair.new for pair in pairs}
    temporary_names = {}
    for key in dependents.foreign_keys:
        if key.table_oid in new_tables:
            add_constraint(connection, new_tables[key.table_oid], key.name, key.definition)
        else:
            temporary_names[key.oid] = _add_key_from_outside(connection, key)
    return temporary_names


def _add_key_from_outside(connection: Connection[Any], key: Any) -> str:
    """Add a key beside the old one; readers of its table are let through while it is checked."""
    name = f"_phlo_new_{secrets.token_hex(8)}"
    table = Relation(key.table_oid, key.schema, key.table)
    suffix = " NOT VALID" if key.is_checked else ""
    add_constraint(connection, table, name, key.definition + suffix)
    if key.is_checked:
        template = "ALTER TABLE {t} VALIDATE CONSTRAINT {n}"
        run(connection, template, t=table.sql, n=Identifier(name))
    return name


def drop_old_keys(
    connection: Connection[Any], dependents: Dependents, names: dict[int, str]
) -> None:
    """Drop the old foreign keys of other tables, and give the new ones their names."""
    for key in dependents.foreign_keys:
        if key.oid in names:
            parts = {"t": qualified(key.schema, key.table), "n": Identifier(key.name)}
            temporary = Identifier(names[key.oid])
            run(connection, "ALTER TABLE {t} DROP CONSTRAINT {n}", **parts)
            template = "ALTER TABLE {t} RENAME CONSTRAINT {temporary} TO {n}"
            run(connection, template, temporary=temporary, **parts)


def comment_on_keys(connection: Connection[Any], dependents: Dependents) -> None:
    """Give foreign keys the comments of the old ones."""
    for key in dependents.foreign_keys:
        parts = {"n": Identifier(key.name), "t": qualified(key.schema, key.table)}
        comment_on(connection, "CONSTRAINT {n} ON {t}", key.comment, **parts)


def release_sequences(connection: Connection[Any], dependents: Dependents) -> None:
    """Keep sequences from being dropped with the old tables."""
    for row in dependents.sequences:
        name = qualified(row.schema, row.name)
        run(connection, "ALTER SEQUENCE {s} OWNED BY NONE", s=name)


def own_sequences(connection: Connection[Any], dependents: Dependents) -> None:
    """Tie sequences to the columns of the new tables again."""
    for row in dependents.sequences:
        column = sql("{t}.{c}", t=qualified(row.schema, row.table), c=Identifier(row.column_name))
        name = qualified(row.schema, row.name)
        if rows(connection, _HAS_COLUMN, row.schema, row.table, row.column_name):
            run(connection, "ALTER SEQUENCE {s} OWNED BY {c}", s=name, c=column)


_VIEWS = """
SELECT DISTINCT v.oid, n.nspname AS schema, v.relname AS name,
    coalesce(v.reloptions, ARRAY[]::text[]) AS options,
    pg_get_viewdef(v.oid) AS definition, pg_get_userbyid(v.relowner) AS owner
FROM pg_depend d
JOIN pg_rewrite r ON r.oid = d.objid AND d.classid = 'pg_rewrite'::regclass
JOIN pg_class v ON v.oid = r.ev_class AND v.relkind = 'v'
JOIN pg_namespace n ON n.oid = v.relnamespace
WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = ANY (%s::oid[])
    AND r.rulename = '_RETURN'
ORDER BY v.oid
"""

_RULES = """
SELECT DISTINCT r.oid, pg_get_ruledef(r.oid, true) AS definition
FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid AND d.classid = 'pg_rewrite'::regclass
WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = ANY (%s::oid[])
    AND r.rulename <> '_RETURN' AND NOT r.ev_class = ANY (%s::oid[])
ORDER BY r.oid
"""

_MATERIALIZED_VIEWS = """
WITH RECURSIVE reader AS (
    SELECT unnest(%s::oid[]) AS oid, 0 AS depth
    UNION
    SELECT v.oid, reader.depth + 1 FROM reader
    JOIN pg_depend d ON d.refobjid = reader.oid AND d.refclassid = 'pg_class'::regclass
    JOIN pg_rewrite r ON r.oid = d.objid AND d.classid = 'pg_rewrite'::regclass
    JOIN pg_class v ON v.oid = r.ev_class AND v.relkind = 'm' AND v.oid <> reader.oid
)
SELECT c.oid, n.nspname AS schema, c.relname AS name FROM reader
JOIN pg_class c USING (oid) JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'm' GROUP BY 1, 2, 3 ORDER BY max(depth), 1
"""

_HIDDEN = """
SELECT n.nspname AS schema, c.relname AS name
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = ANY (%s::oid[]) AND NOT pg_table_is_visible(c.oid)
"""

_QUERY = """
SELECT pg_get_viewdef(oid) AS text, relispopulated AS is_filled FROM pg_class WHERE oid = %s
"""

_FOREIGN_KEYS = """
SELECT k.oid, k.conname AS name, k.conrelid AS table_oid, n.nspname AS schema, c.relname AS table,
    NOT (k.conrelid = ANY (%s::oid[])) AS is_outside,
    pg_get_constraintdef(k.oid) AS definition,
    pg_get_constraintdef(k.oid) !~ ' (NOT VALID|NOT ENFORCED)$' AS is_checked,
    obj_description(k.oid, 'pg_constraint') AS comment
FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE k.contype = 'f' AND (k.conrelid = ANY (%s::oid[]) OR k.confrelid = ANY (%s::oid[]))
ORDER BY k.oid
"""

_SEQUENCES = """
SELECT s.oid, n.nspname AS schema, s.relname AS name, t.relname AS table,
    a.attname AS column_name
FROM pg_depend d JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S'
JOIN pg_namespace n ON n.oid = s.relnamespace
JOIN pg_class t ON t.oid = d.refobjid
JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = d.refobjsubid
WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass
    AND d.refobjid = ANY (%s::oid[]) AND d.deptype = 'a'
ORDER BY s.oid
"""

_HAS_COLUMN = """
SELECT FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relname = %s AND a.attname = %s AND NOT a.attisdropped
"""
