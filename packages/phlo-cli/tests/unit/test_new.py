"""`phlo new`: what is written loads, and its test passes."""

import json
import runpy
import threading
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, HTTPServer

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from phlo_cli.samples import read_sample

SEMICOLONS = "id;Größe;paid at;amount;n;ok\n1;klein;2025-01-15;1.50;3;true\n2;groß;;2;;false\n"


@pytest.fixture
def here(phlo_project, monkeypatch):
    monkeypatch.chdir(phlo_project.root)
    return phlo_project


def columns(sample):
    return {c.name: (c.type, c.has_nulls) for c in sample.columns}


def test_a_csv_file_is_read_with_its_delimiter_and_encoding(tmp_path):
    file = tmp_path / "orders.csv"
    file.write_bytes(SEMICOLONS.encode("latin-1"))
    sample = read_sample(str(file))
    assert (sample.delimiter, sample.encoding, sample.key) == (";", "latin-1", ("id",))
    assert columns(sample) == {
        "id": ("int", False),
        "Größe": ("str", False),
        "paid at": ("date", True),
        "amount": ("float", False),
        "n": ("int", True),
        "ok": ("bool", False),
    }


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["007", "008"], "str"),
        (["1", "2.5"], "float"),
        (["1", "x"], "str"),
        (["99999999999999999999"], "str"),
        (["2025-01-15T10:00:00Z", "2025-01-15 10:00:00+02:00"], "datetime"),
        (["NaN", "1.5"], "str"),
        ([""], "str"),
    ],
)
def test_a_column_is_a_number_only_where_no_text_is_lost(tmp_path, values, expected):
    (tmp_path / "a.csv").write_text("id,v\n" + "".join(f"{n},{v}\n" for n, v in enumerate(values)))
    assert columns(read_sample(str(tmp_path / "a.csv")))["v"][0] == expected


def test_rows_of_json_stand_in_a_list_or_below_a_key(tmp_path):
    rows = [{"id": "a", "tags": ["x"], "n": 1}, {"id": "b", "n": None}]
    (tmp_path / "a.json").write_text(json.dumps({"total": 2, "items": rows}))
    sample = read_sample(str(tmp_path / "a.json"))
    assert (sample.selector, sample.key) == ("items", ("id",))
    assert columns(sample) == {"id": ("str", False), "tags": ("list", True), "n": ("int", True)}


def test_a_sample_that_is_nothing_is_told(phlo, here):
    answer = phlo("new", "source", "orders", "--from", "nothing.csv")
    assert (answer.code, "is no file, no address and no table" in answer.err) == (1, True)
    assert not (here.root / "workflows" / "schemas").exists()


def test_a_source_of_a_csv_file_loads_and_its_test_passes(phlo, here):
    """One project: source, check and a second source from its table."""
    here.write("data/orders.csv", "")
    (here.root / "data" / "orders.csv").write_bytes(SEMICOLONS.encode("latin-1"))
    assert phlo("new", "source", "orders", "--from", "data/orders.csv").code == 0
    again = phlo("new", "source", "orders", "--from", "data/orders.csv")
    assert (again.code, "would be written" in again.err) == (1, True)
    tested = phlo("test", "-q", "-p", "no:cacheprovider")
    assert (tested.code, "1 passed" in tested.out) == (0, True)
    run = phlo("materialize", "orders")
    assert run.code == 0, run.out + run.err
    rows = phlo("query", 'SELECT id, "Größe", amount, n, ok FROM bronze.orders', "--json").json
    assert sorted(rows, key=lambda row: row["id"]) == [
        {"id": 1, "Größe": "klein", "amount": 1.5, "n": 3, "ok": True},
        {"id": 2, "Größe": "groß", "amount": 2.0, "n": None, "ok": False},
    ]
    assert phlo("new", "check", "orders").code == 0
    checked = phlo("check", "bronze.orders")
    assert (checked.code, "ok" in checked.out) == (0, True)
    unknown = phlo("new", "check", "ordrs")
    assert (unknown.code, "bronze.orders" in unknown.err) == (2, True)
    assert phlo("new", "source", "copies", "--from", "bronze.orders", "--key", "id").code == 0
    copied = phlo("materialize", "copies")
    assert (copied.code, "2 inserted" in copied.out) == (0, True)
    assert phlo("new", "model", "big_orders", "--from", "orders").code == 0
    properties = here.root / "workflows/transforms/dbt/models/big_orders.yml"
    assert "      - name: id\n        data_tests: [not_null, unique]\n" in properties.read_text()
    assert phlo("new", "mart", "reports", "--from", "bronze.orders").code == 0
    built = phlo("materialize", "big_orders")
    assert built.code == 0, built.out + built.err
    planned = phlo("materialize", "publish_reports", "--dry-run", "--json")
    assert [asset["key"] for asset in planned.json["assets"]] == ["publish_reports"]


