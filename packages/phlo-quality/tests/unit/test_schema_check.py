"""SchemaCheck: columns, types and rules of a Pandera schema, each broken on its own."""

import math
from datetime import UTC, datetime

import pandera.pandas as pa
import pyarrow
import pytest
from pandera.typing import Series
from phlo.checks import CheckStatus
from phlo.errors import InvalidArgumentError
from phlo.words import counted
from phlo_quality import SchemaCheck
from phlo_quality.schemas import PhloSchema


class EventSchema(PhloSchema):
    id: Series[str] = pa.Field(nullable=False, unique=True)
    timestamp: Series[datetime] = pa.Field(nullable=False)
    value: Series[float] = pa.Field(ge=0, le=100)
    status: Series[str] = pa.Field(isin=["new", "done"], nullable=True)
    note: Series[str] | None

    @pa.check("status", name="done_is_late")
    @classmethod
    def done_is_late(cls, status):
        return status != "done"


NOON = datetime(2025, 1, 1, 12, tzinfo=UTC)
COLUMNS = pyarrow.schema(
    [
        ("id", pyarrow.string()),
        ("timestamp", pyarrow.timestamp("us", tz="UTC")),
        ("value", pyarrow.float64()),
        ("status", pyarrow.string()),
        ("_phlo_run_id", pyarrow.string()),
    ]
)
GOOD = [
    {"id": f"e{n}", "timestamp": NOON, "value": float(n), "status": "new", "_phlo_run_id": "r"}
    for n in range(3)
]


def table(rows, schema=COLUMNS):
    return pyarrow.Table.from_pylist(rows, schema)


def test_a_table_that_keeps_its_schema_passes(judge, lake):
    result = judge(table(GOOD), SchemaCheck(schema=EventSchema))
    assert (result.status, result.row_count, result.failed_count) == ("passed", 3, 0)
    assert result.check == "events__SchemaCheck__EventSchema"
    assert result.message == "EventSchema: all rules hold for 3 rows."


@pytest.mark.parametrize(
    ("column", "value", "rule", "ids"),
    [
        ("id", None, "id: not_nullable", [None]),
        ("id", "e0", "id: unique", ["e0", "e0"]),
        ("timestamp", None, "timestamp: not_nullable", ["e2"]),
        ("value", 100.5, "value: less_than_or_equal_to(100)", ["e2"]),
        ("value", -1.0, "value: greater_than_or_equal_to(0)", ["e2"]),
        ("value", float("nan"), "value: not_nullable", ["e2"]),
        ("status", "old", "status: isin(['new', 'done'])", ["e2"]),
        ("status", "done", "status: done_is_late", None),
    ],
)
def test_one_changed_cell_breaks_exactly_its_rule(judge, column, value, rule, ids):
    rows = [*GOOD[:2], {**GOOD[2], column: value}]
    result = judge(table(rows), SchemaCheck(schema=EventSchema))
    broken = result.metrics["failed_by_rule"]
    assert result.status is CheckStatus.FAILED
    assert broken == {rule: len(ids or [1])}
    assert result.failed_count == len(ids or [1])
    assert f"{rule} fails in {counted(len(ids or [1]), 'row')}" in result.message
    if ids is None:
        assert list(result.sample) == [{"status": "done"}]
    else:
        assert [row["id"] for row in result.sample] == ids


def test_rows_that_break_several_row_rules_are_counted_once(judge):
    rows = [*GOOD[:2], {**GOOD[2], "value": -1.0, "status": "old"}]
    result = judge(table(rows), SchemaCheck(schema=EventSchema))
    assert (result.failed_count, len(result.metrics["failed_by_rule"])) == (1, 2)


def test_columns_and_types_are_judged_over_zero_rows(judge):
    wrong = judge(table([], COLUMNS.remove(2)), SchemaCheck(schema=EventSchema))
    assert wrong.status is CheckStatus.FAILED
    assert wrong.message == "EventSchema: column 'value' is missing."
    right = judge(table([]), SchemaCheck(schema=EventSchema))
    assert (right.status, right.row_count) == (CheckStatus.SKIPPED, 0)


def test_a_column_of_another_type_fails_and_says_both(judge):
    schema = COLUMNS.set(2, pyarrow.field("value", pyarrow.string()))
    rows = [{**row, "value": "x"} for row in GOOD]
    result = judge(table(rows, schema), SchemaCheck(schema=EventSchema))
    assert result.status is CheckStatus.FAILED
    assert "column 'value' is large_string, not double" in result.message


