"""What each bronze table promises: one class, one contract."""

from datetime import datetime

import pandera.pandas as pa
from phlo_quality.schemas import PhloSchema

NEW_YORK_AIRPORTS = ["EWR", "JFK", "LGA"]


class Flights(PhloSchema):
    """One flight that left, or should have left, a New York airport in 2013."""

    year: int = pa.Field(eq=2013, description="Year of departure, local time")
    month: int = pa.Field(ge=1, le=12, description="Month of departure, local time")
    day: int = pa.Field(ge=1, le=31, description="Day of departure, local time")
    dep_time: int = pa.Field(
        nullable=True, ge=1, le=2400, description="Actual departure, hhmm local; null: cancelled"
    )
    sched_dep_time: int = pa.Field(ge=1, le=2400, description="Scheduled departure, hhmm local")
    dep_delay: float = pa.Field(nullable=True, description="Departure delay in minutes")
    arr_time: int = pa.Field(nullable=True, ge=1, le=2400, description="Actual arrival, hhmm local")
    sched_arr_time: int = pa.Field(ge=1, le=2400, description="Scheduled arrival, hhmm local")
    arr_delay: float = pa.Field(nullable=True, description="Arrival delay in minutes")
    carrier: str = pa.Field(str_length={"min_value": 2, "max_value": 2}, description="Airline code")
    flight: int = pa.Field(gt=0, description="Flight number")
    tailnum: str = pa.Field(nullable=True, description="Plane's tail number")
    origin: str = pa.Field(isin=NEW_YORK_AIRPORTS, description="Airport of departure")
    dest: str = pa.Field(
        str_length={"min_value": 3, "max_value": 3}, description="Airport of arrival"
    )
    air_time: float = pa.Field(nullable=True, gt=0, description="Minutes in the air")
    distance: float = pa.Field(gt=0, description="Miles flown")
    hour: int = pa.Field(ge=0, le=24, description="Scheduled hour of departure")
    minute: int = pa.Field(ge=0, le=59, description="Scheduled minute of departure")
    time_hour: datetime = pa.Field(description="Scheduled hour of departure, UTC")


class Weather(PhloSchema):
    """Weather at one airport in one hour."""

    origin: str = pa.Field(isin=NEW_YORK_AIRPORTS, description="Weather station: the airport")
    year: int = pa.Field(eq=2013, description="Year, local time")
    month: int = pa.Field(ge=1, le=12, description="Month, local time")
    day: int = pa.Field(ge=1, le=31, description="Day, local time")
    hour: int = pa.Field(ge=0, le=23, description="Hour, local time")
    temp: float = pa.Field(nullable=True, ge=-40, le=130, description="Temperature in Fahrenheit")
    dewp: float = pa.Field(nullable=True, description="Dew point in Fahrenheit")
    humid: float = pa.Field(nullable=True, ge=0, le=100, description="Relative humidity in percent")
    wind_dir: float = pa.Field(nullable=True, ge=0, le=360, description="Wind direction in degrees")
    wind_speed: float = pa.Field(nullable=True, ge=0, description="Wind speed in mph")
    wind_gust: float = pa.Field(nullable=True, ge=0, description="Gusts in mph")
    precip: float = pa.Field(nullable=True, ge=0, description="Precipitation in inches")
    pressure: float = pa.Field(nullable=True, description="Sea level pressure in millibars")
    visib: float = pa.Field(nullable=True, ge=0, description="Visibility in miles")
    time_hour: datetime = pa.Field(description="The hour, UTC")


class Airlines(PhloSchema):
    """Airline names by code."""

    carrier: str = pa.Field(unique=True, description="Airline code")
    name: str = pa.Field(description="Airline name")


class Airports(PhloSchema):
    """Airports of the United States."""

    faa: str = pa.Field(unique=True, description="FAA code")
    name: str = pa.Field(description="Name")
    lat: float = pa.Field(ge=-90, le=90, description="Latitude in degrees")
    lon: float = pa.Field(ge=-180, le=180, description="Longitude in degrees")
    alt: int = pa.Field(description="Altitude in feet")
    tz: float = pa.Field(nullable=True, description="Hours from UTC")
    dst: str = pa.Field(nullable=True, description="Daylight saving rule")
    tzone: str = pa.Field(nullable=True, description="IANA time zone")


class Planes(PhloSchema):
    """Planes by tail number, as the FAA registered them."""

    tailnum: str = pa.Field(unique=True, description="Tail number")
    year: int = pa.Field(nullable=True, ge=1950, description="Year built")
    type: str = pa.Field(description="Type of plane")
    manufacturer: str = pa.Field(description="Manufacturer")
    model: str = pa.Field(description="Model")
    engines: int = pa.Field(ge=1, description="Number of engines")
    seats: int = pa.Field(ge=1, description="Number of seats")
    speed: float = pa.Field(nullable=True, description="Cruising speed in mph")
    engine: str = pa.Field(description="Type of engine")
