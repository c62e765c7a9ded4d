"""Publishing a mart of eight columns to PostgreSQL, beside psql's binary copy and INSERTs.

Sizes: ``PHLO_BENCH_MILLIONS=1,5`` (the default). The INSERTs send 100,000 rows; their seconds are
per million all the same. ``merge`` publishes 100,000 changed rows of a mart with a key, random
UUIDs in text: those of its last day, or ones of all its days. Its ratio is to the replace of that
mart, key included, in CPU seconds of both phlo and the server.
"""

from __future__ import annotations

import os
import random
import subprocess
import tempfile
from pathlib import Path

from benchmarks.measure import compare

HERE = "benchmarks.publish"
ROUNDS = 3
COLUMNS = ["id", "ts", "amount", "qty", "status", "country", "note", "_phlo_partition_date"]
TYPES = ["text", "timestamptz", "float8", "bigint", "text", "text", "text", "date"]
INSERTED = 100_000


def _configure(folder: str) -> None:
    os.environ["PHLO_PROJECT_DIR"] = folder
    os.environ["PHLO_POSTGRES_KEEP_RUNNING"] = "true"


def build(folder: str, days: int):
    """A mart of so many days, its rows in PostgreSQL's binary format too, and a server."""
    _configure(folder)
    import pyarrow.dataset as ds
    from phlo.lake import open_lake
    from phlo.names import TableName
    from phlo.publishing import PostgresResource
    from phlo.values import Append

    from benchmarks.data import day_rows

    store, mart = open_lake().store, TableName("marts", "orders")
    for day in range(days):
        rows = day_rows(day).select(COLUMNS)
        how = Append(on_rerun="append")
        store.publish([store.stage(mart, ds.dataset(rows), how, schema=rows.schema)])
    with PostgresResource().connect(autocommit=True) as connection:
        _make_table(connection)
    publish(folder, "orders")()
    _psql(folder, f"\\copy marts.orders TO '{folder}/orders.bin' WITH (FORMAT binary)")


def publish(folder: str, target: str = "published", **options: object):
    """The whole of ``publish_marts_to_postgres``, reading the Iceberg table included."""
    _configure(folder)
    from dagster import asset, build_asset_context
    from phlo.lake import open_lake
    from phlo.publishing import PostgresResource, publish_marts_to_postgres

    postgres, engine = PostgresResource(), open_lake().engine
    postgres.connect().close()

    @asset
    def published(context):
        tables = {target: "marts.orders"}
        options.setdefault("force", True)
        publish_marts_to_postgres(context, engine, postgres, tables, "bench", **options)

    return lambda: published(build_asset_context()) and None


def replace(folder: str):
    """A replace of a table with a key, its server's CPU seconds included."""
    _count_server(folder)
    return publish(folder, "keyed", key="id")


def merge(folder: str, days: int, changed_days: int):
    """A merge of 100,000 rows that changed in the last so many days."""
    _configure(folder)
    import pyarrow as pa
    import pyarrow.dataset as ds
    from phlo.lake import open_lake
    from phlo.names import TableName
    from phlo.values import Merge

    from benchmarks.data import changed, day_rows

    numbers = range(days - changed_days, days)
    rows = pa.concat_tables([changed(day_rows(n), 1 / changed_days, n) for n in numbers])
    amount = pa.array([random.random() for _ in range(rows.num_rows)])
    rows = rows.set_column(2, "amount", amount).select(COLUMNS)
    store, mart = open_lake().store, TableName("marts", "orders")
    store.publish([store.stage(mart, ds.dataset(rows), Merge(("id",)), schema=rows.schema)])
    _count_server(folder)
    return publish(folder, "keyed", key="id", mode="merge", force=False)


def _count_server(folder: str) -> None:
    pid_file = Path(folder, ".phlo", "postgres", "data", "postmaster.pid")
    os.environ["PHLO_BENCH_SERVER"] = pid_file.read_text().split()[0]


def psql_copy(folder: str):
    """psql's binary ``\\copy`` of the same rows from a file."""
    _psql(folder, _TRUNCATE)
    command = f"\\copy copied FROM '{folder}/orders.bin' WITH (FORMAT binary)"
    return lambda: _psql(folder, command)


