"""Marts from the Iceberg store to PostgreSQL, read back with psycopg."""

import traceback
from datetime import UTC, date, datetime, time
from decimal import Decimal

import pyarrow as pa
import pytest
from dagster import DagsterInstance, build_asset_context
from phlo.errors import (
    ConfigurationError,
    DataQualityError,
    InvalidArgumentError,
    InvalidNameError,
    ServiceError,
    TableNotFoundError,
)
from phlo.lake import open_lake
from phlo.names import TableName

pytestmark = pytest.mark.integration


def numbers(*values):
    return pa.table({"n": pa.array(values, pa.int64())})


def test_a_mart_arrives_with_its_rows_and_types(write_mart, publish, database):
    moment = datetime(2025, 1, 15, 12, 30, tzinfo=UTC)
    mart = pa.table(
        {
            "day": pa.array([date(2025, 1, 15), None], pa.date32()),
            "at": pa.array([moment, None], pa.timestamp("us", "UTC")),
            "price": pa.array([Decimal("12.50"), None], pa.decimal128(9, 2)),
            "name": ["Ann", None],
            "share": [0.25, None],
            "raw": pa.array([b"\x00\x01", None], pa.binary()),
            "ok": [True, None],
        }
    )
    snapshot = write_mart("marts.daily", mart)
    result = publish({"daily": "marts.daily"})["daily"]
    found = database.execute("SELECT * FROM marts.daily ORDER BY day").fetchall()
    assert found == [
        (date(2025, 1, 15), moment, Decimal("12.50"), "Ann", 0.25, b"\x00\x01", True),
        (None,) * 7,
    ]
    types = database.execute(
        "SELECT format_type(atttypid, atttypmod) FROM pg_attribute "
        "WHERE attrelid = 'marts.daily'::regclass AND attnum > 0 ORDER BY attnum"
    ).fetchall()
    assert [name for (name,) in types] == [
        "date",
        "timestamp with time zone",
        "numeric(9,2)",
        "text",
        "double precision",
        "bytea",
        "boolean",
    ]
    assert (result.source, result.target) == ("marts.daily", "marts.daily")
    assert (result.row_count, result.column_count, result.snapshot_id) == (2, 7, snapshot)
    assert result.bytes >= 8192
    assert 0 < result.seconds < 60
    assert not result.is_skipped


def test_nested_and_rare_types_arrive_from_the_store(write_mart, publish, database):
    kind = pa.struct([("n", pa.int64()), ("tags", pa.list_(pa.string()))])
    mart = pa.table(
        {
            "nested": pa.array([{"n": 1, "tags": ["a", None]}, None], kind),
            "list": pa.array([[1, 2], []], pa.list_(pa.int64())),
            "map": pa.array([[("k", 1.5)], None], pa.map_(pa.string(), pa.float64())),
            "at": pa.array([time(12, 30), None], pa.time64("us")),
            "big": pa.array([Decimal("-1.0000000001"), None], pa.decimal128(38, 10)),
        }
    )
    write_mart("marts.rare", mart)
    publish({"rare": "marts.rare"})
    found = database.execute("SELECT * FROM marts.rare ORDER BY nested").fetchall()
    assert found == [
        ({"n": 1, "tags": ["a", None]}, [1, 2], {"k": 1.5}, time(12, 30), Decimal("-1.0000000001")),
        (None, [], None, None, None),
    ]


def test_a_mart_without_rows_is_an_empty_table(write_mart, publish, database):
    write_mart("marts.empty", numbers())
    assert publish({"empty": "marts.empty"})["empty"].row_count == 0
    assert database.execute("SELECT * FROM marts.empty").fetchall() == []


def test_many_small_batches_are_one_table(write_mart, publish, database):
    write_mart("marts.many", numbers(*range(1000)))
    publish({"many": "marts.many"}, batch_size=7)
    assert database.execute("SELECT count(*), sum(n) FROM marts.many").fetchall() == [
        (1000, 499500)
    ]


def test_a_later_publish_replaces_rows_and_columns(write_mart, publish, database):
    write_mart("marts.m", numbers(1, 2))
    publish({"m": "marts.m"})
    write_mart("gold.m", pa.table({"t": ["x", "y", "z"]}))
    publish({"m": "gold.m"})
    assert database.execute("SELECT * FROM marts.m ORDER BY t").fetchall() == [
        ("x",),
        ("y",),
        ("z",),
    ]