def test_values_of_every_kind_keep_the_contract_that_is_written_for_them(phlo, here):
    rows = [
        {"id": 1, "at": "2025-01-15T10:00:00Z", "day": "2025-01-15", "ok": True, "n": 1.5,
         "tags": ["a", 1], "place": {"x": 1}, "some": None, "more": [{"k": 1}], "void": None},
        {"id": 2, "at": "2025-01-16T10:00:00Z", "day": "2025-01-16", "ok": None, "n": 2,
         "tags": [], "place": {}, "some": {"k": [1]}, "more": None, "void": None},
    ]  # fmt: skip
    here.write("events.json", json.dumps(rows))
    assert phlo("new", "source", "events", "--from", "events.json").code == 0
    tested = phlo("test", "-q", "-p", "no:cacheprovider")
    assert (tested.code, "1 passed" in tested.out) == (0, True), tested.out
    run = phlo("materialize", "events")
    assert run.code == 0, run.out + run.err
    query = "SELECT id, tags, some FROM bronze.events ORDER BY id"
    assert [(row["tags"], row["some"]) for row in phlo("query", query, "--json").json] == [
        ('["a",1]', None),
        ("[]", '{"k":[1]}'),
    ]


def test_a_source_without_a_sample_loads_and_its_test_passes(phlo, here):
    assert phlo("new", "source", "events").code == 0
    assert phlo("test", "-q", "-p", "no:cacheprovider").code == 0
    assert "1 inserted" in phlo("materialize", "events").out
    wrong = phlo("test", "--no-such-option")
    assert wrong.code == 2


class Answers(BaseHTTPRequestHandler):
    """Users in two pages, whose next one is linked in the way that the path names."""

    def do_GET(self):
        way, _, query = self.path.strip("/").partition("?")
        is_last = "page=2" in query
        users = [{"userId": 2 if is_last else 1, "at": "2025-01-15T10:00:00Z"}]
        link = None if is_last else f"/{way}?page=2"
        answers = {
            "list": users,
            "total": {"items": users, "total": 2},
            "has_more": {"items": users, "has_more": not is_last},
            "next": {"count": 2, "next": link, "results": users},
            "odata": {"value": users} | ({} if is_last else {"@odata.nextLink": link}),
            "links": {"data": users, "links": {"self": "/links", "next": link}},
            "href": {"data": users, "_links": {"next": {"href": link}}},
            "token": {"data": users, "next": None if is_last else "abc"},
            "header": users,
        }
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        if way == "header" and link:
            self.send_header("Link", f'</header>; rel="first", <{link}>; rel="next"')
        self.end_headers()
        self.wfile.write(json.dumps(answers[way]).encode())

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture(scope="module")
def address():
    server = HTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


PAGINATORS = {
    "list": "single_page",
    "total": "single_page",
    "has_more": "single_page",
    "token": "single_page",
    "next": {"type": "json_link", "next_url_path": "next"},
    "odata": {"type": "json_link", "next_url_path": "'@odata.nextLink'"},
    "links": {"type": "json_link", "next_url_path": "links.next"},
    "href": {"type": "json_link", "next_url_path": "_links.next.href"},
    "header": "header_link",
}


def test_a_source_of_an_address_says_which_pages_it_reads(phlo, here, address):
    for way, paginator in PAGINATORS.items():
        written = phlo("new", "source", f"of_{way}", "--from", f"{address}/{way}?active=true")
        assert written.code == 0, written.err
        code = (here.root / f"workflows/ingestion/sources/of_{way}.py").read_text()
        assert f'"paginator": {json.dumps(paginator)},  # ' in code
        is_single = paginator == "single_page"
        assert ("load-an-api-with-pages" in written.out) == is_single
        rows = read_ids(here.root, way)
        assert rows == ([1] if is_single else [1, 2]), way


def read_ids(root, way):
    """Call a written function for its rows."""
    path = root / f"workflows/ingestion/sources/of_{way}.py"
    (source,) = [runpy.run_path(str(path))[f"of_{way}"]().resources[f"of_{way}"]]
    return [row["userId"] for row in source]


def test_a_source_of_an_address_loads(phlo, here, address):
    assert phlo("new", "source", "users", "--from", f"{address}/next", "--group", "api").code == 0
    run = phlo("materialize", "users")
    assert run.code == 0, run.out + run.err
    rows = phlo("query", "SELECT * FROM bronze.users", "--json").json
    assert sorted(row["userId"] for row in rows) == [1, 2]


READINGS = "meter;day;kwh\nA;2025-01-01;1.5\nA;2025-01-02;2.5\nB;2025-01-01;3.5\n"


