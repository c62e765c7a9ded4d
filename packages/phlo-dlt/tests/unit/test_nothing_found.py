"""Sources that deliver nothing, or rows for other tables."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import dlt
import pandas as pd
import pyarrow as pa
import pytest
from dlt.sources.filesystem import filesystem, read_csv
from dlt.sources.rest_api import rest_api


@pytest.fixture
def answer():
    """The address of an API, and the answer that it gives to everything."""
    body = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", body
    server.shutdown()
    server.server_close()


TABLES = [("a", "events"), ("b", "issues"), ("c", "Events"), ("d", "pushes"), ("e", "issues")]


def routed(events, *, batched):
    @dlt.resource(name="stream", table_name=lambda row: row["note"])
    def stream():
        rows = [events.row(key, note=table) for key, table in TABLES]
        if batched:
            yield rows
        else:
            yield from rows

    return stream()


@pytest.mark.parametrize("batched", [True, False])
def test_rows_that_a_resource_routes_to_other_tables_are_left_out(events, batched):
    events.declare()

    result = events.load(routed(events, batched=batched))

    assert list(events.values()) == ["a", "c"]
    facts = events.facts(result)
    assert facts["extracted"] == 2
    assert "'issues' (2), 'pushes' (1)" in facts["warnings"][0]


def no_data(result):
    """What is observed of a load that made nothing."""
    assert result.success
    assert result.asset_materializations_for_node("dlt_events") == []
    (event,) = result.get_asset_observation_events()
    metadata = event.asset_observation_data.asset_observation.metadata
    assert metadata["status"].value == "no_data"
    return metadata["warnings"].value


@pytest.mark.parametrize("whole", [pd.DataFrame, pa.table])
def test_a_frame_is_routed_by_one_name_or_refused(events, whole):
    columns = {"timestamp": ["2025-01-15", "2025-01-15"], "value": [1.0, 2.0]}
    rows = whole({"id": ["a", "b"], "note": ["events", "pushes"], **columns})

    def routed(table_of):
        return dlt.resource([rows], name="log", table_name=table_of)

    refused = events.declare().load(lambda _: routed(lambda frame: frame["note"]))
    loaded = events.load(lambda _: routed(lambda frame: "events"))

    assert "names no table for a whole" in events.failure(refused).description
    assert loaded.success
    assert [row["id"] for row in events.rows()] == ["a", "b"]


def test_a_resource_that_routes_no_row_here_is_no_data(events):
    events.declare()

    @dlt.resource(name="stream", table_name=lambda row: "elsewhere")
    def stream():
        yield [events.row("a")]

    told = no_data(events.load(stream()))

    assert told[0] == "The resource routes no row to this table. Nothing was loaded."


@pytest.mark.parametrize("read", [lambda files: files, lambda files: files | read_csv()])
def test_files_that_match_nothing_are_no_data_and_tell_the_address(events, tmp_path, read):
    events.declare(merge_strategy="replace")
    events.load([events.row("a")])

    (told,) = no_data(events.load(read(filesystem(str(tmp_path), file_glob="day=*/*.csv"))))

    assert told == f"No file matches file://{tmp_path}/day=*/*.csv. Nothing was loaded."
    assert events.values() == {"a": 1.0}


@pytest.mark.parametrize("read", [lambda files: files, lambda files: files | read_csv()])
def test_a_folder_that_is_not_there_is_an_error(events, tmp_path, read):
    events.declare(max_retries=1, retry_delay_seconds=60)

    result = events.load(read(filesystem(str(tmp_path / "nowhere"), file_glob="*.csv")))

    assert f"The folder '{tmp_path}/nowhere'" in events.failure(result).description


def test_files_without_rows_are_a_load_like_any_other(events, tmp_path):
    events.declare()
    (tmp_path / "a.csv").write_text("id,timestamp,value\n")

    result = events.load(filesystem(str(tmp_path), file_glob="*.csv"))

    assert events.facts(result)["extracted"] == 0


@pytest.mark.parametrize(
    ("selector", "is_told"),
    [("data.rows", True), ("rows[*]", True), ("meta.empty", False), ("meta.empty[*]", False)],
)
def test_a_selector_that_the_answer_lacks_is_no_data(events, answer, selector, is_told):
    events.declare()
    url, body = answer
    body["meta"] = {"empty": []}
    endpoint = {"path": "events", "params": {"api_key": "hush"}, "data_selector": selector}
    source = rest_api(
        {
            "client": {"base_url": url, "paginator": "single_page"},
            "resources": [{"name": "events", "endpoint": endpoint}],
        }
    )

    result = events.load(source)

    if is_told:
        (told,) = no_data(result)
        assert told == (
            f"The answer of {url}/events?api_key=*** has nothing at data_selector "
            f"{selector!r}. Nothing was loaded."
        )
    else:
        assert events.facts(result)["extracted"] == 0
