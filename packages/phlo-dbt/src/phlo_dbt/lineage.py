"""Which columns each column of a model is made of, from its compiled SQL."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dagster import AssetKey, TableColumnDep, TableColumnLineage
from phlo.names import TableName
from sqlglot import exp, lineage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sqlglot.lineage import Node

    _Column = tuple[TableName, str]

logger = logging.getLogger(__name__)

BUDGET_SECONDS = 5.0
"""Time that the lineage of all models of one run may take; it is known after they are published."""

MAX_COLUMNS = 2_000
"""A model with more columns than this has no lineage."""

_MAX_SQL_CHARACTERS = 500_000


@dataclass
class LineageBudget:
    """What is left of the time for lineage in one run.

    Attributes:
        seconds: Not used yet.
    """

    seconds: float = BUDGET_SECONDS

    def column_lineage(
        self,
        query: str,
        columns: Sequence[str],
        parents: Mapping[TableName, Sequence[str]],
        asset_of: Callable[[TableName], AssetKey],
    ) -> TableColumnLineage | None:
        """Find the lineage of a query's columns; ``None`` where it costs too much or fails.

        Args:
            query: Compiled SQL of DuckDB.
            columns: The model's columns.
            parents: Columns of the tables that the query may read.
            asset_of: The asset that makes a table.
        """
        is_small = len(columns) <= MAX_COLUMNS and len(query) <= _MAX_SQL_CHARACTERS
        if not query or not is_small or self.seconds <= 0:
            return None
        started = time.monotonic()
        try:
            return _column_lineage(query, columns, parents, asset_of)
        except Exception:
            logger.debug("No column lineage of %s", query, exc_info=True)
            return None
        finally:
            self.seconds -= time.monotonic() - started


def _column_lineage(
    query: str,
    columns: Sequence[str],
    parents: Mapping[TableName, Sequence[str]],
    asset_of: Callable[[TableName], AssetKey],
) -> TableColumnLineage:
    schema: dict[str, dict[str, dict[str, str]]] = {}
    for table, names in parents.items():
        # Lineage needs the names; types do not matter.
        schema.setdefault(table.namespace, {})[table.name] = dict.fromkeys(names, "varchar")
    nodes = lineage.lineage(None, _without_database(query), schema, dialect="duckdb")
    by_name = {name.lower(): node for name, node in nodes.items()}
    sources: dict[int, set[_Column]] = {}
    return TableColumnLineage(
        {
            column: sorted(
                (
                    TableColumnDep(asset_key=asset_of(table), column_name=name)
                    for table, name in _sources(by_name[column.lower()], sources)
                    if table in parents
                ),
                key=str,
            )
            if column.lower() in by_name
            else []  # a column that the materialization adds
            for column in columns
        }
    )


def _without_database(query: str) -> exp.Expr:
    """Parse a query, its tables named by schema and name alone."""
    parsed = exp.maybe_parse(query, dialect="duckdb")
    for table in parsed.find_all(exp.Table):
        table.set("catalog", None)
    return parsed


def _sources(
    node: Node, known: dict[int, set[tuple[TableName, str]]]
) -> set[tuple[TableName, str]]:
    """Return the columns of tables that a column is made of; shared nodes are visited once."""
    if id(node) not in known:
        known[id(node)] = set()
        table = node.expression
        if isinstance(table, exp.Table) and not node.downstream:
            column = exp.to_column(node.name, dialect="duckdb").name
            known[id(node)] = {(TableName(table.db, table.name), column)}
        for below in node.downstream:
            known[id(node)] |= _sources(below, known)
    return known[id(node)]
