"""What a published table carries besides its rows, and how the next version gets it.

The next version is a new table, so that readers of the old one are not disturbed while it fills.
Whatever people have hung on the old one since is read from PostgreSQL's catalog and given to the
new one: indexes and constraints before the swap, where they take long; owner, grants, comments and
row policies in it. Views are redefined in place, so that their own grants, comments and dependants
stay untouched. What phlo cannot hand on is an error before anything changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from phlo.errors import ConfigurationError
from phlo.sql import Identifier, Sql, qualified, sql
from psycopg.rows import namedtuple_row

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from phlo.sql import SqlPart
    from psycopg import Connection


@dataclass(frozen=True, slots=True)
class Relation:
    """A table in PostgreSQL.

    Attributes:
        oid: Its identity, which a renamed table keeps.
        schema: Its schema.
        name: Its name.
    """

    oid: int
    schema: str
    name: str

    @property
    def sql(self) -> Sql:
        """The quoted name."""
        return qualified(self.schema, self.name)

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True, slots=True)
class CarriedIndex:
    """An index built on the next version, which takes the old one's name after the swap."""

    temporary_name: str
    name: str
    comment: str | None
    constraint_comment: str | None
    is_constraint: bool


def run(connection: Connection[Any], template: str, **parts: SqlPart | Iterable[SqlPart]) -> None:
    """Run a statement with quoted parts (:func:`phlo.sql.sql`)."""
    connection.execute(sql(template, **parts).encode())


def rows(connection: Connection[Any], query: str, *values: object) -> list[Any]:
    """Rows of a query on the catalog, their columns as attributes."""
    with connection.cursor(row_factory=namedtuple_row) as cursor:
        return cursor.execute(query.encode(), values or None).fetchall()


def find_table(connection: Connection[Any], schema: str, name: str) -> Relation | None:
    """The table of that name, if there is one.

    Raises:
        ConfigurationError: Something else has the name, or has what a publish would lose.
    """
    found = rows(connection, _RELATION, schema, name)
    if not found:
        return None
    relation = Relation(found[0].oid, schema, name)
    if found[0].relkind != "r":
        raise ConfigurationError(
            f"{relation} is not a plain table, so phlo does not replace it.",
            hint="Publish under another name, or remove what has this one.",
            table=str(relation),
        )
    _refuse_losses(connection, relation)
    return relation


def _refuse_losses(connection: Connection[Any], relation: Relation) -> None:
    losses = [row.what for row in rows(connection, _LOSSES, *([relation.oid] * 8))]
    if losses:
        raise ConfigurationError(
            f"Publishing {relation} anew would lose what hangs on it: {', '.join(losses)}.",
            hint="Hang it on a view over the table, since views are kept, or remove it.",
            table=str(relation),
            losses=losses,
        )


def carry_structure(
    connection: Connection[Any], old: Relation, new: Relation
) -> list[CarriedIndex]:
    """Build the old table's indexes, constraints and not-null rules on the new one."""
    for row in rows(connection, _CONSTRAINTS, old.oid):
        name = Identifier(row.name)
        _add_constraint(connection, new, row.name, row.definition)
        _comment(connection, "CONSTRAINT {n} ON {t}", row.comment, n=name, t=new.sql)
    for row in rows(connection, _NOT_NULLS, old.oid, new.oid):  # before PostgreSQL 18: no names
        column = Identifier(row.name)
        run(connection, "ALTER TABLE {t} ALTER COLUMN {c} SET NOT NULL", t=new.sql, c=column)
    return [
        _build_index(connection, new, row, f"{new.name}_{number}")
        for number, row in enumerate(rows(connection, _INDEXES, old.oid))
    ]


