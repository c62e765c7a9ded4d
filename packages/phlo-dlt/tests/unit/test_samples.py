"""The error of a broken row shows where it stands, what was delivered, and what would cure it."""

from decimal import Decimal

import pytest
from dlt.sources.filesystem import filesystem
from phlo_dlt.rows.samples import cures

SCHEMA = """
    from datetime import datetime
    from decimal import Decimal
    from typing import Annotated

    import pandas as pd
    import pyarrow
    import pandera.pandas as pa

    class EventSchema(pa.DataFrameModel):
        id: str
        timestamp: datetime
        value: int = pa.Field(ge=0)
        card: str | None = pa.Field(nullable=True, str_length=4, metadata={"sensitive": True})
"""


def test_a_broken_row_of_a_file_is_told_with_its_line_and_values(events, tmp_path):
    events.declare(SCHEMA)
    long = "x" * 100
    text = f'id,timestamp,value,card\n"a\nb",2025-01-15,1,\nc,2025-01-15,{long},12345\n'
    (tmp_path / "one.csv").write_text(text)

    result = events.load(lambda _: filesystem(tmp_path.as_uri(), file_glob="*.csv"))

    told = events.failure(result).description
    assert f"value='{long[:56]}..." in told
    assert "id='c' breaks" in told
    assert "one.csv:4" in told
    assert "card=***" in told
    assert "12345" not in told
    assert "workflows/schemas/api.py:9" in told


def test_a_value_that_a_coercing_schema_takes_is_told_with_the_edit(events):
    events.declare(SCHEMA)

    result = events.load([{"id": "a", "timestamp": "2025-01-15", "value": "12"}])

    told = events.failure(result).description
    assert "(got value='12')" in told
    assert "Set `coerce = True` in Config of EventSchema: then value takes such values." in told


def test_a_column_that_the_source_lacks_is_told_as_that_with_the_nearest_name(events):
    events.declare(SCHEMA)

    result = events.load([{"id": "a", "timestamp": "2025-01-15", "valeu": 12}])

    told = events.failure(result).description
    assert "value: missing from the source (1 row)" in told
    assert "The source has 'valeu': if that is it, write `value: ... = " in told
    assert "not_nullable" not in told


def test_digits_after_the_point_are_told_with_the_type_that_holds_them(events):
    events.declare(SCHEMA.replace("value: int", "value: Decimal"))
    rows = [{"id": "a", "timestamp": "2025-01-15", "value": Decimal("12.345")}]

    told = events.failure(events.load(rows)).description
    assert "write `value: Annotated[pd.ArrowDtype, pyarrow.decimal128(18, 3)]`" in told

    wider = "value: Annotated[pd.ArrowDtype, pyarrow.decimal128(18, 3)]"
    events.declare(SCHEMA.replace("value: int", wider))
    assert events.load(rows).success
    assert [row["value"] for row in events.rows()] == [Decimal("12.345")]


@pytest.mark.parametrize(
    ("held", "values", "proposed"),
    [
        ("28, 0", ["1.50"], "18, 2"),
        ("28, 0", ["1.5", "0.001", "12345678901234567"], "20, 3"),
        ("12, 2", ["12345678901.5"], "18, 2"),
        ("18, 2", ["99999999999999999.5"], "19, 2"),
        ("38, 30", ["123456789.5"], None),
        ("12, 2", ["***", "1234..."], None),
    ],
)
def test_the_proposed_decimal_holds_the_rows_and_all_that_the_column_held(held, values, proposed):
    rule = f"price: cannot be cast to decimal128({held}) (too many digits)"
    rows = [
        {"rules": [rule], "values": {"price": value}, "coerces": [], "key": {}} for value in values
    ]
    told = cures(rows, spec=None, dropped=())
    wanted = f"`price: Annotated[pd.ArrowDtype, pyarrow.decimal128({proposed})]`"
    assert told == (f"For all digits, write {wanted}." if proposed else "")
