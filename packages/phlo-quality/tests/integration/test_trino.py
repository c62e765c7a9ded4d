"""Checks and reconciliations on a real Trino: the verdicts that DuckDB gives on the same rows."""

import math
import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pandera.pandas as pandera
import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from phlo.checks import CheckStatus
from phlo.names import Partition, TableName
from phlo.specs import spec_of
from phlo.values import Replace
from phlo_iceberg.read.engine import DuckDBEngine
from phlo_iceberg.store import IcebergStore
from phlo_quality import (
    AcceptedValuesCheck,
    AggregateConsistencyCheck,
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
    phlo_quality,
)
from phlo_testing import exact_verdicts, mutations, typed_pairs
from phlo_testing.exact_verdicts import ExactVerdicts
from phlo_trino.engine import TrinoEngine
from phlo_trino.server import TrinoServer
from phlo_trino.settings import TrinoSettings
from pyiceberg.catalog import load_catalog

pytestmark = [pytest.mark.trino, pytest.mark.integration, pytest.mark.xdist_group("servers")]

EVENTS, SOURCE = TableName("gold", "fct"), TableName("silver", "stg")
ODD = "we\"ird's {x} ünïcode"
DAY = Partition.parse("2025-01-15")
AT = datetime(2025, 1, 15, 1, 2, 3, 456789, tzinfo=UTC)
ROWS = pa.table(
    {
        "id": pa.array([1, 2, 3, 4, 5, 6, 6, None], pa.int64()),
        "x": [0.1, math.nan, -0.0, 0.0, None, math.inf, 1e300, -5e-324],
        "small": pa.array([0.1, math.nan, -0.0, 0.0, None, math.inf, 3e38, 1e-45], pa.float32()),
        ODD: ["a'b", 'c"d', "", None, "é", "é", "日本\n\\", "x" * 300],
        "day": [date(2025, 1, 14), date(1950, 1, 1), None, *[date(2025, 1, 15)] * 5],
        "at": pa.array(
            [AT, AT - timedelta(days=30_000), None, *[AT] * 5], pa.timestamp("us", "UTC")
        ),
        "price": pa.array(
            [
                Decimal(t) if t else None
                for t in ("1.50", "-0.01", "0", "", "99999999.99", "2", "3", "4")
            ],
            pa.decimal128(10, 2),
        ),
        "ok": [True, False, None, True, True, False, False, True],
        "raw": pa.array([b"\x00'", b"", None, b"a", b"\xff", b"b", b"c", b"d"], pa.binary()),
    }
)


class Contract(pandera.DataFrameModel):
    id: int = pandera.Field(ge=1, unique=True, nullable=True)
    x: float = pandera.Field(in_range={"min_value": 0, "max_value": 1}, nullable=True)
    price: float = pandera.Field(gt=2, nullable=True)
    ok: bool = pandera.Field(default=True)


def trino_engine(trino_lake, duckdb):
    settings = TrinoSettings(host="127.0.0.1", port=trino_lake.port)
    return TrinoEngine(TrinoServer(settings), duckdb)


@pytest.fixture
def store(trino_lake):
    catalog = load_catalog("lake", **trino_lake.catalog_properties)
    store = IcebergStore(catalog)
    for table in store.list_tables():
        store.drop(table)
    yield store
    catalog.engine.dispose()


def write(store, table, rows):
    if store.exists(table):
        store.drop(table)
    store.publish([store.stage(table, ds.dataset(rows), Replace(), schema=rows.schema)])


@pytest.fixture
def verdicts(trino_lake, store):
    """What both engines say of some checks on the target, which must be the same."""

    def judge(*checks, partition=None, **options):
        @phlo_quality(table=str(EVENTS), checks=list(checks), **options)
        def suite():
            pass

        duckdb = DuckDBEngine(store)
        engines = duckdb, trino_engine(trino_lake, duckdb)
        by_duckdb, by_trino = (
            spec_of(suite).evaluate(engine, store, partition=partition) for engine in engines
        )
        for ours, theirs in zip(by_duckdb, by_trino, strict=True):
            assert told(theirs) == told(ours)
            assert theirs.status is not CheckStatus.COULD_NOT_RUN, theirs.message
        return by_trino

    return judge


