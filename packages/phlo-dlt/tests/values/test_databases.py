"""A PostgreSQL west of Greenwich, read by every backend of dlt's sql_database."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from dlt.sources.sql_database import sql_table
from sqlalchemy import URL, create_engine, text

pytestmark = pytest.mark.integration

SCHEMA = """
    from datetime import date, datetime
    from typing import Annotated
    import pandera.pandas as pa
    from pandera.engines.pandas_engine import Decimal as Places

    class EventSchema(pa.DataFrameModel):
        id: str
        at: datetime = pa.Field(nullable=True)
        day: date = pa.Field(nullable=True)
        n: Annotated[Places, 38, 18, None] = pa.Field(nullable=True)
        big: int = pa.Field(nullable=True)
        u: str = pa.Field(nullable=True)
        doc: dict = pa.Field(nullable=True)
        tags: list = pa.Field(nullable=True)
        ratio: float = pa.Field(nullable=True)
"""
CREATE = """
    CREATE TABLE things (id text PRIMARY KEY, at timestamptz, day date, n numeric(38,18),
        big bigint, u uuid, doc jsonb, tags text[], ratio double precision);
    INSERT INTO things VALUES
    ('a', '2024-06-01T12:00:00Z', '2024-06-01', 12345678901234567890.123456789012345678,
        9223372036854775807, '00000000-0000-0000-0000-000000000005', '{"k": [1, null]}',
        '{x,NULL}', 0.1),
    ('b', '2024-12-01T12:00:00.123456Z', '0001-01-01', -0.000000000000000001,
        -9223372036854775808, NULL, NULL, NULL, NULL),
    ('c', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
"""
EXACT = {
    "a": (
        datetime(2024, 6, 1, 12, tzinfo=UTC),
        date(2024, 6, 1),
        Decimal("12345678901234567890.123456789012345678"),
        2**63 - 1,
        "00000000-0000-0000-0000-000000000005",
        '{"k":[1,null]}',
        '["x",null]',
        0.1,
    ),
    "b": (
        datetime(2024, 12, 1, 12, 0, 0, 123456, tzinfo=UTC),
        date(1, 1, 1),
        Decimal("-0.000000000000000001"),
        -(2**63),
        None,
        None,
        None,
        None,
    ),
    "c": (None,) * 8,
}
NAMES = ("at", "day", "n", "big", "u", "doc", "tags", "ratio")


@pytest.fixture
def things(postgres_server):
    """Address of a database whose sessions are in New York's time, with the table ``things``."""
    with postgres_server.connect(autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS west")
        connection.execute("CREATE DATABASE west")
        connection.execute("ALTER DATABASE west SET timezone = 'America/New_York'")
    password = postgres_server.password.get_secret_value() if postgres_server.password else None
    url = URL.create(
        "postgresql+psycopg",
        postgres_server.user,
        password,
        postgres_server.host,
        postgres_server.port,
        "west",
    )
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql(CREATE)
    yield engine
    engine.dispose()


def read_back(events):
    """The rows as pyiceberg reads them; JSON without blanks, times in UTC."""
    return {row["id"]: tuple(_spelled(name, row[name]) for name in NAMES) for row in events.rows()}


def _spelled(name, value):
    if isinstance(value, datetime):
        return value.astimezone(UTC)
    is_json = name in ("doc", "tags") and value is not None
    return value.replace(": ", ":").replace(", ", ",") if is_json else value


def refusals(events, result):
    """The rules that each quarantined row broke."""
    if not events.facts(result)["quarantined"]:
        return {}
    return {json.loads(row["key"])["id"]: json.loads(row["rules"]) for row in events.quarantined()}


@pytest.mark.values
@pytest.mark.parametrize("backend", ["sqlalchemy", "pyarrow", "pandas", "connectorx"])
def test_every_backend_hands_over_each_value_exactly_or_its_row_is_refused(events, things, backend):
    """connectorx has no decimals of scale 18."""
    events.declare(SCHEMA, invalid_rows="quarantine")
    left_out = {"excluded_columns": ["n"]} if backend == "connectorx" else {}

    result = events.load(lambda _: sql_table(things, "things", backend=backend, **left_out))

    assert result.success, events.failure(result)
    got, refused = read_back(events), refusals(events, result)
    assert {*got} | {*refused} == {"a", "b", "c"}
    assert {*refused} <= ({"a"} if backend == "connectorx" else set())
    for key, values in got.items():
        expected = [
            None if n == "n" and left_out else v for n, v in zip(NAMES, EXACT[key], strict=True)
        ]
        assert repr(values) == repr(tuple(expected))


RARE_SCHEMA = """
    from typing import Annotated
    import pandera.pandas as pa
    from pandera.engines.pandas_engine import Decimal as Places

    class EventSchema(pa.DataFrameModel):
        id: str
        whole: int = pa.Field(nullable=True)
        plain: Annotated[Places, 38, 18, None] = pa.Field(nullable=True)
        doc: dict = pa.Field(nullable=True)
        raw: bytes = pa.Field(nullable=True)
        host: str = pa.Field(nullable=True)
        many: list = pa.Field(nullable=True)
"""
RARE = r"""
    CREATE TABLE rare (id text PRIMARY KEY, whole numeric(20,0), plain numeric, doc jsonb,
        raw bytea, host inet, many numeric[]);
    INSERT INTO rare VALUES
    ('a', 9007199254740993, 12345678.123456789012345678, '{"k": 12345678901234567890.12345}',
        '\x00ff', '10.0.0.1/24', '{1.10,NULL}'),
    ('b', NULL, NULL, '{}', '', '::1', '{}'),
    ('c', NULL, NULL, NULL, NULL, NULL, NULL)
"""


@pytest.mark.values
@pytest.mark.parametrize("backend", ["sqlalchemy", "pandas"])
def test_rarer_types_of_a_database_arrive_with_every_digit_and_byte(events, things, backend):
    with things.begin() as connection:
        connection.exec_driver_sql(RARE)
    events.declare(RARE_SCHEMA)

    result = events.load(lambda _: sql_table(things, "rare", backend=backend))

    assert result.success, events.failure(result)
    names = ("whole", "plain", "doc", "raw", "host", "many")
    assert {row["id"]: tuple(row[name] for name in names) for row in events.rows()} == {
        "a": (
            2**53 + 1,
            Decimal("12345678.123456789012345678"),
            '{"k":12345678901234567890.12345}',
            b"\x00\xff",
            "10.0.0.1/24",
            '["1.10",null]',
        ),
        "b": (None, None, "{}", b"", "::1", "[]"),
        "c": (None,) * 6,
    }


@pytest.mark.values
@pytest.mark.parametrize("backend", ["sqlalchemy", "pandas"])
def test_json_with_two_values_of_one_name_is_refused(events, things, backend):
    with things.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TABLE twice (id text, doc json);"
            """INSERT INTO twice VALUES ('a', '{"k": 1, "k": 2}'), ('b', '{"k": 1}')"""
        )
    events.declare(SCHEMA, invalid_rows="quarantine")

    result = events.load(lambda _: sql_table(things, "twice", backend=backend))

    assert read_back(events)["b"][NAMES.index("doc")] == '{"k":1}'
    assert refusals(events, result) == {
        "a": ["doc: cannot be cast to json (a name in it has two values)"]
    }


@pytest.mark.values
def test_a_panic_of_a_library_is_told_as_an_error_of_the_source(events, things):
    with things.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE odd (id text, v money)")
        connection.exec_driver_sql("INSERT INTO odd VALUES ('a', '1')")
    events.declare(SCHEMA)

    result = events.load(lambda _: sql_table(things, "odd", backend="connectorx"))

    said = events.failure(result).description
    assert said.startswith("The source of 'events' failed: PanicException: not implemented: money")
    assert "was not tried again" in said


@pytest.mark.values
def test_connectorx_refuses_decimals_that_it_would_round(events, things):
    events.declare(SCHEMA)

    result = events.load(lambda _: sql_table(things, "things", backend="connectorx"))

    assert "decimal scale" in events.failure(result).description


@pytest.mark.values
@pytest.mark.parametrize("moment", ["infinity", "-infinity"])
def test_an_infinite_date_is_never_another_date(events, things, moment):
    with things.begin() as connection:
        connection.exec_driver_sql(
            f"INSERT INTO things (id, at, day) VALUES ('z', '{moment}', '{moment}')"
        )
    events.declare(SCHEMA, invalid_rows="quarantine")

    result = events.load(lambda _: sql_table(things, "things", backend="sqlalchemy"))

    assert not result.success or "z" not in read_back(events)


def test_rows_of_a_query_arrive_exactly(events, things):
    events.declare(SCHEMA)

    def rows(_):
        with things.connect() as connection:
            for row in connection.execute(text("SELECT * FROM things")).mappings():
                yield dict(row)

    result = events.load(rows)

    assert result.success, events.failure(result)
    assert repr(read_back(events)) == repr(EXACT)
