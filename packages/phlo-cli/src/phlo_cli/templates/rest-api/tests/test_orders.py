"""Run with `phlo test`, or with pytest in the project's folder."""

from workflows.ingestion.shop.orders import orders
from workflows.ingestion.shop.server import orders_of


def test_all_pages_of_a_day_arrive(monkeypatch):
    monkeypatch.setenv("SHOP_API_TOKEN", "demo-token")
    assert list(orders("2025-01-15")) == orders_of("2025-01-15")
