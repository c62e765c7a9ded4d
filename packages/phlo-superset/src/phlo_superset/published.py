"""Read which marts are published, with what their columns are and mean."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import psycopg
from phlo.errors import ConfigurationError, ServiceError
from phlo.names import TableName
from psycopg.rows import namedtuple_row

from phlo_superset.columns import Column
from phlo_superset.metrics import Metric, declared_metrics, default_metrics

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from phlo.project import Project
    from psycopg import Connection
    from pydantic import SecretStr


class Address(Protocol):
    """Where the marts' database is."""

    host: str
    port: int
    database: str
    user: str
    password: SecretStr | None
    sslmode: str | None


class MartsDatabase(Protocol):
    """The resource ``postgres``: the database that marts are published to."""

    def address(self) -> Address:
        """Return where the database is."""
        ...

    def connect(self, **options: Any) -> Connection[Any]:
        """Open a connection with psycopg."""
        ...


@dataclass(frozen=True)
class PublishedMart:
    """A mart that PostgreSQL holds.

    Attributes:
        schema: Schema of the published table.
        table: Its name.
        source: The mart in the lake, ``namespace.table``.
        description: What it holds.
        columns: Its columns, in order.
        metrics: Its metrics; the first one is charted.
    """

    schema: str
    table: str
    source: str
    description: str
    columns: tuple[Column, ...]
    metrics: tuple[Metric, ...] = ()

    @property
    def name(self) -> str:
        """The published table with its schema."""
        return f"{self.schema}.{self.table}"


def read_published_marts(database: MartsDatabase, project: Project) -> list[PublishedMart]:
    """Read the marts of the main branch that are in the database, sorted by name.

    A mart whose table declares ``meta: {phlo: {superset: false}}`` is left out.

    Raises:
        ConfigurationError: No mart is published, or a declaration is wrong.
        ServiceError: The database cannot be asked.
    """
    marts = _read_tables(database)
    if not marts:
        raise ConfigurationError(
            "No mart is published yet, so there is nothing to show in Superset.",
            hint="Publish one first: `phlo publish`, or materialize the publishing asset.",
        )
    declarations = {str(table): made.meta for table, made in project.tables.items()}
    declared = [(mart, declarations.get(mart.source, {}).get("superset", {})) for mart in marts]
    descriptions = _descriptions(project)
    return [
        _described(mart, options, descriptions)
        for mart, options in declared
        if options is not False
    ]


def _described(mart: PublishedMart, options: Any, descriptions: Mapping[str, str]) -> PublishedMart:
    description = mart.description or descriptions.get(mart.source, "")
    return replace(
        mart,
        description=description or f"The mart {mart.source}, published by phlo.",
        metrics=(*declared_metrics(mart.source, options), *default_metrics(mart.columns)),
    )


def _descriptions(project: Project) -> dict[str, str]:
    """Return what the assets of tables say that these hold, by table."""
    from dagster import AssetKey
    from phlo.orchestration.assembly import build_definitions

    graph = build_definitions(project).resolve_asset_graph()
    found = {}
    for table, made in project.tables.items():
        key = AssetKey(list(made.asset_key))
        text = graph.get(key).description if graph.has(key) else None
        found[str(table)] = (text or "").partition(_MODEL_SQL)[0].strip()
    return found


_MODEL_SQL = "#### Raw SQL"
"""Heading under which dagster-dbt puts a model's SQL behind its description."""


def _read_tables(database: MartsDatabase) -> list[PublishedMart]:
    try:
        with database.connect(autocommit=True) as connection:
            connection.row_factory = namedtuple_row
            if connection.execute(_HAS_RECORDS).fetchone() is None:
                return []
            rows = connection.execute(_COLUMNS).fetchall()
    except psycopg.Error as exc:
        raise ServiceError(
            f"The published marts cannot be read: {str(exc).strip().rstrip('.')}.",
            hint="Try again when the marts' PostgreSQL is well.",
        ) from exc
    return _grouped(rows)


def _grouped(rows: Sequence[Any]) -> list[PublishedMart]:
    marts: dict[TableName, PublishedMart] = {}
    for row in rows:
        name = TableName(row.schema, row.table)
        columns = marts[name].columns if name in marts else ()
        column = Column(row.column, row.type, row.column_comment or "", row.is_key)
        marts[name] = PublishedMart(
            row.schema, row.table, row.source, row.comment or "", (*columns, column)
        )
    return list(marts.values())


_HAS_RECORDS = "SELECT WHERE to_regclass('phlo.published') IS NOT NULL"

# Tables that were dropped or renamed since are not there; branches of the lake have schemas of
# their own, which are dropped with them and say so in their comment.
_COLUMNS = """
SELECT p.schema_name AS schema, p.table_name AS table, p.source,
    obj_description(c.oid, 'pg_class') AS comment, a.attname AS column,
    format_type(a.atttypid, a.atttypmod) AS type,
    col_description(c.oid, a.attnum) AS column_comment,
    EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary
        AND a.attnum = ANY (i.indkey::smallint[])) AS is_key
FROM phlo.published p
JOIN pg_namespace n ON n.nspname = p.schema_name
JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = p.table_name AND c.relkind = 'r'
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE coalesce(obj_description(n.oid, 'pg_namespace'), '') NOT LIKE 'Marts of the branch %'
ORDER BY p.schema_name, p.table_name, a.attnum
"""
