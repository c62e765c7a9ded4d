"""Glucose entries of a Nightscout site, a day at a time."""

import os
from datetime import date, timedelta
from functools import cache

from dagster import DailyPartitionsDefinition
from dlt.sources.rest_api import rest_api_source
from phlo_dlt import phlo_ingestion
from workflows.ingestion.nightscout.server import start
from workflows.schemas.nightscout import RawGlucoseEntries

# A day has 288 readings; uploads that were tried again come on top.
MORE_THAN_A_DAY = 2000


@cache
def nightscout_url() -> str:
    """The site of ``NIGHTSCOUT_URL``, else a server of the example's own."""
    return os.environ.get("NIGHTSCOUT_URL") or start().url


@phlo_ingestion(
    table_name="glucose_entries",
    unique_key="_id",
    validation_schema=RawGlucoseEntries,
    group="nightscout",
    partitions=DailyPartitionsDefinition(start_date="2025-11-01"),
    retry_delay_seconds=5,
)
def glucose_entries(partition_date: str):
    """Sensor readings of one day in UTC; entries that come late arrive with a later run."""
    next_day = date.fromisoformat(partition_date) + timedelta(days=1)
    return rest_api_source(
        {
            "client": {
                "base_url": f"{nightscout_url()}/api/v1/",
                "paginator": "single_page",
            },
            "resources": [
                {
                    "name": "glucose_entries",
                    "endpoint": {
                        "path": "entries.json",
                        "params": {
                            "find[dateString][$gte]": f"{partition_date}T00:00:00.000Z",
                            "find[dateString][$lt]": f"{next_day}T00:00:00.000Z",
                            "count": MORE_THAN_A_DAY,
                        },
                    },
                }
            ],
        }
    )
