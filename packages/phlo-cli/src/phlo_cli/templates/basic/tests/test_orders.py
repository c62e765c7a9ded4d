"""Run with pytest in the project's folder."""

from workflows.ingestion.shop.orders import orders
from workflows.schemas.shop import Orders


def test_a_day_of_orders_keeps_its_contract():
    import pandas as pd

    day = pd.DataFrame(orders("2025-01-15"))
    assert not Orders.validate(day).empty