def _build_index(
    connection: Connection[Any],
    new: Relation,
    row: Any,
    name: str,
) -> CarriedIndex:
    if row.constraint_definition:
        _add_constraint(connection, new, name, row.constraint_definition)
    else:
        kind = Sql("UNIQUE INDEX" if row.is_unique else "INDEX")
        run(
            connection,
            "CREATE {kind} {name} ON {t} {rest}",
            kind=kind,
            name=Identifier(name),
            t=new.sql,
            rest=Sql(row.rest),
        )
    return CarriedIndex(
        name, row.name, row.comment, row.constraint_comment, bool(row.constraint_definition)
    )


def _add_constraint(connection: Connection[Any], new: Relation, name: str, definition: str) -> None:
    run(
        connection,
        "ALTER TABLE {t} ADD CONSTRAINT {name} {definition}",
        t=new.sql,
        name=Identifier(name),
        definition=Sql(definition),
    )


def carry_rights(connection: Connection[Any], old: Relation, new: Relation) -> None:
    """Give the new table the old one's owner, grants, row policies and comments."""
    (owner,) = rows(connection, _OWNER, old.oid)
    if owner.differs:
        run(connection, "ALTER TABLE {t} OWNER TO {o}", t=new.sql, o=Identifier(owner.name))
    _carry_grants(connection, old, new)
    _carry_policies(connection, old, new)
    for row in rows(connection, _COMMENTS, old.oid, new.oid):
        if row.column_name is None:
            _comment(connection, "TABLE {t}", row.comment, t=new.sql)
        else:
            column = sql("{t}.{c}", t=new.sql, c=Identifier(row.column_name))
            _comment(connection, "COLUMN {c}", row.comment, c=column)


def _carry_grants(connection: Connection[Any], old: Relation, new: Relation) -> None:
    for row in rows(connection, _GRANTEES, new.oid):  # whom default privileges let in
        run(connection, "REVOKE ALL ON {t} FROM {g}", t=new.sql, g=_role(row.grantee))
    for row in rows(connection, _GRANTS, old.oid, old.oid, new.oid):
        column = sql(" ({c})", c=Identifier(row.column_name)) if row.column_name else Sql("")
        run(
            connection,
            "GRANT {privilege}{column} ON {t} TO {g}{option}",
            privilege=Sql(row.privilege),
            column=column,
            t=new.sql,
            g=_role(row.grantee),
            option=Sql(" WITH GRANT OPTION" if row.is_grantable else ""),
        )


def _carry_policies(connection: Connection[Any], old: Relation, new: Relation) -> None:
    (security,) = rows(connection, _ROW_SECURITY, old.oid)
    for is_on, action in ((security.is_enabled, "ENABLE"), (security.is_forced, "FORCE")):
        if is_on:
            run(connection, "ALTER TABLE {t} {a} ROW LEVEL SECURITY", t=new.sql, a=Sql(action))
    for row in rows(connection, _POLICIES, old.oid):
        run(
            connection,
            "CREATE POLICY {n} ON {t} AS {kind} FOR {command} TO {roles}{using}{check}",
            n=Identifier(row.name),
            t=new.sql,
            kind=Sql(row.kind),
            command=Sql(row.command),
            roles=[_role(role) for role in row.roles],
            using=Sql(f" USING ({row.using_rows})" if row.using_rows else ""),
            check=Sql(f" WITH CHECK ({row.check_rows})" if row.check_rows else ""),
        )


def rename_indexes(
    connection: Connection[Any], table: Relation, carried: Sequence[CarriedIndex]
) -> None:
    """Give indexes the names of those that went with the old table, and their comments."""
    for index in carried:
        run(
            connection,
            "ALTER INDEX {old} RENAME TO {new}",
            old=qualified(table.schema, index.temporary_name),
            new=Identifier(index.name),
        )
        name = qualified(table.schema, index.name)
        _comment(connection, "INDEX {n}", index.comment, n=name)
        if index.is_constraint:
            parts = {"n": Identifier(index.name), "t": table.sql}
            _comment(connection, "CONSTRAINT {n} ON {t}", index.constraint_comment, **parts)


def dependent_views(connection: Connection[Any], olds: Sequence[Relation]) -> list[Any]:
    """The views that read the tables directly, with what redefines them, in a fixed order."""
    return rows(connection, _VIEWS, [old.oid for old in olds])