def test_the_record_says_what_was_published_from_where(write_mart, publish, database):
    snapshot = write_mart("marts.m", numbers(1, 2))
    publish({"m": "marts.m"}, data_source="sales", target_schema="bi")
    found = database.execute(
        "SELECT table_name, source, snapshot_id, data_source, row_count, "
        "now() - published_at < interval '1 minute' FROM phlo.published"
    ).fetchall()
    assert found == [("m", "marts.m", snapshot, "sales", 2, True)]


def test_a_published_snapshot_is_skipped_unless_forced(write_mart, publish, database):
    snapshot = write_mart("marts.m", numbers(1, 2))
    publish({"m": "marts.m"})
    first = database.execute("SELECT 'marts.m'::regclass::oid").fetchone()
    again = publish({"m": "marts.m"})["m"]
    assert again.is_skipped
    assert (again.row_count, again.snapshot_id) == (2, snapshot)
    assert database.execute("SELECT 'marts.m'::regclass::oid").fetchone() == first
    assert not publish({"m": "marts.m"}, force=True)["m"].is_skipped
    assert database.execute("SELECT 'marts.m'::regclass::oid").fetchone() != first


def test_a_table_that_was_dropped_by_hand_is_published_again(write_mart, publish, database):
    write_mart("marts.m", numbers(1, 2))
    publish({"m": "marts.m"})
    database.execute("DROP TABLE marts.m")
    assert not publish({"m": "marts.m"})["m"].is_skipped
    assert database.execute("SELECT count(*) FROM marts.m").fetchone() == (2,)


def test_a_table_may_shrink_by_the_set_share_and_no_more(write_mart, publish, database):
    write_mart("marts.m", numbers(*range(10)))
    publish({"m": "marts.m"})
    write_mart("marts.m", numbers(*range(5)))
    publish({"m": "marts.m"})
    write_mart("marts.m", numbers(1, 2))
    with pytest.raises(DataQualityError, match=r"marts\.m from 5 to 2 rows") as caught:
        publish({"m": "marts.m"})
    assert "force=True" in str(caught.value)
    assert database.execute("SELECT count(*) FROM marts.m").fetchone() == (5,)
    publish({"m": "marts.m"}, max_shrink=0.6)
    assert database.execute("SELECT count(*) FROM marts.m").fetchone() == (2,)
    write_mart("marts.m", numbers())
    publish({"m": "marts.m"}, force=True)
    assert database.execute("SELECT count(*) FROM marts.m").fetchone() == (0,)


def test_a_failure_in_one_table_leaves_all_old_tables(write_mart, publish, database):
    write_mart("marts.a", numbers(1))
    write_mart("marts.b", pa.table({"t": ["fine"]}))
    publish({"a": "marts.a", "b": "marts.b"})
    write_mart("marts.a", numbers(2))
    write_mart("marts.b", pa.table({"t": ["fine", "a NUL \x00 in text"]}))
    with pytest.raises(DataQualityError, match="0x00") as caught:
        publish({"a": "marts.a", "b": "marts.b"})
    assert "column t" in str(caught.value)
    assert database.execute("SELECT n FROM marts.a").fetchall() == [(1,)]
    assert database.execute("SELECT t FROM marts.b").fetchall() == [("fine",)]
    tables = database.execute(
        "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'marts'::regnamespace"
    ).fetchall()
    assert sorted(tables) == [("a",), ("b",)]


@pytest.mark.parametrize(
    "name", ['a"; DROP TABLE x; --', "Ünï cödé", "semi;colon", "per%cent %s", "select", "a.b"]
)
def test_hostile_names_are_only_names(name, write_mart, publish, database):
    from psycopg import sql

    mart = pa.table({name: [1], f"{name} 2": ["x"]})
    write_mart("marts.m", mart)
    publish({name: "marts.m"}, target_schema=name)
    publish({name: "marts.m"}, target_schema=name, force=True)
    query = sql.SQL("SELECT {}, {} FROM {}").format(
        sql.Identifier(name), sql.Identifier(f"{name} 2"), sql.Identifier(name, name)
    )
    assert database.execute(query).fetchall() == [(1, "x")]


def test_a_name_too_long_for_postgresql_is_refused(write_mart, publish):
    write_mart("marts.m", numbers(1))
    with pytest.raises(InvalidNameError, match="63 bytes"):
        publish({"é" * 32: "marts.m"})


@pytest.mark.parametrize("schema", ["phlo", "phlo_new", "pg_mine"])
def test_schemas_of_phlo_and_postgresql_are_not_published_to(schema, write_mart, publish):
    write_mart("marts.m", numbers(1))
    with pytest.raises(InvalidNameError, match="keeps for itself"):
        publish({"published": "marts.m"}, target_schema=schema)


