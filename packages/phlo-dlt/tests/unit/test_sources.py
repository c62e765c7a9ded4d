"""The guide's sources: REST APIs, files, SQL, own resources."""

import gzip
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import dlt
import pandas as pd
import pyarrow.parquet as pq
import pytest
import requests
import sqlalchemy
from dlt.sources.filesystem import filesystem, read_csv
from dlt.sources.rest_api import rest_api


@pytest.fixture
def api():
    """The address of an API that answers ``/events?date=...`` with two events."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            day = self.path.partition("date=")[2]
            rows = [{"id": k, "timestamp": f"{day}T10:00:00Z", "value": 1} for k in ("a", "b")]
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(rows).encode())

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def api_config(address: str, day: str) -> dict:
    return {
        "client": {"base_url": address},
        "resources": [
            {
                "name": "events",
                "endpoint": {"path": "events", "params": {"date": day}},
                "write_disposition": "replace",
            }
        ],
    }


def test_rest_api_takes_the_guides_one_dict(events, api):
    events.declare()

    result = events.load(lambda day: rest_api(api_config(api, day)))

    assert result.success
    assert [str(r["timestamp"].date()) for r in events.rows()] == ["2025-01-15", "2025-01-15"]


def test_rest_api_still_takes_dlts_own_arguments(events, api):
    events.declare()

    assert events.load(lambda day: rest_api(**api_config(api, day))).success

    assert events.values() == {"a": 1.0, "b": 1.0}


CSV = 'id,timestamp,value,note\na,2025-01-15T10:00:00Z,1.5,\nb,2025-01-15,NA,"x, y"\n'


def test_listed_csv_files_are_read_as_rows_by_file(events, tmp_path):
    events.declare(invalid_rows="quarantine")
    (tmp_path / "one.csv").write_text(CSV.replace("NA", "2"))
    (tmp_path / "two.csv.gz").write_bytes(gzip.compress(b"id,timestamp,value\nc,2025-01-15,many\n"))
    (tmp_path / "zero.csv").write_text("id,timestamp,value\n")

    result = events.load(lambda _: filesystem(bucket_url=tmp_path.as_uri(), file_glob="*"))

    assert result.success
    assert {r["id"]: (r["value"], r["note"]) for r in events.rows()} == {
        "a": (1.5, None),
        "b": (2.0, "x, y"),
    }
    (broken,) = events.quarantined()
    assert broken["rules"] == '["value: cannot be cast to double (no number)"]'


def test_an_empty_field_of_a_csv_file_is_null_in_a_required_column(events, tmp_path):
    events.declare()
    (tmp_path / "one.csv").write_text(CSV)

    result = events.load(lambda _: filesystem(bucket_url=tmp_path.as_uri(), file_glob="*.csv"))

    assert "id='b' breaks value: not_nullable" in events.failure(result).description


def test_listed_json_lines_and_parquet_files_are_read_as_rows(events, tmp_path):
    events.declare()
    (tmp_path / "one.jsonl").write_text(json.dumps(events.row("a")) + "\n\n")
    pq.write_table(
        pq.read_table(_parquet(tmp_path / "x", [events.row("b")])), tmp_path / "two.parquet"
    )

    assert events.load(lambda _: filesystem(tmp_path.as_uri(), file_glob="*.*")).success

    assert sorted(events.values()) == ["a", "b"]


def _parquet(path, rows):
    pd.DataFrame(rows).to_parquet(path)
    return path


def test_a_file_of_unknown_kind_is_an_error_that_names_it(events, tmp_path):
    events.declare()
    (tmp_path / "notes.docx").write_text("?")

    result = events.load(lambda _: filesystem(tmp_path.as_uri(), file_glob="*"))

    assert "'notes.docx'" in events.failure(result).description


def test_dlts_own_readers_work_as_in_dlt(events, tmp_path):
    events.declare()
    (tmp_path / "one.csv").write_text("id,timestamp,value\na,2025-01-15,1.5\n")

    result = events.load(lambda _: filesystem(tmp_path.as_uri(), file_glob="*.csv") | read_csv())

    assert result.success
    assert events.values() == {"a": 1.5}


def test_the_guides_sql_source_works_with_nulls(events, tmp_path):
    events.declare()
    engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path}/x.db")
    frame = pd.DataFrame([events.row("a", note="n"), events.row("b", note=None)])
    frame.to_sql("events", engine, index=False)

    def source(_):
        @dlt.resource
        def query():
            return pd.read_sql("SELECT * FROM events", engine).to_dict("records")

        return query

    result = events.load(source)
    engine.dispose()

    assert result.success
    assert [r["note"] for r in events.rows()] == ["n", None]


def test_the_guides_own_source_works(events):
    events.declare()

    @dlt.source
    def my_source(start_date: str):
        @dlt.resource(write_disposition="append")
        def events_of_day():
            for key in ("a", "b"):
                yield events.row(key, timestamp=f"{start_date}T00:00:00Z")

        return events_of_day

    assert events.load(lambda day: my_source(start_date=day)).success

    assert sorted(events.values()) == ["a", "b"]


def test_a_transformer_is_loaded_with_its_parent(events):
    events.declare()

    @dlt.resource(name="ids")
    def ids():
        yield ["a", "b"]

    @dlt.transformer(name="events")
    def details(keys):
        for key in keys:
            yield events.row(key)

    assert events.load(lambda _: ids | details).success

    assert sorted(events.values()) == ["a", "b"]


def test_a_failing_source_is_named_with_its_cause(events):
    events.declare()

    def rows():
        yield events.row("a")
        raise ConnectionError("the line is down")

    error = events.load(lambda _: rows()).failure_data_for_node("dlt_events").error.cause

    assert "The source of 'events' failed: ConnectionError: the line is down" in error.message
    assert "the line is down" in error.cause.to_string()


def test_secrets_in_the_address_of_a_failing_source_are_not_told(events):
    events.declare()

    def rows():
        yield events.row("a")
        raise ConnectionError("reset by https://me:hush@host/events?api_key=hush&day=1")

    error = events.load(lambda _: rows()).failure_data_for_node("dlt_events").error.cause

    assert "https://***@host/events?api_key=***&day=1" in error.message
    assert "hush" not in error.to_string()


def test_a_failing_source_is_tried_again(events):
    events.declare(max_retries=2, retry_delay_seconds=0)
    answers = iter([ConnectionError("down"), [events.row("a")]])

    def source(_):
        answer = next(answers)
        if isinstance(answer, ConnectionError):
            raise answer
        return answer

    assert events.load(source).success

    assert events.values() == {"a": 1.0}


def gone(status):
    response = requests.Response()
    response.status_code = status
    return requests.HTTPError(f"{status} for https://me:hush@host/events", response=response)


@pytest.mark.parametrize(
    ("error", "attempts"),
    [(NameError("pd"), 1), (KeyError("TOKEN"), 1), (gone(401), 1), (gone(404), 1), (gone(503), 3)],
    ids=["typo", "no variable", "401", "404", "503"],
)
@pytest.mark.parametrize("where", ["in the function", "in its generator"])
def test_only_what_may_pass_is_tried_again(events, error, attempts, where):
    events.declare(max_retries=2, retry_delay_seconds=0)
    seen = []

    def rows():
        seen.append(1)
        raise error
        yield

    result = events.load(lambda _: list(rows()) if where == "in the function" else rows())

    assert len(seen) == attempts
    assert not result.success
    assert "hush" not in result.failure_data_for_node("dlt_events").error.to_string()


MISTAKEN = """
    from phlo_dlt import phlo_ingestion
    from workflows.schemas.api import EventSchema

    @phlo_ingestion(
        table_name="events", unique_key="id", validation_schema=EventSchema, group="api", ARGUMENTS
    )
    def api_events(partition_date):
        return [{"id": row_id}]
"""


def test_a_mistake_in_the_function_is_told_with_its_line(events):
    events.declare(ingestion=MISTAKEN, max_retries=1, retry_delay_seconds=60)

    failure = events.failure(events.load([]))

    assert "The source of 'events' failed: NameError: name 'row_id'" in failure.description
    assert "workflows/ingestion/api/events.py:8)" in failure.description
    assert failure.metadata["error"].value == "BrokenSourceError"
