"""Published marts, each with charts that fit the types of its columns."""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING

import pyarrow as pa
from phlo.errors import PhloError
from phlo.names import TableName
from phlo.sql import Identifier, Sql, sql

from phlo_cli.lineage import last_published
from phlo_cli.report.values import Chart, Mart

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from decimal import Decimal

    from dagster import DagsterInstance
    from phlo.lake import Lake

    from phlo_cli.lineage import PublishedTable
    from phlo_cli.project_index import ProjectIndex

CHARTS = 3
"""Charts of a mart, at most."""

POINTS = 400
"""Points of a line."""

BARS = 15
"""Bars of a chart by texts."""


def read_marts(
    index: ProjectIndex,
    instance: DagsterInstance,
    lake: Lake,
    sensitive: Mapping[str, frozenset[str] | None],
) -> list[Mart]:
    """Read what the publishing assets published last, sorted by name."""
    marts = [_mart(one, lake, sensitive) for one in last_published(index, instance)]
    return sorted(marts, key=lambda mart: mart.target)


def _mart(
    published: PublishedTable, lake: Lake, sensitive: Mapping[str, frozenset[str] | None]
) -> Mart:
    masked = sensitive.get(published.source, frozenset())
    try:
        charts = choose_charts(lake, TableName.parse(published.source), masked)
    except PhloError:
        charts = []  # it was published, and its table is gone or cannot be read now
    return Mart(published.source, published.target, published.rows, published.at, charts)


def choose_charts(lake: Lake, table: TableName, masked: frozenset[str] | None) -> list[Chart]:
    """Choose charts by the types of a table's columns.

    Numbers over its first date, else by its first text, else over its first whole number; where
    there are no numbers, rows are counted. Several rows of one date or text are drawn as their
    average, since nothing tells whether a number may be added up.

    Args:
        lake: Answers the queries.
        table: The mart.
        masked: Columns whose values are not shown; ``None``: all.
    """
    if masked is None:
        return []
    fields = [f for f in lake.store.load(table).schema if _is_shown(f.name, masked)]
    whole = [f.name for f in fields if pa.types.is_integer(f.type)]
    numbers = [f.name for f in fields if _is_fraction(f.type)] + whole
    dates = [f for f in fields if pa.types.is_date(f.type) or pa.types.is_timestamp(f.type)]
    texts = [f.name for f in fields if _is_text(f.type)]
    if dates:
        units = ("", "hour", "day") if pa.types.is_timestamp(dates[0].type) else ("",)
        return _charts(lake, table, dates[0].name, numbers, units)
    if texts:
        return _charts(lake, table, texts[0], numbers, ())
    others = [name for name in numbers if name != whole[0]] if whole else []
    return _charts(lake, table, whole[0], others, ("",)) if others else []


def _is_shown(name: str, masked: frozenset[str]) -> bool:
    return name not in masked and not name.startswith(("_phlo_", "_dlt_"))


def _is_text(type_: pa.DataType) -> bool:
    return pa.types.is_string(type_) or pa.types.is_large_string(type_)


def _is_fraction(type_: pa.DataType) -> bool:
    return pa.types.is_floating(type_) or pa.types.is_decimal(type_)


def _charts(
    lake: Lake, table: TableName, by: str, numbers: list[str], units: Sequence[str]
) -> list[Chart]:
    """Draw the first numbers; ``units`` are those of a line, finest first, and none of bars."""
    measures: list[str | None] = [*numbers[:CHARTS]] or [None]
    make = _line if units else _bars
    charts = [make(lake, table, by, of, units) for of in measures]
    return [chart for chart in charts if chart.points]


def _line(lake: Lake, table: TableName, by: str, of: str | None, units: Sequence[str]) -> Chart:
    """Draw a line in the finest unit of time that leaves out no point, else its newest points.

    A single point is a bar: a line has two ends.
    """
    points, unit = [], ""
    for unit in units:
        moment = sql("date_trunc({u}, {by})", u=unit, by=Identifier(by)) if unit else None
        points = _points(
            lake, table, moment or sql("{by}", by=Identifier(by)), of, "1 DESC", POINTS
        )
        if len(points) <= POINTS:
            break
    shape = "line" if len(points) > 1 else "bars"
    return Chart(shape, by, of, points[:POINTS][::-1], len(points) > POINTS, unit)


def _bars(lake: Lake, table: TableName, by: str, of: str | None, _units: Sequence[str]) -> Chart:
    points = _points(lake, table, sql("{by}", by=Identifier(by)), of, "2 DESC, 1", BARS)
    return Chart("bars", by, of, points[:BARS], len(points) > BARS)


def _points(
    lake: Lake, table: TableName, by: Sql, of: str | None, order: str, limit: int
) -> list[tuple[str, float]]:
    """Read a number by another column, and one point more than the limit where there are more."""
    value = sql("avg(CAST({c} AS DOUBLE))", c=Identifier(of)) if of else sql("count(*)")
    statement = sql(
        "SELECT {by} AS label, {value} AS amount FROM {t} WHERE {by} IS NOT NULL "
        "GROUP BY 1 ORDER BY {order} LIMIT {n}",
        by=by,
        value=value,
        t=table,
        order=Sql(order),
        n=limit + 1,
    )
    rows = lake.engine.query(statement).read_all().to_pylist()
    return [(_label(r["label"]), float(r["amount"])) for r in rows if _is_finite(r["amount"])]


def _is_finite(value: Decimal | float | None) -> bool:
    return value is not None and value == value and abs(value) != float("inf")


def _label(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="minutes").removesuffix("+00:00")
    return value.isoformat() if isinstance(value, date) else str(value)
