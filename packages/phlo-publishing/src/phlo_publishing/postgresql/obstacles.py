"""Refuse, before any row is read, what a new version of a table could not take over.

Whatever depends on a published table is either carried over by the other modules of this package
or named here: an object of a kind that no module knows is refused as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from phlo.errors import ConfigurationError

from phlo_publishing.postgresql.relations import rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg import Connection

    from phlo_publishing.postgresql.relations import Relation


def find_obstacles(
    connection: Connection[Any], relations: Sequence[Relation], columns: Sequence[str] = ()
) -> list[str]:
    """Describe what a publish would lose of tables and materialized views.

    Args:
        connection: Its search path is empty, so that descriptions have full names.
        relations: The relations that are to be replaced.
        columns: The columns that a published mart put into a table of its own; a column added
            by hand is lost unless PostgreSQL computes it. None: do not look at columns.
    """
    oids = [relation.oid for relation in relations]
    found = [row.what for row in rows(connection, _DEPENDENTS, oids)]
    found += [row.what for row in rows(connection, _TIES, *[oids] * 10)]
    if columns:
        found += [row.what for row in rows(connection, _ADDED_COLUMNS, oids, len(columns))]
    return found


def refuse_obstacles(relation: Relation, obstacles: Sequence[str]) -> None:
    """Raise ConfigurationError if a publish would lose something of a table."""
    if obstacles:
        raise ConfigurationError(
            f"Publishing {relation} anew would lose what hangs on it: {', '.join(obstacles)}.",
            hint="Hang it on a view over the table, since views are kept, or remove it.",
            table=str(relation),
            losses=list(obstacles),
        )


# Every object that depends on the relations or on their parts, less the parts themselves and what
# is carried over: views, materialized views, rules, foreign keys, sequences of columns.
_DEPENDENTS = """
WITH relation AS (SELECT unnest(%s::oid[]) AS oid),
part AS (
    SELECT 'pg_class'::regclass AS class, oid FROM relation
    UNION ALL SELECT 'pg_class'::regclass, reltoastrelid FROM pg_class
        WHERE oid IN (SELECT oid FROM relation) AND reltoastrelid <> 0
    UNION ALL SELECT 'pg_class'::regclass, indexrelid FROM pg_index
        JOIN pg_class c ON indrelid IN (c.oid, c.reltoastrelid)
        WHERE c.oid IN (SELECT oid FROM relation)
    UNION ALL SELECT 'pg_type'::regclass, t.oid FROM pg_class c
        JOIN pg_type t ON t.oid = c.reltype OR t.typelem = c.reltype AND c.reltype <> 0
        WHERE c.oid IN (SELECT oid FROM relation)
    UNION ALL SELECT 'pg_attrdef'::regclass, oid FROM pg_attrdef
        WHERE adrelid IN (SELECT oid FROM relation)
    UNION ALL SELECT 'pg_constraint'::regclass, oid FROM pg_constraint
        WHERE conrelid IN (SELECT oid FROM relation)
    UNION ALL SELECT 'pg_trigger'::regclass, oid FROM pg_trigger
        WHERE tgrelid IN (SELECT oid FROM relation)
    UNION ALL SELECT 'pg_policy'::regclass, oid FROM pg_policy
        WHERE polrelid IN (SELECT oid FROM relation)
    UNION ALL SELECT 'pg_rewrite'::regclass, oid FROM pg_rewrite
        WHERE ev_class IN (SELECT oid FROM relation)
    UNION ALL SELECT 'pg_statistic_ext'::regclass, oid FROM pg_statistic_ext
        WHERE stxrelid IN (SELECT oid FROM relation)
),
dependent AS (
    SELECT DISTINCT d.classid, d.objid, CASE WHEN d.classid = 'pg_class'::regclass
        AND d.refclassid <> 'pg_type'::regclass THEN 0 ELSE d.objsubid END AS objsubid,
        d.refclassid
    FROM pg_depend d JOIN part p ON d.refclassid = p.class AND d.refobjid = p.oid
    WHERE NOT EXISTS (SELECT FROM part o WHERE o.class = d.classid AND o.oid = d.objid)
)
SELECT DISTINCT pg_describe_object(classid, objid, objsubid) AS what FROM dependent d
WHERE NOT (
    classid = 'pg_rewrite'::regclass AND refclassid <> 'pg_type'::regclass
    OR classid = 'pg_constraint'::regclass AND EXISTS (
        SELECT FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
        WHERE k.oid = objid AND contype = 'f' AND conparentid = 0 AND relkind = 'r')
    OR classid = 'pg_trigger'::regclass AND EXISTS (
        SELECT FROM pg_trigger WHERE oid = objid AND tgisinternal)
    OR classid = 'pg_class'::regclass AND refclassid = 'pg_class'::regclass AND EXISTS (
        SELECT FROM pg_class WHERE oid = objid AND relkind = 'S')
)
ORDER BY what
"""

# What ties relations to objects that do not depend on them, or belongs to another role.
_TIES = """
SELECT 'inheritance from ' || inhparent::regclass AS what FROM pg_inherits
WHERE inhrelid = ANY (%s::oid[])
UNION ALL
SELECT 'type ' || reloftype::regtype FROM pg_class WHERE oid = ANY (%s::oid[]) AND reloftype <> 0
UNION ALL
SELECT 'membership of ' || pg_describe_object(refclassid, refobjid, 0) FROM pg_depend
WHERE classid = 'pg_class'::regclass AND objid = ANY (%s::oid[]) AND deptype = 'e'
UNION ALL
SELECT 'dependence of ' || pg_describe_object(classid, objid, 0) || ' on '
    || pg_describe_object(refclassid, refobjid, 0) FROM pg_depend
WHERE deptype = 'x' AND (classid = 'pg_class'::regclass AND (objid = ANY (%s::oid[])
        OR objid IN (SELECT indexrelid FROM pg_index WHERE indrelid = ANY (%s::oid[])))
    OR classid = 'pg_trigger'::regclass
        AND objid IN (SELECT oid FROM pg_trigger WHERE tgrelid = ANY (%s::oid[])))
UNION ALL
SELECT 'security label of ' || pg_describe_object(classoid, objoid, objsubid) FROM pg_seclabel
WHERE classoid = 'pg_class'::regclass AND objoid = ANY (%s::oid[])
UNION ALL
SELECT 'identity column ' || attname FROM pg_attribute
WHERE attrelid = ANY (%s::oid[]) AND attidentity <> '' AND NOT attisdropped
UNION ALL
SELECT 'foreign key ' || k.conname || ' of ' || k.conrelid::regclass
    || ', whose owner is another role' FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
WHERE k.confrelid = ANY (%s::oid[]) AND k.contype = 'f' AND NOT pg_has_role(c.relowner, 'USAGE')
UNION ALL
SELECT DISTINCT pg_describe_object('pg_class'::regclass, c.oid, 0)
    || ', whose owner is another role' FROM pg_depend d
JOIN pg_rewrite r ON r.oid = d.objid AND d.classid = 'pg_rewrite'::regclass
JOIN pg_class c ON c.oid = r.ev_class
WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = ANY (%s::oid[])
    AND NOT pg_has_role(c.relowner, 'USAGE')
ORDER BY what
"""

_ADDED_COLUMNS = """
SELECT 'column ' || attname AS what FROM pg_attribute
WHERE attrelid = ANY (%s::oid[]) AND attnum > %s AND NOT attisdropped AND attgenerated = ''
    AND attidentity = ''
ORDER BY attnum
"""
