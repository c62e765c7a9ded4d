"""The project of the developer guide, run as its reader would, beside a server for its API."""

import json
import sqlite3
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from pyiceberg.catalog import load_catalog

sys.path.insert(0, str(Path(__file__).parent))  # tests are imported without a package

from walkthrough import FILE, STEP, Walk

PAGE = Path(__file__).parents[2] / "docs/guide/developer-guide.md"
DAY, NEXT = "2025-01-15", "2025-01-16"
READINGS = [("a", 6, 10.0, "indoor"), ("b", 7, None, "indoor"), ("c", 8, 99.5, "outdoor")]
CLEANED = [("a", 10.0, "INDOOR"), ("c", 99.5, "OUTDOOR")]
pytestmark = pytest.mark.slow  # a dozen commands


def events_of(day: str) -> list[dict]:
    return [
        {
            "id": f"{day}/{key}",
            "timestamp": f"{day}T{hour:02}:00:00Z",
            "value": value,
            "category": c,
        }
        for key, hour, value, c in READINGS
    ]


@pytest.fixture
def api():
    """Serve the events of the day that is asked for, and note the words of each request."""
    requests = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            requests.append((self.path, self.headers["Authorization"]))
            day = self.path.partition("date=")[2][:10]
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(events_of(day)).encode())

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", requests
    server.shutdown()
    server.server_close()


@pytest.fixture
def project(tmp_path, monkeypatch, api):
    """Write the page's files, with these addresses, and what its sources read."""
    reader = Walk(tmp_path, tmp_path / "events")
    reader.write("pyproject.toml", '[project]\nname = "events"\n')
    for step in STEP.finditer(PAGE.read_text()):
        if file := FILE.match(step["text"] or ""):
            text = step["text"].replace("https://api.example.com", api[0])
            reader.write(file[1], text.replace("s3://bucket", str(reader.folder)))
    lines = [
        f"{e['id']},{e['timestamp']},{e['value'] or ''},{e['category']}" for e in events_of(DAY)
    ]
    reader.write(f"data/{DAY}/a.csv", "\n".join(["id,timestamp,value,category", *lines]))
    database = reader.folder / "source.db"
    with sqlite3.connect(database) as connection:
        connection.execute("CREATE TABLE events (id, timestamp, value, category, date)")
        rows = [(*event.values(), DAY) for event in events_of(DAY)]
        connection.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?)", rows)
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{database}")
    monkeypatch.setenv("API_TOKEN", "token-of-the-guide")
    monkeypatch.setenv("PHLO_START_DATE", "2025-01-01")
    yield reader
    reader.execute("phlo postgres stop")


def rows(reader, table, *columns):
    """Read a table by pyiceberg alone, sorted."""
    state = reader.folder / ".phlo"
    uri, warehouse = f"sqlite:///{state / 'catalog.db'}", f"file://{state / 'warehouse'}"
    catalog = load_catalog("lake", type="sql", uri=uri, warehouse=warehouse)
    arrow = catalog.load_table(table).scan(selected_fields=columns).to_arrow()
    catalog.engine.dispose()
    return sorted(tuple(row[name] for name in columns) for row in arrow.to_pylist())


def test_the_developer_guide_is_a_project_that_works(project, api):
    loads = "events measurements custom_data file_data sql_data logs users conditional_data"
    project.execute(f"phlo materialize {loads} --partition {DAY}")
    project.execute(f"phlo backfill events --start-date {DAY} --end-date {NEXT}")
    project.execute("phlo materialize stg_events+")
    project.execute("phlo materialize publish_daily_aggregates")
    select = "SELECT category, event_count, avg_value FROM marts.daily_aggregates ORDER BY 1, 2"
    project.printed = ""
    project.execute(f'phlo postgres psql -- -At -c "{select}"')

    delivered = [(f"{DAY}/{key}", value, category) for key, _, value, category in READINGS]
    columns = ("id", "value", "category")
    for table in ("measurements", "file_data", "sql_data"):
        assert rows(project, f"bronze.{table}", *columns) == delivered, table
    second = [(key.replace(DAY, NEXT), *rest) for key, *rest in delivered]
    assert rows(project, "bronze.events", *columns) == delivered + second
    cleaned = [(f"{day}/{key}", *rest) for day in (DAY, NEXT) for key, *rest in CLEANED]
    assert rows(project, "silver.events_cleaned", *columns) == cleaned
    assert rows(project, "bronze.custom_data", "id")[:2] == [(f"{DAY}/0",), (f"{DAY}/12",)]
    assert rows(project, "bronze.users", "user_id", "age", "status") == [
        ("u1", 42, "active"),
        ("u2", 33, "pending"),
    ]
    assert project.printed.split() == [
        "INDOOR|1|10",
        "INDOOR|1|10",
        "OUTDOOR|1|99.5",
        "OUTDOOR|1|99.5",
    ]
    assert ("/events?date=2025-01-15&limit=1000", "Bearer token-of-the-guide") in api[1]
