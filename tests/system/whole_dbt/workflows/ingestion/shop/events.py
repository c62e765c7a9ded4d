"""Make bronze.events, which a dbt source without schema reads."""

import pandera.pandas as pa
from phlo_dlt import phlo_ingestion


class EventSchema(pa.DataFrameModel):
    id: int = pa.Field(unique=True)
    name: str


@phlo_ingestion(table_name="events", unique_key="id", validation_schema=EventSchema, group="shop")
def shop_events(partition_date: str):
    return []
