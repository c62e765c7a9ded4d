"""What bronze and gold must look like before anybody sees them."""

from phlo_quality import CountCheck, RangeCheck, UniqueCheck, phlo_quality


@phlo_quality(
    table="bronze.orders",
    checks=[CountCheck(min_count=1), UniqueCheck(columns=["order_id"])],
)
def orders_quality():
    """Orders are there, once each."""


@phlo_quality(
    table="gold.daily_revenue",
    checks=[UniqueCheck(columns=["day"]), RangeCheck(column="revenue", min_value=0)],
)
def daily_revenue_quality():
    """One row a day, and no day costs money."""
