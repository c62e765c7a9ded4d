"""What the shop's tables must look like before anybody sees a load."""

from phlo_quality import CountCheck, RangeCheck, UniqueCheck, phlo_quality


@phlo_quality(
    table="bronze.orders",
    checks=[
        UniqueCheck(columns=["order_id"]),
        RangeCheck(column="total_amount", max_value=10_000),
        CountCheck(min_count=1),
    ],
)
def orders_quality():
    """Orders are there, once each, and their amounts are plausible."""
