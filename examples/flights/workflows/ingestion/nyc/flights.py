"""Flights and weather, a day at a time; airlines, airports and planes whole."""

from dagster import DailyPartitionsDefinition
from phlo_dlt import phlo_ingestion
from workflows.ingestion.nyc.source import read_csv, read_day
from workflows.schemas.flights import Airlines, Airports, Flights, Planes, Weather

YEAR = DailyPartitionsDefinition(start_date="2013-01-01", end_date="2014-01-01")


@phlo_ingestion(
    table_name="flights",
    unique_key=["carrier", "flight", "time_hour"],
    validation_schema=Flights,
    group="nyc",
    partitions=YEAR,
)
def flights(partition_date: str):
    """All flights that left New York on one day; late corrections replace the row."""
    return read_day("flights", partition_date)


@phlo_ingestion(
    table_name="weather",
    unique_key=["origin", "time_hour"],
    validation_schema=Weather,
    group="nyc",
    partitions=YEAR,
)
def weather(partition_date: str):
    """The weather of one day at the three airports, by the hour."""
    return read_day("weather", partition_date)


@phlo_ingestion(
    table_name="airlines",
    unique_key="carrier",
    validation_schema=Airlines,
    group="nyc",
    partitions=None,
    merge_strategy="replace",
)
def airlines():
    """Sixteen airlines."""
    return read_csv("airlines")


@phlo_ingestion(
    table_name="airports",
    unique_key="faa",
    validation_schema=Airports,
    group="nyc",
    partitions=None,
    merge_strategy="replace",
)
def airports():
    """Where flights go to."""
    return read_csv("airports")


@phlo_ingestion(
    table_name="planes",
    unique_key="tailnum",
    validation_schema=Planes,
    group="nyc",
    partitions=None,
    merge_strategy="replace",
)
def planes():
    """What flies."""
    return read_csv("planes")