def executemany(folder: str):
    """psycopg's ``executemany``, 10,000 rows at a time."""
    connection, rows = _connection_and_rows(folder)
    statement = f"INSERT INTO copied VALUES ({', '.join(['%s'] * len(COLUMNS))})"

    def insert():
        with connection, connection.cursor() as cursor:
            for start in range(0, len(rows), 10_000):
                cursor.executemany(statement, rows[start : start + 10_000])

    return insert


def multi_row_insert(folder: str):
    """INSERT of 1,000 rows a statement."""
    connection, rows = _connection_and_rows(folder)
    row = f"({', '.join(['%s'] * len(COLUMNS))})"

    def insert():
        with connection:
            for start in range(0, len(rows), 1000):
                part = rows[start : start + 1000]
                statement = f"INSERT INTO copied VALUES {', '.join([row] * len(part))}"
                connection.execute(statement, [value for values in part for value in values])

    return insert


_TRUNCATE = "TRUNCATE copied"


def _make_table(connection) -> None:
    columns = ", ".join(f'"{n}" {t}' for n, t in zip(COLUMNS, TYPES, strict=True))
    connection.execute(f"CREATE TABLE IF NOT EXISTS copied ({columns})")


def _connection_and_rows(folder: str):
    _configure(folder)
    from phlo.publishing import PostgresResource

    from benchmarks.data import day_rows

    connection = PostgresResource().connect()
    connection.execute(_TRUNCATE)
    connection.commit()
    table = day_rows(0, INSERTED).select(COLUMNS)
    return connection, list(zip(*(column.to_pylist() for column in table.columns), strict=True))


def _psql(folder: str, command: str) -> None:
    _configure(folder)
    from phlo.publishing import PostgresResource
    from phlo_publishing.server import program

    subprocess.run(
        [program("psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", command],
        check=True,
        env=os.environ | PostgresResource().address().libpq_environment(),
    )


def run() -> list[dict]:
    """One row per size and way, each beside psql's copy."""
    found = []
    for millions in map(int, os.environ.get("PHLO_BENCH_MILLIONS", "1,5").split(",")):
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "workflows").mkdir()
            compare(1, build=(f"{HERE}:build", (folder, millions * 10)))
            kinds = ["psql_copy", "publish"]
            usages = compare(ROUNDS, **{k: (f"{HERE}:{k}", (folder,)) for k in kinds})
            if millions == 1:
                slow = ("executemany", "multi_row_insert")
                usages |= compare(1, **{k: (f"{HERE}:{k}", (folder,)) for k in slow})
            merges = _merges(folder, millions * 10)
            found += [
                _row(millions, kind, usage, usages["psql_copy"]) for kind, usage in usages.items()
            ]
            found += merges
            _stop(folder)
    return found


def _merges(folder: str, days: int) -> list[dict]:
    usages = compare(
        ROUNDS,
        replace=(f"{HERE}:replace", (folder,)),
        last=(f"{HERE}:merge", (folder, days, 1)),
        spread=(f"{HERE}:merge", (folder, days, days)),
    )
    kinds = {"last": "merge, last day changed", "spread": "merge, all days changed"}
    return [
        {
            "rows": f"{days // 10}M",
            "kind": f"{kind}; beside a replace",
            "wall_s_per_million": usages[name].wall_seconds * 10 / days,
            "peak_mb": usages[name].peak_mb,
            "x_peer": usages[name].cpu_seconds / usages["replace"].cpu_seconds,
        }
        for name, kind in kinds.items()
    ]


def _row(millions: int, kind: str, usage, copy) -> dict:
    rows = INSERTED / 1e6 if kind in ("executemany", "multi_row_insert") else millions
    return {
        "rows": f"{millions}M",
        "kind": kind,
        "wall_s_per_million": usage.wall_seconds / rows,
        "peak_mb": usage.peak_mb,
        "x_peer": usage.wall_seconds / rows / (copy.wall_seconds / millions),
    }


def _stop(folder: str) -> None:
    from phlo_publishing.server import EmbeddedServer

    EmbeddedServer(Path(folder, ".phlo", "postgres")).stop()