def lock_views(connection: Connection[Any], views: Sequence[Any]) -> None:
    """Keep readers out of views, as ``LOCK TABLE`` would, but not out of all they read."""
    for view in views:
        run(
            connection,
            "ALTER VIEW {v} OWNER TO {o}",
            v=qualified(view.schema, view.name),
            o=Identifier(view.owner),
        )


def redefine_views(connection: Connection[Any], views: Sequence[Any]) -> None:
    """Point views at the tables that now have the names they were written with."""
    for view in views:
        options = [
            sql("{n} = {v}", n=Identifier(name), v=value)
            for name, _, value in (option.partition("=") for option in view.options)
        ]
        run(
            connection,
            "CREATE OR REPLACE VIEW {v}{options} AS {definition}",
            v=qualified(view.schema, view.name),
            options=sql(" WITH ({o})", o=options) if options else Sql(""),
            definition=Sql(view.definition),
        )


def _comment(connection: Connection[Any], what: str, comment: str | None, **parts: SqlPart) -> None:
    if comment is not None:
        run(connection, f"COMMENT ON {what} IS {{comment}}", comment=comment, **parts)


def _role(name: str | None) -> SqlPart:
    return Sql("PUBLIC") if name is None else Identifier(name)


_RELATION = """
SELECT c.oid, c.relkind::text AS relkind
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relname = %s
"""

_LOSSES = """
SELECT 'trigger ' || tgname AS what FROM pg_trigger WHERE tgrelid = %s AND NOT tgisinternal
UNION ALL SELECT 'rule ' || rulename FROM pg_rewrite WHERE ev_class = %s
UNION ALL
SELECT 'foreign key ' || conname || ' of ' || conrelid::regclass FROM pg_constraint
WHERE confrelid = %s AND contype = 'f' AND conrelid <> confrelid
UNION ALL
SELECT 'inheritance of ' || inhrelid::regclass FROM pg_inherits WHERE %s IN (inhparent, inhrelid)
UNION ALL
SELECT 'publication ' || p.pubname FROM pg_publication p
JOIN pg_publication_rel r ON r.prpubid = p.oid WHERE r.prrelid = %s
UNION ALL SELECT 'statistics ' || stxname FROM pg_statistic_ext WHERE stxrelid = %s
UNION ALL
SELECT DISTINCT 'materialized view ' || v.oid::regclass FROM pg_depend d
JOIN pg_rewrite r ON r.oid = d.objid AND d.classid = 'pg_rewrite'::regclass
JOIN pg_class v ON v.oid = r.ev_class AND v.relkind = 'm'
WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = %s
UNION ALL
SELECT DISTINCT 'function ' || p.oid::regprocedure FROM pg_depend d
JOIN pg_proc p ON p.oid = d.objid AND d.classid = 'pg_proc'::regclass
WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = %s
"""

_NOT_NULLS = """
SELECT a.attname AS name FROM pg_attribute a JOIN pg_attribute b USING (attname)
WHERE a.attrelid = %s AND b.attrelid = %s AND a.attnotnull AND NOT b.attnotnull
AND a.attnum > 0 AND b.attnum > 0 AND NOT a.attisdropped AND NOT b.attisdropped
"""

# pg_get_indexdef names index and table at its start; what follows fits any table.
_INDEXES = """
SELECT name, is_unique, comment, constraint_comment, constraint_definition,
    substr(definition, length(head) + 1) AS rest
FROM (
    SELECT c.relname AS name, i.indisunique AS is_unique,
        obj_description(c.oid, 'pg_class') AS comment,
        obj_description(k.oid, 'pg_constraint') AS constraint_comment,
        pg_get_constraintdef(k.oid) AS constraint_definition,
        pg_get_indexdef(c.oid) AS definition,
        format('CREATE %%sINDEX %%I ON %%I.%%I ',
            CASE WHEN i.indisunique THEN 'UNIQUE ' END, c.relname, n.nspname, t.relname) AS head
    FROM pg_index i
    JOIN pg_class c ON c.oid = i.indexrelid
    JOIN pg_class t ON t.oid = i.indrelid
    JOIN pg_namespace n ON n.oid = t.relnamespace
    LEFT JOIN pg_constraint k
        ON k.conindid = c.oid AND k.conrelid = t.oid AND k.contype IN ('p', 'u', 'x')
    WHERE i.indrelid = %s AND i.indisvalid
) AS found
ORDER BY name
"""

