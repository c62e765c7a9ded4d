"""Charts of a published mart, and the dashboard that shows them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from phlo_superset.metrics import Metric

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from phlo_superset.columns import Column
    from phlo_superset.published import PublishedMart

_SERIES = 20
_TABLE_ROWS = 1_000
_COUNT = Metric("count", "COUNT(*)", "rows")
"""The metric that Superset gives to every dataset."""


@dataclass(frozen=True)
class Chart:
    """A chart of a mart.

    Attributes:
        key: Its name among the charts of the mart.
        title: What stands above it.
        viz_type: Superset's name of the kind of chart.
        params: Superset's options of it.
    """

    key: str
    title: str
    viz_type: str
    params: dict[str, Any]


def choose_charts(mart: PublishedMart) -> Iterator[Chart]:
    """Yield a chart of the mart's first metric, where it has an axis, and a table of its rows."""
    title = mart.table.replace("_", " ").capitalize()
    metric = mart.metrics[0] if mart.metrics else _COUNT
    axis = _axis(mart.columns)
    if axis is not None:
        yield Chart(
            "metric",
            f"{title}: {metric.label or metric.name}",
            "echarts_timeseries_line" if axis.is_temporal else "echarts_timeseries_bar",
            _series(axis, metric, _groups(mart, axis)),
        )
    yield Chart("rows", title, "table", _rows(mart.columns, axis))


def _axis(columns: Sequence[Column]) -> Column | None:
    """Choose the column along which a metric is charted: a time, a part of the key, or a text."""
    return next(
        (
            column
            for is_fit in (_is_time, _is_key_part, _is_text)
            for column in columns
            if is_fit(column)
        ),
        None,
    )


def _is_time(column: Column) -> bool:
    return column.is_temporal


def _is_key_part(column: Column) -> bool:
    return column.is_key or (column.is_whole and column.name.endswith(("hour", "month", "year")))


def _is_text(column: Column) -> bool:
    return column.type == "text"


def _groups(mart: PublishedMart, axis: Column) -> list[str]:
    """Choose the column that tells lines apart: the first text, where the axis is a time."""
    texts = [column.name for column in mart.columns if _is_text(column)]
    return texts[:1] if axis.is_temporal else []


def _series(axis: Column, metric: Metric, groups: list[str]) -> dict[str, Any]:
    return {
        "x_axis": axis.name,
        "time_grain_sqla": "P1D" if axis.is_temporal else None,
        "metrics": [metric.name],
        "groupby": groups,
        "adhoc_filters": [],
        "limit": _SERIES,
        "row_limit": 10_000,
        "x_axis_sort_asc": True,
        "show_legend": bool(groups),
        "rich_tooltip": True,
        "y_axis_format": metric.format or "SMART_NUMBER",
        "x_axis_time_format": "smart_date",
    }


def _rows(columns: Sequence[Column], axis: Column | None) -> dict[str, Any]:
    has_times = any(column.is_temporal and column.type != "date" for column in columns)
    order = [json.dumps([axis.name, not axis.is_temporal])] if axis else []
    return {
        "query_mode": "raw",
        "all_columns": [column.name for column in columns],
        "adhoc_filters": [],
        "order_by_cols": order,
        "row_limit": _TABLE_ROWS,
        "server_page_length": 10,
        "table_timestamp_format": "smart_date" if has_times else "%Y-%m-%d",
    }


@dataclass(frozen=True)
class PlacedChart:
    """A chart on a dashboard.

    Attributes:
        id: Superset's id of it.
        uuid: Its UUID.
        title: What stands above it.
        is_table: Whether it shows rows.
    """

    id: int
    uuid: str
    title: str
    is_table: bool


def lay_out(title: str, marts: Mapping[str, tuple[str, Sequence[PlacedChart]]]) -> dict[str, Any]:
    """Write the layout of a dashboard: for each mart its description, and its charts side by side.

    Args:
        title: Of the dashboard.
        marts: Description and charts by the mart's name.
    """
    rows = {
        part_id: part
        for name, (description, charts) in marts.items()
        if charts
        for part_id, part in _mart_rows(name, description, charts).items()
    }
    top = [part_id for part_id, part in rows.items() if part["type"] == "ROW"]
    return {
        "DASHBOARD_VERSION_KEY": "v2",
        "ROOT_ID": {"type": "ROOT", "id": "ROOT_ID", "children": ["GRID_ID"]},
        "HEADER_ID": {"type": "HEADER", "id": "HEADER_ID", "meta": {"text": title}},
        "GRID_ID": {
            "type": "GRID",
            "id": "GRID_ID",
            "children": top,
            "parents": ["ROOT_ID"],
        },
        **rows,
    }


def _mart_rows(name: str, description: str, charts: Sequence[PlacedChart]) -> dict[str, Any]:
    text = {"code": f"### {name}\n\n{description}", "width": 12, "height": 14}
    parts = [(f"MARKDOWN-{name}", "MARKDOWN", text)]
    width = 12 // len(charts)
    shown = [
        (
            f"CHART-{chart.uuid}",
            "CHART",
            {
                "chartId": chart.id,
                "uuid": chart.uuid,
                "sliceName": chart.title,
                "width": width,
                "height": 50,
            },
        )
        for chart in charts
    ]
    return _row(f"ROW-{name}-text", parts) | _row(f"ROW-{name}-charts", shown)


def _row(row_id: str, parts: Sequence[tuple[str, str, dict[str, Any]]]) -> dict[str, Any]:
    parents = ["ROOT_ID", "GRID_ID"]
    row = {
        "type": "ROW",
        "id": row_id,
        "children": [part_id for part_id, _, _ in parts],
        "parents": parents,
        "meta": {"background": "BACKGROUND_TRANSPARENT"},
    }
    children = {
        part_id: {
            "type": kind,
            "id": part_id,
            "children": [],
            "parents": [*parents, row_id],
            "meta": meta,
        }
        for part_id, kind, meta in parts
    }
    return {row_id: row} | children
