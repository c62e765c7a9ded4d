import csv
import io
import re
import shlex
from datetime import UTC, date, datetime
from decimal import Decimal

import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from phlo.lake import open_lake
from phlo.names import TableName
from phlo.values import Append, LoadAccount

SCHEMA = pa.schema(
    [
        pa.field("id", pa.int64(), nullable=False, metadata={"doc": "Number of the order."}),
        pa.field("note", pa.string()),
        pa.field("at", pa.timestamp("us", "UTC")),
        pa.field("day", pa.date32()),
        pa.field("amount", pa.decimal128(9, 2)),
        pa.field("share", pa.float64()),
        pa.field("raw", pa.binary()),
    ]
)
ROWS = [
    {
        "id": 1,
        "note": 'a [b], "c"',
        "at": datetime(2025, 1, 15, 10, 30, tzinfo=UTC),
        "day": date(2025, 1, 15),
        "amount": Decimal("12.50"),
        "share": 0.5,
        "raw": b"\x01\xff",
    },
    {"id": 1002, "note": None, "at": None, "day": None, "amount": None, "share": float("nan")},
]


@pytest.fixture
def orders(phlo_project):
    """bronze.orders with two rows, loaded in two snapshots."""
    store = open_lake().store
    for number, row in enumerate(ROWS):
        staged = store.stage(
            TableName("bronze", "orders"),
            ds.dataset(pa.Table.from_pylist([row], schema=SCHEMA)),
            Append(on_rerun="append"),
            schema=SCHEMA,
            account=LoadAccount(extracted=1),
            summary={"phlo.partition": f"2025-01-1{number + 5}", "phlo.run-id": "abcdef0123"},
        )
        store.publish([staged])
    return phlo_project


def test_json_has_every_row_with_values_that_programs_read(orders, phlo):
    answer = phlo("query", "SELECT * FROM bronze.orders ORDER BY id", "--json")
    assert answer.code == 0
    first, second = answer.json
    assert first == {
        "id": 1,
        "note": 'a [b], "c"',
        "at": "2025-01-15T10:30:00+00:00",
        "day": "2025-01-15",
        "amount": "12.50",
        "share": 0.5,
        "raw": "01ff",
    }
    assert second == dict.fromkeys(first) | {"id": 1002}


def test_json_and_csv_have_the_values_of_trino(phlo_project, phlo):
    query = (
        "SELECT interval '14' month AS a, interval '-90' minute AS b, decimal '1.50' / 3 AS c, "
        "date '2024-02-28' + interval '1' day AS d, cast(1234567890123456789e0 AS varchar) AS e"
    )
    expected = {
        "a": "1-2",
        "b": "-0 01:30:00.000",
        "c": "0.50",
        "d": "2024-02-29",
        "e": "1.23456789012345677E18",
    }
    assert phlo("query", query, "--json").json == [expected]
    assert phlo("query", query, "--csv").out.splitlines()[1].split(",") == [*expected.values()]


def test_csv_quotes_and_leaves_nulls_empty(orders, phlo):
    answer = phlo("query", "SELECT id, note, amount FROM bronze.orders ORDER BY id", "--csv")
    assert list(csv.reader(io.StringIO(answer.out))) == [
        ["id", "note", "amount"],
        ["1", 'a [b], "c"', "12.50"],
        ["1002", "", ""],
    ]


def test_the_terminal_shows_names_and_values_as_they_are(orders, phlo):
    answer = phlo("query", 'SELECT id AS "order_id", note FROM bronze.orders ORDER BY id')
    lines = [line.split() for line in answer.out.splitlines()]
    assert lines[0] == ["order_id", "note"]
    assert lines[2] == ["1", "a", "[b],", '"c"']
    assert lines[3] == ["1002", "NULL"]


def test_the_terminal_shows_the_first_rows_and_says_so(orders, phlo):
    answer = phlo("query", "SELECT id FROM bronze.orders ORDER BY id", "--limit", "1")
    assert "1002" not in answer.out
    assert "The first 1 row; --limit shows more." in answer.out


def test_no_rows_are_said_in_words_and_are_an_empty_list(orders, phlo):
    statement = "SELECT id FROM bronze.orders WHERE id < 0"
    assert phlo("query", statement).out == "No rows.\n"
    assert phlo("query", statement, "--json").json == []


def test_sql_is_read_from_standard_input(orders, phlo, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("SELECT count(*) AS n\nFROM bronze.orders;\n"))
    assert phlo("query", "--json").json == [{"n": 2}]


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("SELECT * FROM bronze.oders", "Did you mean 'bronze.orders'?"),
        ("DROP TABLE bronze.orders", "A query is one SELECT."),
        ("SELECT nope FROM bronze.orders", "nope"),
    ],
)
def test_wrong_sql_is_exit_code_2_without_a_traceback(orders, phlo, statement, message):
    answer = phlo("query", statement)
    assert answer.code == 2
    assert message in answer.err
    assert "Traceback" not in answer.err


