"""Sources on real servers: an HTTP API that misbehaves, PostgreSQL, S3."""

import gc
import json
import threading
import time
from datetime import UTC, datetime
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import dlt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy
from dlt.sources.credentials import AwsCredentials
from dlt.sources.filesystem import filesystem
from dlt.sources.rest_api import rest_api_source
from s3fs import S3FileSystem

pytestmark = [
    pytest.mark.integration,
    # Sockets of broken answers are left to the garbage collector by requests, which dlt uses.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
TOKEN = "s3cr3t-t0ken"
PAGE_ROWS, PAGES = 50, 4


def row(number: int) -> dict:
    """Row of a page; columns come, go and change their kind from page to page."""
    page = number // PAGE_ROWS
    made = {"id": f"e{number}", "timestamp": "2025-01-15T10:00:00Z", "value": number % 100}
    if page == 1:
        made |= {"value": float(number % 100), "note": "n"}
    if page == 2:
        made |= {"note": None, "colour": "red"}
    return made


class Api:
    """An API of four pages of events that asks for a token.

    Attributes:
        faults: What to do wrong, by page, once each: ``429``, ``500``, ``slow``, ``cut`` or
            ``no json``; a fault repeated for ever stands in ``always``.
        asked: Pages asked for, in order.
    """

    def __init__(self):
        self.faults: dict[int, list] = {}
        self.always: dict[int, object] = {}
        self.asked: list[int] = []
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def source(self, token=TOKEN):
        return rest_api_source(
            {
                "client": {
                    "base_url": self.url,
                    "auth": {"type": "bearer", "token": token},
                    "paginator": {"type": "json_link", "next_url_path": "next"},
                },
                "resources": [
                    {"name": "events", "endpoint": {"path": "events", "data_selector": "rows"}}
                ],
            }
        )

    def _handler(api):  # noqa: N805 - self is the handler's
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                page = int(self.path.partition("page=")[2] or 0)
                api.asked.append(page)
                if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                    return self.answer(401, b'{"error": "who are you?"}')
                left = api.faults.get(page)
                return self.go_wrong(page, left.pop(0) if left else api.always.get(page))

            def go_wrong(self, page, fault):
                if fault == 429:
                    return self.answer(429, b"{}", {"Retry-After": "1"})
                if fault == "slow":
                    time.sleep(0.5)
                body = b"<html>" if fault == "no json" else api.page(page)
                return self.answer(500 if fault == 500 else 200, body, cut=fault == "cut")

            def answer(self, status, body, headers=(), *, cut=False):
                self.send_response(status)
                for name, value in dict(headers).items():
                    self.send_header(name, value)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body[: len(body) // 2] if cut else body)

            def log_message(self, *_):
                pass

        return Handler

    def page(self, number: int) -> bytes:
        rows = [row(n) for n in range(number * PAGE_ROWS, (number + 1) * PAGE_ROWS)]
        following = f"{self.url}/events?page={number + 1}" if number + 1 < PAGES else None
        return json.dumps({"rows": rows, "next": following}).encode()


@pytest.fixture
def api(monkeypatch):
    monkeypatch.setenv("RUNTIME__REQUEST_MAX_ATTEMPTS", "3")
    monkeypatch.setenv("RUNTIME__REQUEST_BACKOFF_FACTOR", "0.01")
    api = Api()
    yield api
    api.server.shutdown()
    api.server.server_close()
    gc.collect()  # so that no later test meets the warnings


def contents(events):
    return [(r["id"], r["value"], r["note"]) for r in events.rows()]


def all_rows():
    rows = [row(n) for n in range(PAGES * PAGE_ROWS)]
    return sorted((r["id"], float(r["value"]), r.get("note")) for r in rows)


def test_every_page_of_an_api_that_stumbles_arrives_once(events, api):
    events.declare()
    api.faults = {0: ["slow"], 1: [429, 500], 2: [429], 3: [500, 500]}

    result = events.load(lambda _: api.source())

    assert result.success, events.failure(result)
    assert contents(events) == all_rows()
    facts = events.facts(result)
    assert (facts["extracted"], facts["dropped_values"]) == (200, {"colour": PAGE_ROWS})
    assert api.asked == [0, 1, 1, 1, 2, 2, 3, 3, 3]


@pytest.mark.parametrize("fault", [429, 500, "cut", "no json"])
def test_an_api_that_breaks_in_the_middle_changes_nothing_and_is_asked_again(events, api, fault):
    events.declare()
    assert events.load([events.row("old", 7.0)]).success
    api.always = {2: fault}

    result = events.load(lambda _: api.source())

    assert not result.success
    assert TOKEN not in str(result.all_events)
    assert events.values() == {"old": 7.0}

    api.always = {}
    assert events.load(lambda _: api.source()).success
    assert contents(events) == sorted([*all_rows(), ("old", 7.0, None)])


def test_a_token_that_is_refused_is_not_told(events, api, caplog, capfd):
    events.declare()

    result = events.load(lambda _: api.source(token="wr0ng-t0ken"))

    assert "401" in str(result.all_events)
    told = str(result.all_events) + caplog.text + "".join(capfd.readouterr())
    assert "wr0ng-t0ken" not in told
    assert api.asked == [0]


ORDER_SCHEMA = """
    from datetime import date, datetime
    from decimal import Decimal
    from typing import Annotated
    import pandera.pandas as pa
    from pandera.engines.pandas_engine import Decimal as PlacesOf

    class EventSchema(pa.DataFrameModel):
        id: str
        at: datetime
        day: date
        price: Annotated[PlacesOf, 20, 2, None] = pa.Field(nullable=True)
        big: int = pa.Field(nullable=True)
        ok: bool = pa.Field(nullable=True)
        tags: dict = pa.Field(nullable=True)
"""
ORDERS = (
    "CREATE TABLE orders (id text, at timestamptz, day date, price numeric(20, 2), "
    "big bigint, ok boolean, tags jsonb)",
    "INSERT INTO orders VALUES "
    "('é''', '2025-01-15 11:00:00+01', '2025-01-15', 12345678901234567.89, "
    "9007199254740993, true, '{\"a\": [1]}'),"
    "('b', '1950-01-15 10:00:00+00', '2025-01-15', NULL, NULL, NULL, NULL),"
    "('c', '2025-01-16 10:00:00+00', '2025-01-16', 1, 1, false, NULL)",
)


@pytest.fixture
def orders(postgres_database):
    """A database with orders of two days."""
    address = postgres_database
    password = address.password.get_secret_value() if address.password else None
    place = (address.host, address.port, address.database)
    engine = sqlalchemy.create_engine(
        sqlalchemy.URL.create("postgresql+psycopg", address.user, password, *place)
    )
    with engine.begin() as connection:
        for statement in ORDERS:
            connection.execute(sqlalchemy.text(statement))
    yield engine
    engine.dispose()


@pytest.mark.xdist_group("servers")
def test_a_day_of_a_postgresql_table_comes_with_its_types(events, orders):
    """The day is a bound parameter, and nothing of it is pasted into SQL."""
    events.declare(ORDER_SCHEMA)

    def source(day):
        @dlt.resource
        def query():
            wanted = sqlalchemy.text("SELECT * FROM orders WHERE day = :day ORDER BY id")
            with orders.connect() as connection:
                for part in connection.execute(wanted, {"day": day}).mappings().partitions(1):
                    yield [dict(r) for r in part]

        return query

    result = events.load(source)

    assert result.success, events.failure(result)
    found = [
        (r["id"], r["at"], r["price"], r["big"], r["ok"], r["tags"] and json.loads(r["tags"]))
        for r in events.rows()
    ]
    assert found == [
        ("b", datetime(1950, 1, 15, 10, tzinfo=UTC), None, None, None, None),
        (
            "é'",
            datetime(2025, 1, 15, 10, tzinfo=UTC),
            Decimal("12345678901234567.89"),
            9007199254740993,
            True,
            {"a": [1]},
        ),
    ]


@pytest.mark.xdist_group("servers")
@pytest.mark.parametrize("ending", ["parquet", "csv", "jsonl"])
def test_files_on_s3_are_read_as_rows(events, object_store, ending):
    events.declare()
    secrets = object_store.s3_properties
    credentials = AwsCredentials(
        aws_access_key_id=secrets["s3.access-key-id"],
        aws_secret_access_key=secrets["s3.secret-access-key"],
        endpoint_url=object_store.s3_endpoint,
        region_name="us-east-1",
    )
    files = S3FileSystem(
        key=secrets["s3.access-key-id"],
        secret=secrets["s3.secret-access-key"],
        endpoint_url=object_store.s3_endpoint,
    )
    for name, value in (("a", 1.5), ("é", 2.0)):
        with files.open(f"phlo/drop-{ending}/2025-01-15/{name}.{ending}", "wb") as file:
            write(file, ending, events.row(name, value))
    with files.open(f"phlo/drop-{ending}/2025-01-16/b.{ending}", "wb") as file:
        write(file, ending, events.row("b"))

    result = events.load(
        lambda day: filesystem(
            bucket_url=f"s3://phlo/drop-{ending}",
            file_glob=f"{day}/*.{ending}",
            credentials=credentials,
        )
    )

    assert result.success, events.failure(result)
    assert events.values() == {"a": 1.5, "é": 2.0}


def write(file, ending, made):
    if ending == "parquet":
        pq.write_table(pa.Table.from_pylist([made]), file)
    elif ending == "csv":
        lines = [",".join(made), ",".join(map(str, made.values()))]
        file.write("\n".join(lines).encode())
    else:
        file.write(json.dumps(made).encode())
