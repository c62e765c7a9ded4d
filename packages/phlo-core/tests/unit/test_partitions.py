"""The partition a run works on, for every kind of partitions that Dagster has."""

from datetime import date

import dagster as dg
import pytest
from phlo.errors import InvalidPartitionError
from phlo.names import Partition
from phlo.orchestration.dagster_private import RANGE_END_TAG, RANGE_START_TAG
from phlo.orchestration.partitions import (
    partition_of_asset,
    partition_of_key,
    partition_range,
    require_partition,
)

KEY = dg.AssetKey("events")


def run_asset(partitions, **options):
    """Run an asset, and return the partition it saw and the error that it would raise."""
    seen = []

    @dg.asset(name="events", partitions_def=partitions)
    def events(context: dg.AssetExecutionContext) -> None:
        seen.append(partition_of_asset(context, KEY))
        try:
            require_partition(context, KEY)
        except InvalidPartitionError as error:
            seen.append(error)

    with dg.DagsterInstance.ephemeral() as instance:
        assert dg.materialize([events], instance=instance, **options).success
    return seen


@pytest.mark.parametrize(
    ("definition", "key", "expected"),
    [
        (dg.DailyPartitionsDefinition("2024-01-01"), "2024-02-29", (date(2024, 2, 29), 1)),
        (dg.WeeklyPartitionsDefinition("2024-01-01"), "2024-01-07", (date(2024, 1, 7), 7)),
        (dg.MonthlyPartitionsDefinition("2024-01-01"), "2024-02-01", (date(2024, 2, 1), 29)),
        (
            dg.DailyPartitionsDefinition("2025-03-01", timezone="Europe/Oslo"),
            "2025-03-30",  # a day of 23 hours
            (date(2025, 3, 30), 1),
        ),
    ],
)
def test_a_time_window_is_a_partition_with_its_length(definition, key, expected):
    assert partition_of_key(definition, key) == Partition(*expected)
    assert run_asset(definition, partition_key=key) == [Partition(*expected)]


def test_other_partitions_are_no_time_windows():
    assert run_asset(dg.StaticPartitionsDefinition(["eu", "us"]), partition_key="eu") == [None]


def test_an_asset_without_partitions_needs_none():
    assert run_asset(None) == [None]


def test_a_run_without_a_partition_is_refused():
    seen, error = run_asset(dg.DailyPartitionsDefinition("2024-01-01"))

    assert seen is None
    assert "this run has no partition" in str(error)


def test_a_run_over_a_range_is_told_the_backfill_to_launch():
    days = {RANGE_START_TAG: "2024-01-01", RANGE_END_TAG: "2024-01-03"}

    seen, error = run_asset(dg.DailyPartitionsDefinition("2024-01-01"), tags=days)

    assert seen is None
    assert "phlo backfill events --start-date 2024-01-01 --end-date 2024-01-03" in str(error)


def test_a_range_has_two_ends():
    both = {RANGE_START_TAG: "2024-01-01", RANGE_END_TAG: "2024-01-03"}

    assert partition_range(both) == ("2024-01-01", "2024-01-03")
    assert partition_range({RANGE_START_TAG: "2024-01-01"}) is None
    assert partition_range({RANGE_END_TAG: "2024-01-01"}) is None
