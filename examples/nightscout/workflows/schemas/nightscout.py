"""Schemas in two ways.

What comes from outside and what is computed across rows is written by hand; the readings' schema is
generated from the YAML of their dbt model, so that it is written once.
"""

from datetime import date, datetime
from pathlib import Path

import pandera.pandas as pa
from phlo_dbt.dbt_schema import dbt_model_to_pandera
from phlo_quality.schemas import PhloSchema

DIRECTIONS = [
    "DoubleUp",
    "SingleUp",
    "FortyFiveUp",
    "Flat",
    "FortyFiveDown",
    "SingleDown",
    "DoubleDown",
    "NOT COMPUTABLE",
    "RATE OUT OF RANGE",
    "NONE",
]


class RawGlucoseEntries(PhloSchema):
    """One entry as Nightscout stores it."""

    _id: str = pa.Field(unique=True, str_matches=r"^[0-9a-f]{24}$", description="MongoDB's id")
    type: str = pa.Field(eq="sgv", description="Kind of entry; sgv is a sensor's reading")
    sgv: float = pa.Field(ge=1, le=1000, description="Glucose, in the units of the device")
    units: str = pa.Field(
        isin=["mg/dl", "mmol"], nullable=True, description="Null means mg/dl, as Nightscout stores"
    )
    date: int = pa.Field(gt=0, description="Moment of the reading, milliseconds since 1970")
    date_string: datetime = pa.Field(description="Moment of the reading")
    trend: int = pa.Field(ge=0, le=9, nullable=True, description="Direction as a number")
    direction: str = pa.Field(isin=DIRECTIONS, nullable=True, description="Direction of change")
    device: str = pa.Field(nullable=True, description="What uploaded the reading")
    sys_time: datetime = pa.Field(nullable=True, description="When the site received the entry")


FactGlucoseReadings = dbt_model_to_pandera(
    Path(__file__).parents[1] / "transforms/dbt/models/silver/fct_glucose_readings.yml",
    "fct_glucose_readings",
    class_name="FactGlucoseReadings",
)


class FactDailyGlucoseMetrics(PhloSchema):
    """One row per day; its numbers must agree with one another."""

    reading_date: date = pa.Field(unique=True, description="Day in UTC")
    reading_count: int = pa.Field(ge=1, le=288, description="Readings of the day")
    avg_glucose_mg_dl: float = pa.Field(ge=20, le=600, description="Mean glucose")
    min_glucose_mg_dl: float = pa.Field(ge=20, le=600, description="Lowest reading")
    max_glucose_mg_dl: float = pa.Field(ge=20, le=600, description="Highest reading")
    time_in_range_pct: float = pa.Field(ge=0, le=100, description="Readings from 70 to 180 mg/dl")
    estimated_a1c_pct: float = pa.Field(ge=3, le=20, description="A1c that fits the mean")

    @pa.dataframe_check
    def mean_is_between_extremes(cls, df):
        """The mean lies between the lowest and the highest reading."""
        mean = df["avg_glucose_mg_dl"]
        return (df["min_glucose_mg_dl"] <= mean) & (mean <= df["max_glucose_mg_dl"])