def shown(value):
    """A value of a sample, the same for both engines: Trino may show one zero for the other."""
    return value + 0.0 if isinstance(value, float) else value


def sample_of(result):
    """The rows of a sample that holds all failing rows; of others, their number."""
    if (result.failed_count or 0) > len(result.sample):
        return len(result.sample)
    return sorted(repr([(k, shown(v)) for k, v in row.items()]) for row in result.sample)


def told(result):
    metrics = {k: v for k, v in result.metrics.items() if k != "age_hours"}  # it grows meanwhile
    message = re.sub(r"[\d,.]+ hours old", "n hours old", result.message)  # so does this
    counts = result.row_count, result.failed_count, sample_of(result)
    return result.check, result.status, message, counts, repr(metrics)


CHECKS = [
    NullCheck(["x", "small", ODD, "raw"]),
    RangeCheck("x", min_value=0, max_value=float("inf")),
    RangeCheck("small", min_value=0, max_value=0.1, name="in_single_precision"),
    RangeCheck("price", max_value=Decimal("1.49999"), name="of_decimals"),
    RangeCheck("at", min_value=AT, name="of_moments"),
    RangeCheck("day", max_value=date(2025, 1, 14), name="of_days"),
    UniqueCheck(["id"]),
    UniqueCheck(["x"], name="of_floats"),
    CountCheck(max_count=1),
    FreshnessCheck("at", max_age_hours=1),
    AcceptedValuesCheck(ODD, ["a'b", "é", ""]),
    AcceptedValuesCheck("x", [0, 0.1], name="of_numbers"),
    PatternCheck(ODD, r"[^'\\]+"),
    PatternCheck(ODD, "(?=a)a.*", name="in_python"),
    RelationshipCheck("id", str(SOURCE), "id"),
    SchemaCheck(Contract),
]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"partition": DAY, "partition_column": "day"},
        {"partition": DAY, "partition_column": "at", "scope": timedelta(hours=36)},
    ],
)
def test_checks_say_the_same(store, verdicts, options):
    write(store, EVENTS, ROWS)
    write(store, SOURCE, ROWS.slice(0, 3))
    results = verdicts(*CHECKS, **options)
    assert {r.status for r in results} == {CheckStatus.FAILED} or options


def test_checks_say_the_same_of_a_table_without_rows(store, verdicts):
    write(store, EVENTS, ROWS.slice(0, 0))
    write(store, SOURCE, ROWS.slice(0, 0))
    verdicts(*CHECKS)


def test_every_mutation_breaks_the_same_rules_on_both(store, verdicts):
    write(store, TableName("ref", "geo"), mutations.COUNTRIES)
    names = list(mutations.CHECKS)
    for column, value, broken in mutations.MUTATIONS:
        write(store, EVENTS, mutations.mutate(column, value))
        results = dict(zip(names, verdicts(*mutations.CHECKS.values()), strict=True))
        assert {n for n, r in results.items() if not r.passed} == broken, (column, value)


def test_every_mutation_of_a_source_is_reconciled_alike_on_both(store, verdicts):
    source = str(SOURCE)
    good = pa.Table.from_pylist(mutations.GOOD, mutations.SCHEMA)
    write(store, SOURCE, good)
    columns = [name for name in mutations.SCHEMA.names if name != "id"]
    checks = [
        ReconciliationCheck(source),
        KeyParityCheck(source, ["id"]),
        KeyParityCheck(source, columns, name="all_columns"),
        ChecksumReconciliationCheck(source, ["id"], columns=columns),
        AggregateConsistencyCheck(source, "value", "SUM(value)", group_by=["country"]),
    ]
    for column, value, _ in mutations.MUTATIONS:
        changed = mutations.mutate(column, value)
        write(store, EVENTS, changed)
        is_same = all(result.passed for result in verdicts(*checks))
        assert is_same is changed.equals(good), (column, value)


