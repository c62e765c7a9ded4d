"""Give the next version of a table the rights and comments of the old one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from phlo.sql import Identifier, Sql, sql

from phlo_publishing.postgresql.relations import comment_on, role, rows, run

if TYPE_CHECKING:
    from collections.abc import Mapping

    from psycopg import Connection

    from phlo_publishing.postgresql.relations import Relation


@dataclass(frozen=True, slots=True)
class Rights:
    """Owner, grants, row policies and comments of a table or materialized view.

    Attributes:
        owner: The owner, and whether it is another role than the current one.
        owner_privileges: What the owner may do; usually all, unless some of it was revoked.
        grants: What was granted, to the owner too where anything was granted or revoked.
        security: Whether row security is on.
        policies: The row policies.
        comments: Comments of the relation and its columns.
    """

    owner: Any
    owner_privileges: list[str]
    grants: list[Any]
    security: Any
    policies: list[Any]
    comments: list[Any]


def read_rights(connection: Connection[Any], relation: Relation) -> Rights:
    """Read the rights of a relation."""
    oid = relation.oid
    return Rights(
        owner=rows(connection, _OWNER, oid)[0],
        owner_privileges=_read_owner_privileges(connection, relation),
        grants=rows(connection, _GRANTS, oid, oid),
        security=rows(connection, _ROW_SECURITY, oid)[0],
        policies=rows(connection, _POLICIES, oid),
        comments=rows(connection, _COMMENTS, oid),
    )


def _read_owner_privileges(connection: Connection[Any], relation: Relation) -> list[str]:
    return [row.privilege for row in rows(connection, _OWNER_PRIVILEGES, relation.oid)]


def without_comments(rights: Rights, comments: Mapping[str, str]) -> Rights:
    """Return rights without such comments of columns, because the mart has others by now."""
    others = [row for row in rights.comments if comments.get(row.column_name) != row.comment]
    return replace(rights, comments=others)


def create_policies(connection: Connection[Any], rights: Rights, new: Relation) -> None:
    """Switch row security on and create the policies, as the old table has them."""
    switches = ((rights.security.is_enabled, "ENABLE"), (rights.security.is_forced, "FORCE"))
    for is_on, action in switches:
        if is_on:
            run(connection, "ALTER TABLE {t} {a} ROW LEVEL SECURITY", t=new.sql, a=Sql(action))
    for row in rights.policies:
        run(
            connection,
            "CREATE POLICY {n} ON {t} AS {kind} FOR {command} TO {roles}{using}{check}",
            n=Identifier(row.name),
            t=new.sql,
            kind=Sql(row.kind),
            command=Sql(row.command),
            roles=[role(name) for name in row.roles],
            using=Sql(f" USING ({row.using_rows})" if row.using_rows else ""),
            check=Sql(f" WITH CHECK ({row.check_rows})" if row.check_rows else ""),
        )
        parts = {"n": Identifier(row.name), "t": new.sql}
        comment_on(connection, "POLICY {n} ON {t}", row.comment, **parts)


def grant_rights(connection: Connection[Any], rights: Rights, new: Relation) -> None:
    """Set owner, grants and comments, once the new table stands in its schema."""
    kind = Sql("MATERIALIZED VIEW" if rights.owner.relkind == "m" else "TABLE")
    if rights.owner.is_other:
        name = Identifier(rights.owner.name)
        run(connection, "ALTER {k} {t} OWNER TO {o}", k=kind, t=new.sql, o=name)
    columns = {row.name for row in rows(connection, _COLUMN_NAMES, new.oid)}
    _grant(connection, rights, new, columns)
    for row in rights.comments:
        if row.column_name is None:
            comment_on(connection, "{k} {t}", row.comment, k=kind, t=new.sql)
        elif row.column_name in columns:
            column = sql("{t}.{c}", t=new.sql, c=Identifier(row.column_name))
            comment_on(connection, "COLUMN {c}", row.comment, c=column)


def _grant(connection: Connection[Any], rights: Rights, new: Relation, columns: set[str]) -> None:
    for row in rows(connection, _GRANTEES, new.oid):  # whom default privileges let in
        run(connection, "REVOKE ALL ON {t} FROM {g}", t=new.sql, g=role(row.grantee))
    _restrict_owner(connection, rights, new)
    for row in rights.grants:
        if row.column_name is not None and row.column_name not in columns:
            continue
        column = sql(" ({c})", c=Identifier(row.column_name)) if row.column_name else Sql("")
        run(
            connection,
            "GRANT {privilege}{column} ON {t} TO {g}{option}",
            privilege=Sql(row.privilege),
            column=column,
            t=new.sql,
            g=role(row.grantee),
            option=Sql(" WITH GRANT OPTION" if row.is_grantable else ""),
        )


def _restrict_owner(connection: Connection[Any], rights: Rights, new: Relation) -> None:
    """Give the owner what it may do on the old table, which default privileges may not give."""
    if _read_owner_privileges(connection, new) == rights.owner_privileges:
        return
    owner = Identifier(rights.owner.name)
    run(connection, "REVOKE ALL ON {t} FROM {o}", t=new.sql, o=owner)
    for privilege in rights.owner_privileges:
        run(connection, "GRANT {p} ON {t} TO {o}", p=Sql(privilege), t=new.sql, o=owner)


_OWNER = """
SELECT pg_get_userbyid(relowner) AS name, pg_get_userbyid(relowner) <> current_user AS is_other,
    relkind::text AS relkind
FROM pg_class WHERE oid = %s
"""

_OWNER_PRIVILEGES = """
SELECT DISTINCT a.privilege_type AS privilege
FROM pg_class c, aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) a
WHERE c.oid = %s AND a.grantee = c.relowner ORDER BY 1
"""

_COLUMN_NAMES = """
SELECT attname AS name FROM pg_attribute WHERE attrelid = %s AND attnum > 0 AND NOT attisdropped
"""

_COMMENTS = """
SELECT d.description AS comment, a.attname AS column_name
FROM pg_description d
LEFT JOIN pg_attribute a ON a.attrelid = d.objoid AND a.attnum = d.objsubid AND d.objsubid > 0
WHERE d.objoid = %s AND d.classoid = 'pg_class'::regclass ORDER BY d.objsubid
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
) AS privileges
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
    pg_get_expr(polwithcheck, polrelid) AS check_rows,
    obj_description(oid, 'pg_policy') AS comment
FROM pg_policy WHERE polrelid = %s ORDER BY polname
"""
