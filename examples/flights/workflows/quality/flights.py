"""What must hold for every load before anybody sees it."""

from phlo_quality import CountCheck, NullCheck, RangeCheck, UniqueCheck, phlo_quality


@phlo_quality(
    table="bronze.flights",
    checks=[
        NullCheck(columns=["carrier", "flight", "time_hour", "origin", "dest"]),
        RangeCheck(column="distance", min_value=10, max_value=6000),
        RangeCheck(column="dep_delay", min_value=-120, max_value=2000),
        UniqueCheck(columns=["carrier", "flight", "time_hour"]),
        CountCheck(min_count=100),
    ],
)
def flights_quality():
    """A day of New York has hundreds of flights, each of them once."""


@phlo_quality(
    table="bronze.weather",
    checks=[
        UniqueCheck(columns=["origin", "time_hour"]),
        RangeCheck(column="temp", min_value=-20, max_value=115),
        NullCheck(columns=["temp", "dewp"], allow_threshold=0.05),
    ],
)
def weather_quality():
    """A station may be silent for an hour, not for a day."""


@phlo_quality(
    table="bronze.airlines",
    checks=[NullCheck(columns=["name"]), CountCheck(min_count=10, max_count=100)],
)
def airlines_quality():
    """Every code has a name."""


@phlo_quality(
    table="bronze.airports",
    checks=[NullCheck(columns=["name"]), RangeCheck(column="lat", min_value=15, max_value=75)],
)
def airports_quality():
    """Airports of the United States."""


@phlo_quality(
    table="bronze.planes",
    checks=[
        UniqueCheck(columns=["tailnum"]),
        RangeCheck(column="seats", min_value=1, max_value=600),
    ],
)
def planes_quality():
    """One row per tail number."""
