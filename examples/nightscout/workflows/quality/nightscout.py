"""Checks on every layer; what is blocking keeps a load or a model from being seen."""

from phlo_quality import (
    CountCheck,
    NullCheck,
    RangeCheck,
    SchemaCheck,
    UniqueCheck,
    phlo_quality,
)
from phlo_quality.reconciliation import (
    AggregateConsistencyCheck,
    KeyParityCheck,
    ReconciliationCheck,
)
from workflows.schemas.nightscout import FactDailyGlucoseMetrics, FactGlucoseReadings


@phlo_quality(
    table="bronze.glucose_entries",
    checks=[
        NullCheck(columns=["_id", "sgv", "date_string"]),
        UniqueCheck(columns=["_id"]),
        CountCheck(min_count=100),
    ],
)
def entries_quality():
    """A day of a sensor has hundreds of readings, each with an id of its own."""


@phlo_quality(
    table="silver.fct_glucose_readings",
    checks=[
        SchemaCheck(schema=FactGlucoseReadings),
        RangeCheck(column="glucose_mg_dl", min_value=20, max_value=600),
        UniqueCheck(columns=["reading_timestamp"]),
    ],
)
def glucose_quality():
    """Every reading once, in mg/dl, whatever its device reports."""


@phlo_quality(
    table="gold.fct_daily_glucose_metrics",
    checks=[
        SchemaCheck(schema=FactDailyGlucoseMetrics),
        AggregateConsistencyCheck(
            source_table="silver.fct_glucose_readings",
            aggregate_column="reading_count",
            source_expression="COUNT(*)",
            group_by=["reading_date"],
        ),
    ],
)
def daily_metrics_quality():
    """Daily numbers that agree with one another and with the readings they are made of."""


@phlo_quality(
    table="silver.fct_glucose_readings",
    checks=[
        KeyParityCheck(source_table="bronze.stg_glucose_entries", key_columns=["entry_id"]),
        ReconciliationCheck(
            source_table="bronze.glucose_entries", check_type="rowcount_parity", tolerance=0.05
        ),
    ],
)
def readings_reconciliation():
    """No reading is lost on the way; uploads that were tried again are few."""


@phlo_quality(
    table="marts.mrt_glucose_readings",
    checks=[ReconciliationCheck(source_table="silver.fct_glucose_readings")],
)
def mart_reconciliation():
    """The mart holds every reading."""


@phlo_quality(
    table="marts.mrt_glucose_hourly_patterns",
    checks=[CountCheck(min_count=1, max_count=24), UniqueCheck(columns=["hour_of_day"])],
)
def hourly_patterns_quality():
    """At most one row for each hour of the day."""
