"""The mutation table of the checks: rows that keep every rule, and cells that break some.

Two engines are held to it: the embedded one, and a real Trino.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from phlo_quality import (
    AcceptedValuesCheck,
    NullCheck,
    PatternCheck,
    RangeCheck,
    RelationshipCheck,
    UniqueCheck,
)

if TYPE_CHECKING:
    from phlo_quality import QualityCheck

SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("value", pa.float64()),
        ("qty", pa.int64()),
        ("price", pa.decimal128(10, 2)),
        ("day", pa.date32()),
        ("at", pa.timestamp("us", tz="UTC")),
        ("local", pa.timestamp("us")),
        ("zip", pa.string()),
        ("country", pa.string()),
        ('we"ird ünïcode', pa.string()),
    ]
)
GOOD: list[dict[str, Any]] = [
    {
        "id": f"e{n}",
        "value": float(n),
        "qty": n,
        "price": Decimal(n),
        "day": date(2025, 1, 1 + n),
        "at": datetime(2025, 1, 1, n, tzinfo=UTC),
        "local": datetime(2025, 1, 1, n),
        "zip": f"1000{n}",
        "country": "DE",
        'we"ird ünïcode': "x",
    }
    for n in range(4)
]
"""Rows that keep every rule."""

ODD = 'we"ird ünïcode'
CHECKS: dict[str, QualityCheck] = {
    "null": NullCheck(columns=["value"]),
    "null_of_two": NullCheck(columns=["country", ODD]),
    "range": RangeCheck(column="value", min_value=0, max_value=3),
    "range_of_whole_numbers": RangeCheck(column="qty", min_value=-0.5, max_value=3.5),
    "range_of_decimals": RangeCheck(column="price", max_value=3.1),
    "range_of_days": RangeCheck(column="day", min_value=date(2025, 1, 1)),
    "range_of_moments": RangeCheck(column="at", max_value=datetime(2025, 1, 1, 3)),
    "range_of_local_times": RangeCheck(column="local", max_value=date(2025, 1, 2)),
    "unique": UniqueCheck(columns=["id"]),
    "unique_pair": UniqueCheck(columns=["qty", ODD]),
    "pattern": PatternCheck(column="zip", pattern=r"\d{5}|none"),
    "accepted": AcceptedValuesCheck(column="country", values=["DE", "it's"]),
    "accepted_numbers": AcceptedValuesCheck(column="price", values=[0, 1, 2.0, Decimal(3), 3.1]),
    "accepted_odd_name": AcceptedValuesCheck(column=ODD, values=["x", "y"]),
    "relationship": RelationshipCheck(column="country", to_table="ref.geo", to_column="co de"),
}
"""The rules, by a name of their own."""

MUTATIONS: list[tuple[str, Any, set[str]]] = [
    ("value", None, {"null"}),
    ("value", float("nan"), {"null"}),
    ("value", 3.0000000001, {"range"}),
    ("value", -0.0000001, {"range"}),
    ("value", float("inf"), {"range"}),
    ("value", 3.0, set()),
    ("qty", 4, {"range_of_whole_numbers"}),
    ("qty", -1, {"range_of_whole_numbers"}),
    ("qty", None, set()),
    ("qty", 0, {"unique_pair"}),
    ("price", Decimal("3.10"), set()),
    ("price", Decimal("3.11"), {"range_of_decimals", "accepted_numbers"}),
    ("day", date(2024, 12, 31), {"range_of_days"}),
    ("at", datetime(2025, 1, 1, 3, 0, 0, 1, tzinfo=UTC), {"range_of_moments"}),
    ("local", datetime(2025, 1, 2), set()),
    ("local", datetime(2025, 1, 2, 0, 0, 0, 1), {"range_of_local_times"}),
    ("id", "e0", {"unique"}),
    ("id", None, set()),
    ("id", "E0", set()),
    ("zip", "1000", {"pattern"}),
    ("zip", "10000\n", {"pattern"}),
    ("zip", "x10000", {"pattern"}),
    ("zip", "nonesuch", {"pattern"}),
    ("zip", "", {"pattern"}),
    ("zip", "none", set()),
    ("zip", None, set()),
    ("country", "it's", {"relationship"}),
    ("country", "FR", {"accepted"}),
    ("country", "de", {"accepted", "relationship"}),
    ("country", None, {"null_of_two"}),
    (ODD, "z", {"accepted_odd_name"}),
    (ODD, None, {"null_of_two"}),
]
"""A column, the value that the last row gets, and the rules that it breaks."""

COUNTRIES = pa.table({"co de": ["DE", "FR", None]})
"""The rows of ``ref.geo``."""


def mutate(column: str, value: Any) -> pa.Table:
    """Return the good rows with one changed cell in the last row."""
    return pa.Table.from_pylist([*GOOD[:3], {**GOOD[3], column: value}], SCHEMA)
