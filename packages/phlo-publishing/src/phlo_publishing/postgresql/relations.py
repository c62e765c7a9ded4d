"""Find relations in PostgreSQL's catalog and run statements on them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from phlo.errors import ConfigurationError
from phlo.sql import Identifier, Sql, identifiers, qualified, sql
from psycopg.rows import namedtuple_row

if TYPE_CHECKING:
    from collections.abc import Iterable

    from phlo.sql import SqlPart
    from psycopg import Connection

STAGING_SCHEMA = "phlo_new"
"""Schema that holds the next version of a table, under the table's own name, until the swap."""


@dataclass(frozen=True, slots=True)
class Relation:
    """A table or materialized view in PostgreSQL.

    Attributes:
        oid: Its identity, which stays when it is renamed or moved to another schema.
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

    def moved_to(self, schema: str) -> Relation:
        """Return the same relation as it is called in another schema."""
        return replace(self, schema=schema)

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True, slots=True)
class Replacement:
    """A relation and the next version of it, which stands in the staging schema."""

    old: Relation
    new: Relation


def run(connection: Connection[Any], template: str, **parts: SqlPart | Iterable[SqlPart]) -> None:
    """Run a statement with quoted parts (:func:`phlo.sql.sql`)."""
    connection.execute(sql(template, **parts).encode())


def rows(connection: Connection[Any], query: str, *values: object) -> list[Any]:
    """Fetch the rows of a query, their columns as attributes."""
    with connection.cursor(row_factory=namedtuple_row) as cursor:
        return cursor.execute(query.encode(), values or None).fetchall()


def find_relation(connection: Connection[Any], schema: str, name: str) -> Relation | None:
    """Find a relation of any kind by its name; ``None`` where there is none."""
    matches = rows(connection, _RELATION, schema, name)
    return Relation(matches[0].oid, schema, name) if matches else None


def find_table(connection: Connection[Any], schema: str, name: str) -> Relation | None:
    """Find a plain table by its name; ``None`` where nothing has the name.

    Raises:
        ConfigurationError: Something else has the name, such as a view.
    """
    matches = rows(connection, _RELATION, schema, name)
    if matches and matches[0].relkind != "r":
        raise ConfigurationError(
            f"{schema}.{name} is not a plain table, so phlo does not replace it.",
            hint="Publish under another name, or remove what has this one.",
            table=f"{schema}.{name}",
        )
    return Relation(matches[0].oid, schema, name) if matches else None


def resolve_names_in(connection: Connection[Any], *schemas: str) -> None:
    """Set the search path for the rest of the transaction.

    PostgreSQL writes a definition with bare names for what the search path finds. So definitions
    are read with the published tables' schemas in the path, and run with the staging schema before
    them: every bare name then means the next version. Without schemas all names are full.
    """
    path = sql("{schemas}", schemas=identifiers(schemas)) if schemas else ""
    connection.execute("SELECT set_config('search_path', %s, true)", [path])


def schemas_of(relations: Iterable[Relation]) -> list[str]:
    """List the schemas of relations, each once."""
    return list(dict.fromkeys(relation.schema for relation in relations))


def comment_on(
    connection: Connection[Any], what: str, comment: str | None, **parts: SqlPart
) -> None:
    """Set the comment of an object that a template names; ``None`` sets none."""
    if comment is not None:
        run(connection, f"COMMENT ON {what} IS {{comment}}", comment=comment, **parts)


def role(name: str | None) -> SqlPart:
    """Quote a role's name; ``None`` is PUBLIC."""
    return Sql("PUBLIC") if name is None else Identifier(name)


def options_sql(options: Iterable[str], *, prefix: str | None = None) -> list[Sql]:
    """Write storage parameters, which the catalog keeps as ``name=value``, as SQL.

    >>> print(*options_sql(["fillfactor=70"]), *options_sql(["a=on"], prefix="toast"))
    "fillfactor" = '70' "toast"."a" = 'on'
    """
    pairs = (option.partition("=") for option in options)
    return [
        sql(
            "{name} = {value}",
            name=qualified(prefix, name) if prefix else Identifier(name),
            value=value,
        )
        for name, _, value in pairs
    ]


_RELATION = """
SELECT c.oid, c.relkind::text AS relkind
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relname = %s
"""