class TestExactVerdicts(ExactVerdicts):
    table = str(EVENTS)

    @pytest.fixture
    def judge_rows(self, store, verdicts):
        def judge(rows, *checks, **options):
            write(store, EVENTS, rows)
            return verdicts(*checks, **(options or {"scope": "table"}))

        return judge

    @pytest.fixture
    def write_source(self, store):
        return lambda rows: write(store, TableName.parse(exact_verdicts.SOURCE), rows)


def test_numbers_and_times_of_two_types_pair_alike(store, verdicts):
    write(store, EVENTS, typed_pairs.rows())
    write(store, TableName("ref", "keys"), typed_pairs.rows())
    results = verdicts(*typed_pairs.CHECKS.values())
    assert [r.failed_count for r in results] == typed_pairs.expected_counts()


def test_distributions_say_the_same(store, verdicts):
    days = pa.array([date(2025, 1, 15)] * 4 + [date(2025, 1, 16)] * 4)
    write(store, EVENTS, ROWS.set_column(4, "day", days))
    checks = [DistributionCheck(c, partition_column="day", max_change=0) for c in ("id", "x", ODD)]
    verdicts(*checks, partition=Partition.parse("2025-01-16"), partition_column="day")


KEYED = ROWS.slice(0, 6)
COLUMNS = ["x", "small", ODD, "day", "at", "price", "ok", "raw"]


def reconciliations():
    source = str(SOURCE)
    return [
        ReconciliationCheck(source),
        ReconciliationCheck(source, partition_column="day", where_clause="id > 1", name="part"),
        KeyParityCheck(source, ["id", ODD]),
        KeyParityCheck(source, ["x"], name="floats"),
        AggregateConsistencyCheck(source, "small", "SUM(CAST(small AS DOUBLE))", name="sum"),
        MultiAggregateConsistencyCheck(
            source,
            [
                AggregateSpec("price", "SUM(price)", "price"),
                AggregateSpec("day", "MAX(day)", "day"),
            ],
            group_by=["ok"],
        ),
        *(
            ChecksumReconciliationCheck(source, ["id"], columns=[c], name=f"checksum_{n}")
            for n, c in enumerate(COLUMNS)
        ),
        ChecksumReconciliationCheck(source, ["id"], columns=COLUMNS, name="checksum_all"),
    ]


def test_reconciliations_of_equal_tables_pass_on_both(store, verdicts):
    write(store, EVENTS, KEYED)
    write(store, SOURCE, KEYED)
    results = verdicts(*reconciliations())
    assert [r.check for r in results if not r.passed] == []


@pytest.mark.parametrize(("number", "column"), list(enumerate(COLUMNS)))
def test_a_planted_difference_is_found_by_both(store, verdicts, number, column):
    values = KEYED.column(column).to_pylist()
    others = dict(
        zip(
            COLUMNS,
            (
                0.2,
                0.2,
                "z",
                AT.date(),
                AT + timedelta(microseconds=1),
                Decimal("7.77"),
                False,
                b"z",
            ),
            strict=True,
        )
    )
    values[0] = others[column]
    changed = KEYED.set_column(
        KEYED.column_names.index(column), column, pa.array(values, KEYED.column(column).type)
    )
    write(store, EVENTS, changed)
    write(store, SOURCE, KEYED)
    results = {r.check.rpartition("__")[2]: r for r in verdicts(*reconciliations())}
    failed = {name for name, r in results.items() if r.failed_count and "checksum" in name}
    assert failed == {f"checksum_{number}", "checksum_all"}
    assert results["checksum_all"].failed_count == 1
    assert results["checksum_all"].sample[0]["id"] == 1
