"""Which charts a mart gets, and how the dashboard lays them out."""

import pytest
from phlo_superset.charts import PlacedChart, choose_charts, lay_out
from phlo_superset.columns import Column
from phlo_superset.metrics import Metric
from phlo_superset.published import PublishedMart

METRIC = Metric("avg__v", 'AVG("v")', "v (mean)")


def mart(*columns):
    found = tuple(Column(name, kind, "", is_key) for name, kind, is_key in columns)
    return PublishedMart("marts", "daily_sales", "marts.daily_sales", "Sales.", found, (METRIC,))


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ([("t", "text", False), ("d", "date", False)], ("echarts_timeseries_line", "d", ["t"])),
        (
            [("hour", "integer", False), ("t", "text", False)],
            ("echarts_timeseries_bar", "hour", []),
        ),
        ([("k", "bigint", True)], ("echarts_timeseries_bar", "k", [])),
        ([("t", "text", False)], ("echarts_timeseries_bar", "t", [])),
    ],
)
def test_a_metric_is_charted_along_a_time_a_key_or_a_text(columns, expected):
    metric, rows = choose_charts(mart(*columns))
    assert (metric.viz_type, metric.params["x_axis"], metric.params["groupby"]) == expected
    assert metric.title == "Daily sales: v (mean)"
    assert rows.params["all_columns"] == [name for name, _, _ in columns]


def test_a_mart_without_an_axis_gets_a_table_alone():
    assert [chart.viz_type for chart in choose_charts(mart(("v", "jsonb", False)))] == ["table"]


def test_the_dashboard_holds_each_part_once_below_its_parents():
    charts = [PlacedChart(n, f"uuid-{n}", f"c{n}", is_table=n == 2) for n in (1, 2)]
    layout = lay_out("Marts", {"marts.a": ("A.", charts), "marts.empty": ("E.", [])})
    assert layout["GRID_ID"]["children"] == ["ROW-marts.a-text", "ROW-marts.a-charts"]
    shown = [part["meta"]["chartId"] for key, part in layout.items() if key.startswith("CHART-")]
    assert shown == [1, 2]
    for key, part in layout.items():
        for child in part.get("children", []) if isinstance(part, dict) else []:
            assert layout[child]["parents"][-1] == key
