"""Queries translated from Trino's dialect to DuckDB's, beside sqlglot, which knows no types."""

from __future__ import annotations

from benchmarks.measure import compare

HERE = "benchmarks.translate"
ROUNDS = 3
QUERIES = 200

_QUERY = (
    "SELECT s, count(*) AS n, sum(p) / {} AS q FROM bronze.events "
    "WHERE x > 1 AND id BETWEEN 1 AND 9 GROUP BY s ORDER BY s"
)


def phlo():
    """Translate queries that differ, after the first."""
    import pyarrow as pa
    from phlo.names import TableName
    from phlo_iceberg.read.dialect.translation import parse, translate

    schema = pa.schema(
        [("id", pa.int64()), ("s", pa.string()), ("p", pa.decimal128(10, 2)), ("x", pa.float64())]
    )

    def one(number: int) -> None:
        query = parse(_QUERY.format(number), frozenset(), "lake")
        translate(query, {TableName("bronze", "events"): schema})

    return _all_after_the_first(one)


def sqlglot():
    """Transpile the same queries."""
    import sqlglot

    return _all_after_the_first(
        lambda number: sqlglot.transpile(_QUERY.format(number), read="trino", write="duckdb")
    )


def _all_after_the_first(one):
    one(QUERIES + 1)

    def every() -> None:
        for number in range(1, QUERIES + 1):
            one(number)

    return every


def run() -> list[dict]:
    """One row: milliseconds of CPU a query."""
    usages = compare(ROUNDS, phlo=(f"{HERE}:phlo", ()), sqlglot=(f"{HERE}:sqlglot", ()))
    ours, peer = (usages[name].cpu_seconds * 1000 / QUERIES for name in ("phlo", "sqlglot"))
    return [
        {
            "queries": QUERIES,
            "phlo CPU ms each": ours,
            "sqlglot CPU ms each": peer,
            "ratio": ours / peer,
            "goal": "at most 5 ms",
        }
    ]
