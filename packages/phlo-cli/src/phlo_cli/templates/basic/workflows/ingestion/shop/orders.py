"""The orders of one day; put your own source here."""

import random

from phlo_dlt import phlo_ingestion
from workflows.schemas.shop import Orders


@phlo_ingestion(
    table_name="orders",
    unique_key="id",
    validation_schema=Orders,
    group="shop",
    cron="0 6 * * *",
    freshness_hours=(26, 48),
)
def orders(partition_date: str):
    """The same hundred orders for the same day, whenever it is asked."""
    dice = random.Random(partition_date)
    return [
        {
            "id": f"{partition_date}-{number}",
            "ordered_at": f"{partition_date}T{dice.randrange(24):02d}:00:00Z",
            "status": dice.choice(["open", "paid", "paid", "cancelled"]),
            "amount": round(dice.uniform(5, 200), 2),
        }
        for number in range(100)
    ]