def test_catalog_lists_tables(orders, phlo):
    (row,) = phlo("catalog", "tables", "--json").json
    assert (row["table"], row["rows"], row["columns"], row["snapshots"]) == (
        "bronze.orders",
        2,
        7,
        2,
    )


def test_a_query_reads_states_of_tables_that_are_named(orders, phlo):
    table = TableName("bronze", "orders")
    second, first = open_lake().store.history(table)

    def ids(*states):
        at = [word for state in states for word in ("--at", state)]
        answer = phlo("query", *at, "SELECT id FROM bronze.orders ORDER BY id", "--json")
        return [row["id"] for row in answer.json] if answer.code == 0 else answer.code

    assert ids() == [1, 1002]
    assert ids(first.committed_at.isoformat()) == ids(str(first.snapshot_id)) == [1]
    assert ids(f"{second.snapshot_id}^") == [1]
    assert ids("abcdef0") == [1, 1002]
    assert ids(f"orders={first.snapshot_id}") == [1]
    assert ids(str(second.snapshot_id), f"bronze.orders={first.snapshot_id}") == [1]
    for wrong in ("2001-01-01", "main", "nothing", "orders=nothing", "oders=1", "=1", "orders="):
        assert ids(wrong) == 2, wrong
    misspelt = phlo("query", "--at", str(first.snapshot_id), "SELECT id FROM bronze.oders")
    assert (misspelt.code, "Did you mean 'bronze.orders'?" in misspelt.err) == (2, True)


WITHHELD = """
    import pandera.pandas as pa
    from phlo_dlt import phlo_ingestion
    from phlo_quality import RangeCheck, phlo_quality

    class Events(pa.DataFrameModel):
        id: int

    @phlo_ingestion(table_name="events", unique_key="id", validation_schema=Events, group="g")
    def events(partition_date: str):
        return [{"id": int(partition_date[-2:])}]

    @phlo_quality(table="bronze.events", checks=[RangeCheck(column="id", max_value=5)],
                  blocking=True)
    def events_quality(): ...
"""


def test_what_an_audit_withheld_is_read_by_the_command_of_its_error(phlo_project, phlo):
    phlo_project.write("workflows/events.py", WITHHELD)
    assert phlo("materialize", "events", "--partition", "2025-01-03").code == 0
    failed = phlo("materialize", "events", "--partition", "2025-01-09")
    (command,) = re.findall("`phlo (query --at .*?)`", failed.out)
    assert phlo("query", "SELECT id FROM bronze.events", "--json").json == [{"id": 3}]
    withheld = phlo(*shlex.split(command), "--json").json
    assert sorted(row["id"] for row in withheld) == [3, 9]


def test_catalog_of_a_new_project_says_what_to_do(phlo_project, phlo):
    assert "`phlo materialize` makes them" in phlo("catalog", "tables").out
    assert phlo("catalog", "tables", "--json").json == []


def test_catalog_describes_columns_by_a_bare_name(orders, phlo):
    answer = phlo("catalog", "describe", "orders", "--json").json
    assert answer["rows"] == 2
    assert answer["columns"][0] == {
        "column": "id",
        "type": "int64",
        "null": False,
        "description": "Number of the order.",
    }
    assert "Number of the order." in phlo("catalog", "describe", "bronze.orders").out


def test_catalog_shows_the_history_with_accounts_newest_first(orders, phlo):
    rows = phlo("catalog", "history", "orders", "--json").json
    assert [(r["partition"], r["account"], r["run"]) for r in rows] == [
        ("2025-01-16", ["1 inserted"], "abcdef01"),
        ("2025-01-15", ["1 inserted"], "abcdef01"),
    ]


def test_a_wrong_table_gives_the_nearest(orders, phlo):
    answer = phlo("catalog", "history", "oders")
    assert answer.code == 2
    assert "Did you mean 'bronze.orders'?" in answer.err


@pytest.mark.parametrize("table", ["orderss", "nothing_of_the_kind"])
def test_a_missing_table_is_told_with_the_tables_of_assets_that_made_none_yet(
    phlo_project, phlo, table
):
    phlo_project.write(
        "workflows/shop.py",
        """
        from phlo_dlt import phlo_ingestion
        from phlo.schemas import PhloSchema

        class Row(PhloSchema):
            id: str

        @phlo_ingestion(table_name="orders", unique_key="id", validation_schema=Row, group="g")
        def orders(partition_date: str):
            return []
        """,
    )
    unloaded = phlo("query", "SELECT * FROM bronze.orders")
    assert unloaded.code == 2
    assert "bronze.orders has no load yet.\n\nHint: phlo materialize orders\n" in unloaded.err
    wrong = phlo("catalog", "describe", f"bronze.{table}")
    assert wrong.code == 2
    assert ("Did you mean 'bronze.orders'?" in wrong.err) == (table == "orderss")
