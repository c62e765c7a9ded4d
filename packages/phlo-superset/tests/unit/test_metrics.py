"""Metrics of marts, declared and by default."""

import pytest
from phlo.errors import ConfigurationError
from phlo_superset.columns import Column
from phlo_superset.metrics import Metric, declared_metrics, default_metrics


def expressions(*columns):
    found = [Column(name, kind, "", is_key) for name, kind, is_key in columns]
    return {metric.name: metric.expression for metric in default_metrics(found)}


def test_shares_get_a_mean_amounts_a_sum_and_keys_nothing():
    assert expressions(
        ("id", "bigint", True),
        ("customer_id", "bigint", False),
        ("year", "integer", False),
        ("visits", "bigint", False),
        ("max_visits", "integer", False),
        ("return_share", "double precision", False),
        ("price", "numeric(10,2)", False),
        ("name", "text", False),
        ("day", "date", False),
    ) == {
        "avg__max_visits": 'AVG("max_visits")',
        "avg__return_share": 'AVG("return_share")',
        "avg__price": 'AVG("price")',
        "sum__visits": 'SUM("visits")',
    }


def test_a_name_with_quotes_is_quoted():
    assert expressions(('a"b', "bigint", False)) == {'sum__a"b': 'SUM("a""b")'}


def test_declared_metrics_are_sql_or_a_mapping():
    declared = {
        "revenue": "sum(amount)",
        "margin": {"expression": "avg(margin)", "label": "Margin", "format": ".1%"},
    }
    assert list(declared_metrics("marts.m", {"metrics": declared})) == [
        Metric("revenue", "sum(amount)"),
        Metric("margin", "avg(margin)", "Margin", format=".1%"),
    ]
    assert list(declared_metrics("marts.m", True)) == []


@pytest.mark.parametrize(
    "options",
    ["yes", 1, {"metric": {}}, {"metrics": ["a"]}, {"metrics": {"a": 1}}]
    + [{"metrics": {"a": parts}} for parts in ({}, {"expression": ""}, {"sql": "x"})],
)
def test_a_declaration_that_cannot_be_read_is_refused(options):
    with pytest.raises(ConfigurationError, match=r"superset: ... *\}\}` of marts.m cannot be read"):
        list(declared_metrics("marts.m", options))
