"""`phlo check`: verdicts, exit codes, and suites proposed from the data."""

import json
import math
from datetime import date
from decimal import Decimal

import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from click.testing import CliRunner
from phlo.errors import ConfigurationError, InvalidPartitionError, TableNotFoundError
from phlo.lake import open_lake
from phlo.names import TableName
from phlo.specs import spec_of
from phlo.values import Replace
from phlo_quality.commands import check
from phlo_quality.suggest import suggest_suite, wider_bounds

SUITE = """
    from phlo_quality import NullCheck, RangeCheck, phlo_quality

    @phlo_quality(
        table="bronze.events",
        checks=[
            NullCheck(columns=["id"]),
            RangeCheck(column="value", min_value=0, max_value=9, severity="{severity}"),
        ],
        partition_column="day",
    )
    def events_quality():
        pass
"""
ROWS = pa.table(
    {
        "id": ["a", "b", "c"],
        "value": [1, 2, 10],
        "day": [date(2025, 1, 14), date(2025, 1, 14), date(2025, 1, 15)],
    }
)


def write(rows, table="bronze.events"):
    store, name = open_lake().store, TableName.parse(table)
    store.publish([store.stage(name, ds.dataset(rows), Replace(), schema=rows.schema)])


@pytest.fixture
def run(phlo_project):
    def run_check(*arguments, severity="error"):
        phlo_project.write("workflows/quality/api.py", SUITE.format(severity=severity))
        write(ROWS)
        return CliRunner().invoke(check, list(arguments), catch_exceptions=False)

    return run_check


def test_a_failed_check_is_shown_with_its_rows_and_ends_with_one(run):
    done = run("bronze.events")
    assert done.exit_code == 1
    first, second, row = done.output.splitlines()
    assert first.split()[:2] == ["ok", "events_quality__NullCheck__id"]
    assert second.split()[:2] == ["failed", "events_quality__RangeCheck__value"]
    assert json.loads(row) == {"id": "c", "value": 10, "day": "2025-01-15"}


def test_a_partition_is_judged_alone(run):
    done = run("events", "--partition", "2025-01-14")
    assert (done.exit_code, done.output.count("[partition 2025-01-14]")) == (0, 2)


MONTHLY = """
    from pandera.typing import Series
    from phlo.schemas import PhloSchema
    from phlo_dlt import phlo_ingestion

    class EventSchema(PhloSchema):
        id: Series[str]

    @phlo_ingestion(
        table_name="events", unique_key="id", validation_schema=EventSchema, group="api",
        partitions="monthly", start_date="2025-01-01",
    )
    def api_events(partition_date: str):
        return []
"""


def test_a_partition_is_as_long_as_the_asset_has_it(run, phlo_project):
    phlo_project.write("workflows/ingestion/api/events.py", MONTHLY)
    done = run("events", "--partition", "2025-01-01", "--json")
    found = json.loads(done.output)
    assert [(r["status"], r["row_count"]) for r in found] == [("passed", 3), ("failed", 3)]
    assert found[1]["sample"] == [{"id": "c", "value": 10, "day": "2025-01-15"}]


def test_a_day_on_which_no_partition_begins_is_refused(run, phlo_project):
    phlo_project.write("workflows/ingestion/api/events.py", MONTHLY)
    with pytest.raises(
        InvalidPartitionError, match="No partition of 'dlt_events' begins on"
    ) as error:
        run("events", "--partition", "2025-01-14")
    assert "--partition 2025-02-01" in error.value.hint


def test_a_failed_warning_ends_with_zero(run):
    done = run("events", severity="warn")
    assert (done.exit_code, done.output.splitlines()[1].split()[0]) == (0, "failed")


def test_json_has_every_result(run):
    done = run("events", "--json")
    found = json.loads(done.output)
    assert [(r["check"].split("__")[1], r["status"], r["row_count"]) for r in found] == [
        ("NullCheck", "passed", 3),
        ("RangeCheck", "failed", 3),
    ]
    assert found[1]["sample"] == [{"id": "c", "value": 10, "day": "2025-01-15"}]


def test_a_table_without_suite_is_an_error_that_shows_the_way(run):
    write(ROWS, "bronze.users")
    with pytest.raises(ConfigurationError, match=r"No suite judges bronze\.users") as caught:
        run("users")
    assert "--suggest" in caught.value.hint


def test_a_mistyped_table_is_told_with_the_nearest(run):
    with pytest.raises(TableNotFoundError, match="no table 'bronze.evnts'") as caught:
        run("evnts")
    assert caught.value.hint == "Did you mean 'bronze.events'?"


def test_the_suite_proposed_for_a_table_is_one_that_it_passes(phlo_environment):
    count = 60
    rows = pa.table(
        {
            "id": [f"e{n}" for n in range(count)],
            "value": [math.nan, None, *[n / 7 for n in range(count - 2)]],
            "qty": [n % 5 for n in range(count)],
            "price": pa.array([Decimal(n % 3) / 4 for n in range(count)], pa.decimal128(10, 2)),
            "status": [["new", "it's", None][n % 3] for n in range(count)],
            "note": [f"note {n % 30}" for n in range(count)],
            "_phlo_run_id": ["r"] * count,
        }
    )
    write(rows)
    lake = open_lake()
    text = suggest_suite(TableName("bronze", "events"), lake)
    assert "UniqueCheck(columns=['id'])" in text
    assert "NullCheck(columns=['id', 'qty', 'price', 'note'])" in text
    assert "RangeCheck(column='qty', min_value=0, max_value=6)" in text
    assert """AcceptedValuesCheck('status', values=["it's", 'new'], severity='warn')""" in text
    assert "_phlo_run_id" not in text
    module = {}
    exec(text, module)
    suite = spec_of(module["events_quality"])
    results = suite.evaluate(lake.engine, lake.store)
    assert [(r.check, r.message) for r in results if r.status != "passed"] == []


@pytest.mark.parametrize(
    ("smallest", "largest", "expected"),
    [
        (2.0, 89.9, {"min_value": 0.0, "max_value": 140.0}),
        (2010, 2024, {"min_value": 2000, "max_value": 2040}),
        (-7, -7, {"min_value": -11, "max_value": -3}),
        (0, Decimal("0.5"), {"min_value": 0.0, "max_value": 0.8}),
        (0, 0, {"min_value": 0, "max_value": 1}),
        (-0.25, 0.25, {"min_value": -0.5, "max_value": 0.5}),
        (Decimal("1.10"), Decimal("1.90"), {"min_value": 0.7, "max_value": 2.3}),
        (10**30, 10**30 + 2, {"min_value": 10**30 - 1, "max_value": 10**30 + 3}),
        (1.0, math.inf, {"min_value": 0.0}),
        (-1.7e308, 1.7e308, {}),
    ],
)
def test_proposed_bounds_leave_room_for_tomorrow(smallest, largest, expected):
    assert wider_bounds(smallest, largest) == expected


def test_a_table_that_is_not_there_has_no_suggestion(phlo_environment):
    with pytest.raises(TableNotFoundError):
        suggest_suite(TableName("bronze", "gone"), open_lake())