_CONSTRAINTS = """
SELECT conname AS name, pg_get_constraintdef(oid) AS definition,
    obj_description(oid, 'pg_constraint') AS comment
FROM pg_constraint WHERE conrelid = %s AND contype IN ('c', 'f', 'n') ORDER BY conname
"""

_OWNER = """
SELECT pg_get_userbyid(relowner) AS name, pg_get_userbyid(relowner) <> current_user AS differs
FROM pg_class WHERE oid = %s
"""

_COMMENTS = """
SELECT d.description AS comment, a.attname AS column_name
FROM pg_description d
LEFT JOIN pg_attribute a ON a.attrelid = d.objoid AND a.attnum = d.objsubid AND d.objsubid > 0
WHERE d.objoid = %s AND d.classoid = 'pg_class'::regclass AND (d.objsubid = 0 OR EXISTS (
    SELECT FROM pg_attribute b
    WHERE b.attrelid = %s AND b.attname = a.attname AND NOT b.attisdropped))
"""

_GRANTEES = """
SELECT DISTINCT CASE WHEN a.grantee <> 0 THEN pg_get_userbyid(a.grantee) END AS grantee
FROM pg_class c, aclexplode(c.relacl) a WHERE c.oid = %s AND a.grantee <> c.relowner
"""

_GRANTS = """
SELECT CASE WHEN grantee <> 0 THEN pg_get_userbyid(grantee) END AS grantee,
    privilege_type AS privilege, is_grantable, column_name
FROM (
    SELECT a.*, NULL::name AS column_name FROM pg_class c, aclexplode(c.relacl) a
    WHERE c.oid = %s
    UNION ALL
    SELECT a.*, t.attname FROM pg_attribute t, aclexplode(t.attacl) a
    WHERE t.attrelid = %s AND NOT t.attisdropped
) AS found
WHERE column_name IS NULL OR EXISTS (
    SELECT FROM pg_attribute b
    WHERE b.attrelid = %s AND b.attname = column_name AND NOT b.attisdropped)
"""

_ROW_SECURITY = """
SELECT relrowsecurity AS is_enabled, relforcerowsecurity AS is_forced
FROM pg_class WHERE oid = %s
"""

_POLICIES = """
SELECT polname AS name, CASE WHEN polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END AS kind,
    CASE polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE'
        WHEN 'd' THEN 'DELETE' ELSE 'ALL' END AS command,
    ARRAY(SELECT CASE WHEN r <> 0 THEN pg_get_userbyid(r)::text END FROM unnest(polroles) r)
        AS roles,
    pg_get_expr(polqual, polrelid) AS using_rows,
    pg_get_expr(polwithcheck, polrelid) AS check_rows
FROM pg_policy WHERE polrelid = %s ORDER BY polname
"""

_VIEWS = """
SELECT DISTINCT v.oid, n.nspname AS schema, v.relname AS name,
    coalesce(v.reloptions, ARRAY[]::text[]) AS options,
    pg_get_viewdef(v.oid) AS definition, pg_get_userbyid(v.relowner) AS owner
FROM pg_depend d
JOIN pg_rewrite r ON r.oid = d.objid AND d.classid = 'pg_rewrite'::regclass
JOIN pg_class v ON v.oid = r.ev_class AND v.relkind = 'v'
JOIN pg_namespace n ON n.oid = v.relnamespace
WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = ANY (%s)
ORDER BY v.oid
"""
