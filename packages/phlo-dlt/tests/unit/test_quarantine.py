"""Any value, any name: nothing that breaks a rule is lost."""

import json
import math
from datetime import date, datetime
from decimal import Decimal

HOSTILE = """
    from datetime import date, datetime
    from decimal import Decimal
    import pandera.pandas as pa

    class EventSchema(pa.DataFrameModel):
        id: str
        row_number: int = pa.Field(ge=0)
        quoted: str = pa.Field(alias='we"ird; -- \\'name', nullable=True, isin=["it's"])
        spaced: float = pa.Field(alias="with space", nullable=True)
        raw: bytes = pa.Field(nullable=True)
        day: date = pa.Field(nullable=True)
        moment: datetime = pa.Field(nullable=True)
        rules: Decimal = pa.Field(nullable=True)
        nested: dict = pa.Field(nullable=True)
"""


def test_rows_of_every_type_and_name_are_loaded_and_quarantined(events):
    events.declare(HOSTILE, invalid_rows="quarantine")
    row = {
        "id": "it's; DROP TABLE",
        "row_number": 1,
        "we\"ird; -- 'name": "it's",
        "with space": math.nan,
        "raw": b"\x00\xff",
        "day": date(2025, 1, 15),
        "moment": datetime(2025, 1, 15, 10),
        "rules": Decimal("5"),
        "nested": {"a": [1, None]},
    }
    infinite = row | {"id": "b", "row_number": -1, "with space": math.inf}

    result = events.load([row, infinite, row | {"id": "c", "row_number": 2**70}])

    assert result.success, events.failure(result)
    (loaded,) = events.rows()
    assert loaded["with space"] is None
    assert (loaded["raw"], loaded["rules"]) == (b"\x00\xff", Decimal("5"))
    broken = {json.loads(r["key"])["id"]: json.loads(r["row"]) for r in events.quarantined()}
    assert broken["b"]["row_number"] == -1
    assert broken["b"]["nested"] == '{"a":[1,null]}'
    assert broken["c"]["row_number"] == 2**70


def test_unknown_columns_of_a_strict_schema_are_kept_in_quarantine(events):
    schema = """
    import pandera.pandas as pa

    class EventSchema(pa.DataFrameModel):
        id: str

        class Config:
            strict = True
"""
    events.declare(schema, invalid_rows="quarantine")

    assert events.load([{"id": "a"}, {"id": "b", "extra": [1]}]).success

    assert [r["id"] for r in events.rows()] == ["a"]
    (broken,) = events.quarantined()
    assert json.loads(broken["row"]) == {"id": "b", "extra": [1]}
    assert broken["rules"] == '["extra: unknown column"]'


def test_a_load_of_broken_rows_alone_makes_an_empty_table(events):
    events.declare(invalid_rows="quarantine")

    assert events.load([events.row(None)]).success

    assert events.rows() == []
    assert len(events.quarantined()) == 1


WARNING = """
    import pandera.pandas as pa

    class EventSchema(pa.DataFrameModel):
        id: str
        value: float = pa.Field(le=100, raise_warning=True)
        note: str = pa.Field(nullable=True, isin=["a", "b"])

        @pa.check("id", raise_warning=True)
        def short(cls, values):
            return values.str.len() < 3

        @pa.dataframe_check(raise_warning=True)
        def noted(cls, frame):
            return frame["note"].notna()
"""


def test_rows_that_break_rules_which_only_warn_are_loaded_and_told(events):
    events.declare(WARNING)
    rows = [("a", 1.0, "a"), ("b", 101.0, "b"), ("long", 500.0, "b"), ("d", 3.0, None)]

    result = events.load([{"id": i, "value": v, "note": n} for i, v, n in rows])

    assert result.success, events.failure(result)
    assert events.values() == {i: v for i, v, _ in rows}
    facts = events.facts(result)
    assert facts["warned_rules"] == {
        "value: less_than_or_equal_to(100)": 2,
        "id: short": 1,
        "noted": 1,
    }
    assert "broken_rules" not in facts
    failed = events.load([{"id": "long", "value": 200.0, "note": "z"}])
    assert "note: isin" in events.failure(failed).description
    assert "less_than" not in events.failure(failed).description
    (kept,) = events.quarantined()
    assert json.loads(kept["rules"]) == ["note: isin(['a', 'b'])"]
