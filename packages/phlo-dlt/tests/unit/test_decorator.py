"""Arguments of @phlo_ingestion are checked at decoration."""

import dagster
import pandera.pandas as pa
import pytest
from pandera.typing import Series
from phlo.errors import ColumnNotFoundError, ConfigurationError, InvalidArgumentError
from phlo.names import Partition, TableName
from phlo.specs import spec_of
from phlo.values import Append, Merge, Replace
from phlo_dlt import phlo_ingestion


class Base(pa.DataFrameModel):
    id: Series[str]
    day: Series[int]


class EventSchema(Base):
    value: Series[float]
    is_gone: Series[bool]


REQUIRED = {
    "table_name": "events",
    "unique_key": "id",
    "validation_schema": EventSchema,
    "group": "api",
}


def declare(**arguments):
    @phlo_ingestion(**REQUIRED | arguments)
    def api_events(partition_date: str):
        """Events of the API."""
        return [partition_date]

    return api_events


def test_the_function_stays_callable_and_carries_its_spec():
    function = declare()

    assert function("2025-01-15") == ["2025-01-15"]
    spec = spec_of(function)
    assert spec.table == TableName("bronze", "events")
    assert spec.asset_name == "dlt_events"
    assert spec.description == "Events of the API."
    assert "test_decorator.py:" in spec.defined_at


def test_the_namespace_is_part_of_the_asset_outside_bronze():
    assert spec_of(declare(namespace="raw")).asset_name == "dlt_raw__events"


def test_defaults_are_those_of_the_guide():
    spec = spec_of(declare())

    assert (spec.max_retries, spec.retry_delay_seconds, spec.max_runtime_seconds) == (3, 30, 300)
    assert (spec.validate, spec.invalid_rows, spec.add_metadata_columns) == (True, "fail", True)
    assert spec.how(None) == Merge(key=("id",), method="last")


@pytest.mark.parametrize(
    ("arguments", "how"),
    [
        ({"unique_key": ["id", "day"]}, Merge(key=("id", "day"))),
        (
            {"merge_config": {"deduplication_method": "first", "order_by": "value"}},
            Merge(key=("id",), method="first", order_by="value"),
        ),
        (
            {"merge_config": {"delete_column": "is_gone", "key_scope": "partition"}},
            Merge(key=("id",), delete_column="is_gone", key_scope="partition"),
        ),
        ({"merge_strategy": "append"}, Append()),
        (
            {"merge_strategy": "append", "merge_config": {"on_rerun": "append"}},
            Append(on_rerun="append"),
        ),
        ({"merge_strategy": "replace"}, Replace()),
    ],
)
def test_strategies_say_how_the_table_is_written(arguments, how):
    assert spec_of(declare(**arguments)).how(None) == how


def test_the_partition_reaches_the_store():
    assert spec_of(declare(merge_strategy="append")).how(Partition.parse("2025-01-15")) == Append(
        Partition.parse("2025-01-15")
    )


@pytest.mark.parametrize(
    ("arguments", "mode"),
    [
        ({}, "fail"),
        ({"strict_validation": False}, "keep"),
        ({"strict_validation": False, "invalid_rows": "quarantine"}, "quarantine"),
    ],
)
def test_invalid_rows_wins_over_strict_validation(arguments, mode):
    assert spec_of(declare(**arguments)).invalid_rows == mode


@pytest.mark.parametrize(
    ("argument", "value", "allowed"),
    [
        ("merge_strategy", "upsert", "'merge', 'append', 'replace'"),
        ("merge_config", {"deduplication_method": "newest"}, "'last', 'first', 'hash'"),
        ("merge_config", {"method": "last"}, "deduplication_method"),
        ("cron", "every hour", "a cron expression"),
        ("cron", "0 0 6 * * *", "of five fields"),
        ("cron", "0 0 30 2 *", "that has a tick"),
        ("cron", "R R * * *", "that has a tick"),
        ("cron", "r(0-10) * * * *", "that has a tick"),
        ("cron", "0 0 15W * *", "that has a tick"),
        ("freshness_hours", (24, 1), "warn below error"),
        ("freshness_hours", (0, 1), "positive"),
        ("freshness_hours", 24, "a pair"),
        ("max_retries", -1, "at least 0"),
        ("pool", "two words", "letters, digits"),
        ("pool", "", "letters, digits"),
        ("retry_delay_seconds", -5, "at least 0"),
        ("max_runtime_seconds", 0, "at least 1"),
        ("max_retries", True, "a number"),
        ("table_name", "my.events", "letters, digits and underscores"),
        ("group", "", "letters, digits and underscores"),
        ("partitions", "hourly", "'daily', 'weekly', 'monthly'"),
        ("partitions", dagster.HourlyPartitionsDefinition("2025-01-01-00:00"), "one a day at most"),
        ("partitions", dagster.StaticPartitionsDefinition(["eu"]), "one a day at most"),
        (
            "partitions",
            dagster.MultiPartitionsDefinition(
                {
                    "day": dagster.DailyPartitionsDefinition("2025-01-01"),
                    "region": dagster.StaticPartitionsDefinition(["eu"]),
                }
            ),
            "one a day at most",
        ),
        ("invalid_rows", "drop", "'fail', 'keep', 'quarantine'"),
        ("on_schema_change", "ignore", "'add_columns', 'fail'"),
        ("start_date", "01/02/2025", "YYYY-MM-DD"),
        ("validation_schema", {"id": str}, "a Pandera DataFrameModel"),
        ("unique_key", [], "a column or a list of columns"),
        ("partition_spec", ["day"], "pairs"),
    ],
)
def test_a_wrong_argument_is_named_with_its_value_and_what_is_allowed(argument, value, allowed):
    with pytest.raises(InvalidArgumentError) as caught:
        declare(**{argument: value})

    text = str(caught.value)
    assert "@phlo_ingestion" in text
    assert argument in text
    assert allowed in text


@pytest.mark.parametrize(
    "arguments",
    [
        {"unique_key": "vlue"},
        {"unique_key": ["id", "vlue"]},
        {"merge_config": {"order_by": "vlue"}},
        {"merge_config": {"delete_column": "vlue"}},
        {"partition_spec": [("vlue", "identity")]},
    ],
)
def test_an_unknown_column_lists_those_of_the_schema(arguments):
    with pytest.raises(ColumnNotFoundError) as caught:
        declare(**arguments)

    assert "'vlue'" in str(caught.value)
    assert "['id', 'day', 'value', 'is_gone']" in str(caught.value)
    assert '"value"' in str(caught.value)


def test_an_append_without_metadata_columns_must_say_what_a_rerun_does():
    with pytest.raises(InvalidArgumentError, match="on_rerun"):
        declare(merge_strategy="append", add_metadata_columns=False)

    config = {"on_rerun": "append"}
    declare(merge_strategy="append", add_metadata_columns=False, merge_config=config)


def test_columns_of_phlos_own_are_refused_in_a_schema():
    class Reserved(pa.DataFrameModel):
        id: str
        origin: str = pa.Field(alias="_phlo_run_id")

    with pytest.raises(ConfigurationError, match="_phlo_run_id"):
        declare(validation_schema=Reserved)


def test_columns_that_differ_in_case_alone_are_refused():
    class Twins(pa.DataFrameModel):
        id: str
        Id: str

    with pytest.raises(InvalidArgumentError, match="upper and lower case"):
        declare(validation_schema=Twins)


def test_dagsters_own_partitions_are_taken():
    partitions = dagster.DailyPartitionsDefinition("2025-01-01")

    assert spec_of(declare(partitions=partitions)).partitions is partitions
