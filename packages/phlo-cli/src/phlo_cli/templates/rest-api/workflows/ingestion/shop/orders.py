"""The orders of one day from a REST API with pages; put your own API here."""

import os
from functools import cache

from dlt.sources.rest_api import rest_api_source
from phlo_dlt import phlo_ingestion
from workflows.ingestion.shop.server import start
from workflows.schemas.shop import Orders


@cache
def shop_url() -> str:
    """The API of ``SHOP_API_URL``, else a small server in this process."""
    return os.environ.get("SHOP_API_URL") or start().url


@phlo_ingestion(
    table_name="orders",
    unique_key="order_id",
    validation_schema=Orders,
    group="shop",
    cron="0 6 * * *",
    freshness_hours=(26, 48),
)
def orders(partition_date: str):
    """All pages of one day's orders."""
    return rest_api_source(
        {
            "client": {
                "base_url": shop_url(),
                "auth": {"type": "bearer", "token": os.environ["SHOP_API_TOKEN"]},
                "paginator": {"type": "json_link", "next_url_path": "next"},
            },
            "resources": [
                {
                    "name": "orders",
                    "endpoint": {
                        "path": "orders",
                        "params": {"day": partition_date},
                        "data_selector": "items",
                    },
                }
            ],
        }
    )