def test_an_unknown_mart_names_the_nearest(write_mart, publish):
    write_mart("marts.daily_aggregates", numbers(1))
    with pytest.raises(TableNotFoundError, match="daily_aggregates"):
        publish({"x": "marts.daily_agregates"})


@pytest.mark.parametrize(
    ("tables", "options", "message"),
    [({}, {}, "tables_to_publish"), ({"m": "marts.m"}, {"batch_size": 0}, "batch_size")],
)
def test_arguments_that_publish_nothing_are_refused(publish, tables, options, message):
    with pytest.raises(InvalidArgumentError, match=message):
        publish(tables, **options)


def test_a_view_in_the_way_is_not_replaced(write_mart, publish, database):
    write_mart("marts.m", numbers(1))
    database.execute("CREATE SCHEMA marts; CREATE VIEW marts.m AS SELECT 42 AS answer")
    with pytest.raises(ConfigurationError, match=r"marts\.m is not a plain table"):
        publish({"m": "marts.m"})
    assert database.execute("SELECT * FROM marts.m").fetchall() == [(42,)]


def test_the_output_carries_the_numbers(write_mart, publish):
    snapshot = write_mart("marts.m", numbers(1, 2, 3))
    with DagsterInstance.ephemeral() as instance:
        context = build_asset_context(instance=instance)
        publish({"m": "marts.m"}, context=context)
        metadata = context.get_output_metadata("result")
    assert metadata["dagster/row_count"] == 3
    (record,) = metadata["published"].records
    assert (record.data["table"], record.data["rows"]) == ("marts.m", 3)
    assert record.data["snapshot"] == str(snapshot)


def test_observers_are_told_of_each_published_table(write_mart, publish):
    from types import SimpleNamespace

    from phlo.plugins import hookimpl, plugin_manager

    seen = []
    observer = SimpleNamespace(phlo_on_publish=hookimpl(lambda event: seen.append(event)))
    plugin_manager().register(observer, name="observer")
    snapshot = write_mart("marts.m", numbers(1, 2))
    publish({"m": "marts.m"})
    publish({"m": "marts.m"})
    ((source, target, rows, seen_snapshot),) = [
        (str(e.source), e.target, e.row_count, e.snapshot_id) for e in seen
    ]
    assert (source, target, rows, seen_snapshot) == ("marts.m", "marts.m", 2, snapshot)


def test_an_unreachable_server_is_named_with_the_remedy_and_without_the_password(
    write_mart, publish, monkeypatch
):
    from phlo.config import reset_settings

    write_mart("marts.m", numbers(1))
    monkeypatch.setenv("PHLO_POSTGRES_PORT", "1")
    monkeypatch.setenv("PHLO_POSTGRES_PASSWORD", "hunter2 'secret")
    reset_settings()
    with pytest.raises(ServiceError, match="127.0.0.1:1 cannot be reached") as caught:
        publish({"m": "marts.m"})
    assert "PHLO_POSTGRES_HOST" in str(caught.value)
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_missing_rights_are_named_with_the_remedy(
    write_mart, publish, database, postgres_database, monkeypatch
):
    from phlo.config import reset_settings

    write_mart("marts.m", numbers(1))
    database.execute("CREATE ROLE poor LOGIN PASSWORD 'poor'")
    monkeypatch.setenv("PHLO_POSTGRES_USER", "poor")
    monkeypatch.setenv("PHLO_POSTGRES_PASSWORD", "poor")
    reset_settings()
    with pytest.raises(ConfigurationError, match="permission denied") as caught:
        publish({"m": "marts.m"})
    assert "CREATE on the database" in str(caught.value)
    database.execute("DROP ROLE poor")


def test_required_columns_and_comments_come_from_the_mart(write_mart, publish, database):
    number = pa.field("n", pa.int64(), nullable=False, metadata={"doc": "number"})
    schema = pa.schema([number, pa.field("t", pa.string(), metadata={"doc": "text"})])
    write_mart("marts.m", pa.table({"n": [1], "t": ["x"]}, schema))
    query = """SELECT attname, attnotnull, col_description(attrelid, attnum) FROM pg_attribute
        WHERE attrelid = 'marts.m'::regclass AND attnum > 0 ORDER BY attnum"""
    publish({"m": "marts.m"})
    assert database.execute(query).fetchall() == [("n", True, "number"), ("t", False, "text")]
    database.execute("COMMENT ON COLUMN marts.m.t IS 'by hand'")
    store = open_lake().store
    with store._open(TableName.parse("marts.m")).update_schema() as update:
        update.update_column("n", doc="count")
    assert not publish({"m": "marts.m"})["m"].is_skipped
    assert database.execute(query).fetchall() == [("n", True, "count"), ("t", False, "by hand")]