def test_decimals_are_judged_where_a_schema_that_coerces_promises_floats(judge):
    schema = COLUMNS.set(2, pyarrow.field("value", pyarrow.decimal128(10, 2)))
    good = judge(table(GOOD).cast(schema), SchemaCheck(schema=EventSchema))
    assert (good.status, good.failed_count) == ("passed", 0)
    rows = table([*GOOD, {**GOOD[0], "id": "x", "value": 101.0}]).cast(schema)
    bad = judge(rows, SchemaCheck(schema=EventSchema))
    assert bad.metrics["failed_by_rule"] == {"value: less_than_or_equal_to(100)": 1}
    assert [row["id"] for row in bad.sample] == ["x"]


def test_a_strict_schema_refuses_columns_it_does_not_know(judge):
    class Strict(pa.DataFrameModel):
        id: Series[str]
        value: Series[float]

        class Config:
            strict = True

    result = judge(table(GOOD), SchemaCheck(schema=Strict))
    problems = result.metrics["column_problems"]
    assert [p.split("'")[1] for p in problems] == ["timestamp", "status"]


def test_a_composite_key_is_judged_against_the_whole_table(judge):
    class Keyed(PhloSchema):
        id: Series[str] = pa.Field(nullable=True)
        value: Series[float] = pa.Field(nullable=True)

        class Config:
            unique = ["id", "value"]

    rows = [GOOD[0], GOOD[0], GOOD[1]]
    result = judge(table(rows), SchemaCheck(schema=Keyed))
    assert result.metrics["failed_by_rule"] == {"id, value: unique": 2}


def test_rules_in_sql_join_the_one_query_of_the_suite(judge, lake):
    class Plain(PhloSchema):
        id: Series[str]
        value: Series[float] = pa.Field(ge=0)

    results = judge(table(GOOD), SchemaCheck(schema=Plain), SchemaCheck(Plain, name="again"))
    assert all(r.passed for r in results)
    assert len(lake.queries) == 1


def test_a_frame_too_large_for_memory_could_not_be_judged(judge, monkeypatch):
    monkeypatch.setenv("PHLO_QUALITY_MAX_FRAME_ROWS", "2")
    result = judge(table(GOOD), SchemaCheck(schema=EventSchema))
    assert result.status is CheckStatus.COULD_NOT_RUN
    assert "More than 2 rows of bronze.events" in result.message
    assert "PHLO_QUALITY_MAX_FRAME_ROWS" in result.message


def test_what_is_no_schema_is_refused():
    with pytest.raises(InvalidArgumentError, match="SchemaCheck cannot take schema="):
        SchemaCheck(schema={"id": str})


class Defaults(pa.DataFrameModel):
    """Fields that have a value where the row has none."""

    id: str
    status: str = pa.Field(default="open", isin=["open", "paid"])
    score: float = pa.Field(default=1.0, ge=0)
    rank: int = pa.Field(default=7, unique=True)

    @pa.check("status")
    def is_short(cls, status):
        return status.str.len() < 5


def defaults_table(rows):
    schema = pyarrow.schema(
        [
            ("id", pyarrow.string()),
            ("status", pyarrow.string()),
            ("score", pyarrow.float64()),
            ("rank", pyarrow.int64()),
        ]
    )
    return pyarrow.Table.from_pylist(
        [dict(zip(schema.names, row, strict=True)) for row in rows], schema=schema
    )


@pytest.mark.parametrize(
    ("rows", "broken"),
    [
        ([("a", None, None, None), ("b", "paid", math.nan, 1)], set()),
        (
            [("a", None, None, None), ("b", "paid", -1.0, 1)],
            {"score: greater_than_or_equal_to(0)"},
        ),
        ([("a", None, None, None), ("b", "paid", 0.5, 7)], {"rank: unique"}),
        ([("a", None, None, 1), ("b", None, None, 2)], set()),
    ],
)
def test_a_field_with_a_default_is_judged_as_if_it_were_filled(judge, rows, broken):
    data = defaults_table(rows)

    result = judge(data, SchemaCheck(schema=Defaults))

    assert set(result.metrics["failed_by_rule"]) == broken, result
    assert result.passed == passes_in_pandera(data)
    assert bool(result.sample) == bool(broken)


def passes_in_pandera(data):
    frame = data.to_pandas().astype({"rank": "Int64"})
    frame["rank"] = frame["rank"].fillna(7).astype("int64")
    try:
        Defaults.to_schema().validate(frame, lazy=True)
    except pa.errors.SchemaErrors:
        return False
    return True