@pytest.mark.parametrize("keys", [("--key", "meter", "--key", "day"), ()])
def test_columns_that_are_a_key_together_keep_every_row(phlo, here, keys):
    here.write("data/readings.csv", READINGS)
    written = phlo("new", "source", "readings", "--from", "data/readings.csv", *keys)
    assert (written.code, "do together" in written.out) == (0, not keys)
    code = (here.root / "workflows/ingestion/sources/readings.py").read_text()
    assert 'unique_key=["meter", "day"],' in code
    assert "unique" not in (here.root / "workflows/schemas/readings.py").read_text()
    if keys:
        assert "3 inserted" in phlo("materialize", "readings").out


@pytest.mark.parametrize(
    ("rows", "keys", "told"),
    [
        (READINGS, ["meter"], "meter='A'"),
        (READINGS, ["meter", "day", "nothing"], "'nothing' is none of meter, day, kwh"),
        (READINGS + READINGS[-17:], ["day", "meter"], "day='2025-01-01', meter='B'"),
        ("meter;day\nA;1\nB;\n", ["meter", "day"], "no value in 'day'"),
    ],
)
def test_a_key_that_does_not_tell_rows_apart_is_refused(phlo, here, rows, keys, told):
    here.write("data/readings.csv", rows)
    options = [word for key in keys for word in ("--key", key)]
    answer = phlo("new", "source", "readings", "--from", "data/readings.csv", *options)
    assert (answer.code, told in answer.err) == (2, True), answer.err
    assert not (here.root / "workflows" / "schemas").exists()


def test_rows_that_no_columns_tell_apart_are_told(phlo, here):
    here.write("data/readings.csv", READINGS + READINGS[-17:])
    written = phlo("new", "source", "readings", "--from", "data/readings.csv")
    assert (written.code, "several have meter='A'" in written.out) == (0, True)
    assert "unique" not in (here.root / "workflows/schemas/readings.py").read_text()


def test_a_key_without_a_sample_is_refused(phlo, here):
    answer = phlo("new", "source", "readings", "--key", "meter")
    assert (answer.code, "add --from SAMPLE" in answer.err) == (2, True)


def test_decimals_of_a_sample_keep_the_digits_after_the_point(phlo, here):
    amounts = [Decimal("1.500"), None, Decimal("-7.25")]
    (here.root / "data").mkdir()
    pq.write_table(pa.table({"id": [1, 2, 3], "amount": amounts}), here.root / "data/a.parquet")
    assert phlo("new", "source", "amounts", "--from", "data/a.parquet").code == 0
    tested = phlo("test", "-q", "-p", "no:cacheprovider")
    assert (tested.code, "1 passed" in tested.out) == (0, True), tested.out
    run = phlo("materialize", "amounts")
    assert "3 inserted" in run.out, run.out
    rows = phlo("query", "SELECT amount FROM bronze.amounts ORDER BY id", "--json").json
    assert [row["amount"] for row in rows] == ["1.500", None, "-7.250"]


def test_a_day_can_be_the_key_of_a_sample(tmp_path):
    file = tmp_path / "weather.csv"
    file.write_text("day;rain_mm\n2025-01-15;1,5\n2025-01-16;0\n")
    assert read_sample(str(file)).key == ("day",)


@pytest.mark.parametrize(
    ("select", "selected"),
    [("daily", ["daily"]), ("daily+", ["after_daily", "daily"]), ("whole+", ["whole"])],
)
def test_a_schedule_runs_its_selection_every_day(phlo, here, select, selected):
    here.write(
        "workflows/assets.py",
        """
        import dagster as dg

        @dg.asset(partitions_def=dg.DailyPartitionsDefinition("2025-01-01"))
        def daily(): ...

        @dg.asset(deps=[daily])
        def after_daily(): ...

        @dg.asset
        def whole(): ...
        """,
    )
    assert phlo("new", "schedule", "nightly", "--select", select, "--at", "03:30").code == 0
    repository = here.definitions().get_repository_def()
    (schedule,) = [one for one in repository.schedule_defs if "nightly" in one.job_name]
    assert (schedule.cron_schedule, schedule.default_status.value) == ("30 3 * * *", "RUNNING")
    job = repository.get_job("nightly")
    assert sorted(key.to_user_string() for key in job.asset_layer.selected_asset_keys) == selected
    assert (job.partitions_def is None) == (select == "whole+")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--select", "dayly"), "Did you mean 'daily'?"),
        (("--select", "daily", "--at", "25:00"), "'25:00' is no time of day such as 06:30."),
        (("--select", "hourly"), "hourly has a partition for each hour"),
    ],
)
def test_a_schedule_of_nothing_is_refused(phlo, here, arguments, told):
    here.write(
        "workflows/assets.py",
        """
        import dagster as dg

        @dg.asset(partitions_def=dg.DailyPartitionsDefinition("2025-01-01"))
        def daily(): ...

        @dg.asset(partitions_def=dg.HourlyPartitionsDefinition("2025-01-01-00:00"))
        def hourly(): ...
        """,
    )
    answer = phlo("new", "schedule", "nightly", *arguments)
    assert (answer.code, told in answer.err) == (2, True)
    assert not (here.root / "workflows" / "schedules").exists()
