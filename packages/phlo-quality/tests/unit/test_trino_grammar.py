"""All SQL that checks write is SQL by Trino's own grammar, hostile names and values included."""

import contextlib
import io
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pandera.pandas as pandera
import pyarrow as pa
import pytest
from phlo.names import Partition, TableName
from phlo.values import Append
from phlo_quality import (
    AcceptedValuesCheck,
    AggregateSpec,
    ChecksumReconciliationCheck,
    CountCheck,
    DistributionCheck,
    FreshnessCheck,
    KeyParityCheck,
    MultiAggregateConsistencyCheck,
    NullCheck,
    PatternCheck,
    RangeCheck,
    ReconciliationCheck,
    RelationshipCheck,
    SchemaCheck,
    UniqueCheck,
)
from phlo_quality.schemas import PhloSchema
from trino_query_parser import parse_statement

ODD = "we\"ird's {x} ünïcode"
ROWS = pa.table(
    {
        "id": [1, 1, None],
        "x": [0.5, float("nan"), None],
        ODD: ["a'b", 'c"d', None],
        "day": [date(2025, 1, 15)] * 3,
        "at": pa.array([datetime(2025, 1, 15, 1, tzinfo=UTC)] * 3, pa.timestamp("us", tz="UTC")),
        "local": pa.array([datetime(2025, 1, 15, 1)] * 3, pa.timestamp("us")),
        "price": pa.array([Decimal("1.50")] * 3, pa.decimal128(10, 2)),
        "raw": pa.array([b"\x00'"] * 3, pa.binary()),
    }
)
EVENTS, SOURCE = TableName("bronze", "events"), TableName('odd "name"', "tab'le")
DAY = Partition.parse("2025-01-15")


class Contract(PhloSchema):
    id: int = pandera.Field(ge=1, unique=True)
    x: float = pandera.Field(in_range={"min_value": 0, "max_value": 1}, nullable=True)
    price: float = pandera.Field(gt=2)


def failing_checks():
    """Checks that fail on ROWS where they can, so that their queries for rows are asked too."""
    return [
        NullCheck(["x", ODD]),
        RangeCheck("x", min_value=0.75, max_value=float("inf")),
        RangeCheck("id", max_value=0.5),
        RangeCheck("price", max_value=Decimal("1.49999")),
        RangeCheck("at", max_value=date(2025, 1, 1)),
        RangeCheck("local", max_value=datetime(2025, 1, 1, 0, 0, 0, 1)),
        RangeCheck("day", max_value=date(2025, 1, 1)),
        UniqueCheck(["id"]),
        CountCheck(max_count=1),
        FreshnessCheck("at", max_age_hours=1),
        AcceptedValuesCheck(ODD, ["it's", ""]),
        AcceptedValuesCheck("x", [1, Decimal("0.1"), 2.5]),
        AcceptedValuesCheck("day", [date(2025, 1, 1)]),
        PatternCheck(ODD, r"[^'\\]+\.\d"),
        PatternCheck(ODD, "(?=x)x", name="in_python"),
        RelationshipCheck("id", str(SOURCE), "x"),
        SchemaCheck(Contract),
        ReconciliationCheck(str(SOURCE), partition_column="at", where_clause="id > 0 OR x < 1"),
        KeyParityCheck(str(SOURCE), ["id", ODD], partition_column="local"),
        MultiAggregateConsistencyCheck(
            str(SOURCE),
            [AggregateSpec('the "sum"', "SUM(x)", "x"), AggregateSpec("day", "MAX(day)", "day")],
            group_by=[ODD],
            tolerance=0.1,
        ),
        ChecksumReconciliationCheck(str(SOURCE), [ODD], hash_algorithm="md5"),
    ]


@pytest.fixture
def is_trino(lake):
    """Parse every query that was asked, by Trino's grammar."""

    def parse_all():
        assert lake.queries
        for query in lake.queries:
            with contextlib.redirect_stdout(io.StringIO()):  # the parser's notice of its version
                parse_statement(query)
        return len(lake.queries)

    return parse_all


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"partition": DAY, "partition_column": "day"},
        {"partition": DAY, "partition_column": "at", "scope": timedelta(hours=36)},
    ],
)
def test_the_sql_of_every_check_is_trinos(judge, lake, is_trino, options):
    lake.write(SOURCE, ROWS.slice(1, 1))
    results = judge(ROWS, *failing_checks(), **options)
    assert {r.kind for r in results if r.status == "could_not_run"} == set()
    assert {r.kind for r in results if r.passed} == set()
    lake.queries += [r.sql for r in results if r.sql]
    assert is_trino() > 30


def test_the_sql_of_an_audit_is_trinos(judge, lake, is_trino):
    lake.write(EVENTS, ROWS.slice(0, 1))
    lake.write(SOURCE, ROWS.slice(1, 1))
    stage = lake.stage(EVENTS, ROWS.slice(1, 2), Append(on_rerun="append"))
    results = judge(None, *failing_checks(), at={EVENTS: stage})
    assert {r.kind for r in results if r.status == "could_not_run"} == set()
    is_trino()


def test_the_sql_of_distributions_is_trinos(judge, is_trino):
    before = Partition.parse("2025-01-16")
    rows = pa.concat_tables([ROWS, ROWS.set_column(3, "day", pa.array([before.date] * 3))])
    checks = [DistributionCheck(c, partition_column="day", max_change=0) for c in (ODD, "id", "x")]
    results = judge(rows, *checks, partition=before, partition_column="day")
    assert [r.status for r in results] == ["passed"] * 3
    assert is_trino() > 6


def test_checksums_use_trinos_own_hash_there(judge, lake, is_trino, monkeypatch):
    lake.write(SOURCE, ROWS)
    monkeypatch.setattr(lake, "dialect", "trino")
    judge(ROWS, ChecksumReconciliationCheck(str(SOURCE), ["id"]))
    assert "xxhash64(to_utf8(" in lake.queries[0]
    is_trino()
