"""The likely mistakes of a new project: what each says, its exit code, and that nothing is retried.

One project is shared: a mistake is written into it, one command is run, and it is taken out again.
"""

import json
import shlex
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from phlo_testing.processes import own_environment

pytestmark = pytest.mark.xdist_group("mistakes")  # they share one project

HEAD = """
import os
import pandera.pandas as pa
from dlt.sources.filesystem import filesystem
from dlt.sources.rest_api import rest_api_source
from phlo.schemas import PhloSchema
from phlo_dlt import phlo_ingestion, read_files


class Rows(PhloSchema):
    id: str = pa.Field(unique=True)
    value: float = pa.Field(ge=0)
"""


def source(body, *, arguments="", key="id", head=HEAD):
    """A workflow file whose one function loads `bronze.wrong`."""
    return f"""{head}

@phlo_ingestion(
    table_name="wrong", unique_key="{key}", validation_schema=Rows, group="shop",
    partitions=None, {arguments}
)
def wrong():
    {body}
"""


def api(path, selector="items"):
    return source(f"""return rest_api_source({{
        "client": {{"base_url": os.environ["API"], "paginator": "single_page"}},
        "resources": [{{"name": "wrong", "endpoint": {{
            "path": "{path}", "data_selector": "{selector}"}}}}],
    }})""")


@dataclass(frozen=True)
class Mistake:
    """What is written into the project, what is typed, and what has to be answered."""

    command: str
    says: tuple[str, ...]
    code: int = 1
    files: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)


def load(text, *says, code=1, files=None):
    named = {"workflows/ingestion/shop/wrong.py": text} | (files or {})
    return Mistake("materialize wrong", says, code, named)


QUICK = {
    "a command that is none": Mistake("materialise orders", ("Did you mean materialize?",), 2),
    "a table that is none": Mistake(
        "query 'SELECT * FROM bronze.ordrs'", ("bronze.ordrs", "bronze.orders"), 2
    ),
    "an asset that is none": Mistake("materialize ordrs", ("'ordrs'", "orders"), 2),
    "a folder that is no project": Mistake(
        "status", ("is no phlo project", "phlo init"), environment={"PHLO_PROJECT_DIR": "/tmp"}
    ),
    "an argument that is none": load(source("return []", arguments="grup='x',"), "grup", "group"),
}
SLOW = {
    "a day that is none": Mistake("materialize orders --partition 2025-13-01", ("2025-13-01",), 2),
    "an end before the start": Mistake(
        "backfill orders --start-date 2025-02-01 --end-date 2025-01-01",
        ("before it starts", "--start-date 2025-01-01"),
        2,
    ),
    "a column that is none, asked for": Mistake(
        "query 'SELECT amont FROM bronze.orders'", ("amont", "amount"), 2
    ),
    "a query that writes": Mistake("query 'DELETE FROM bronze.orders'", ("SELECT",), 2),
    "a module that is not installed": load(
        "import nothing_like_that\n", "workflows/ingestion/shop/wrong.py", "nothing_like_that"
    ),
    "a syntax error": load("def wrong(:\n", "wrong.py", "line 1"),
    "a key that is no column": load(source("return []", key="idd"), "'idd'", "'id'"),
    "a name that was not imported": load(
        source("return requests.get('x')"), "requests", "wrong.py"
    ),
    "a variable that is not set": load(
        source("return os.environ['TOKEN']"), "Hint: Set TOKEN in the environment or in .env."
    ),
    "a table that is not loaded yet": Mistake(
        "query 'SELECT * FROM bronze.wrong'",
        ("bronze.wrong has no load yet.", "Hint: phlo materialize wrong"),
        2,
        {"workflows/ingestion/shop/wrong.py": source("return []")},
    ),
    "a table that is not loaded yet, to judge": Mistake(
        "check bronze.wrong",
        ("bronze.wrong has no load yet.", "Hint: phlo materialize wrong"),
        2,
        {
            "workflows/ingestion/shop/wrong.py": source("return []")
            + "\n\nfrom phlo_quality import CountCheck, phlo_quality\n\n\n"
            + "@phlo_quality(table='bronze.wrong', checks=[CountCheck(min_count=1)])\n"
            + "def wrong_quality(): ...\n"
        },
    ),
    "an API that refuses": load(api("private"), "401", "/private"),
    "an address that is wrong": load(api("nowhere"), "404", "/nowhere"),
    "a login page": load(api("login"), "/login (status 200", "begins with '<html>Please log in"),
    "a selector that matches nothing": load(api("items", "itemz"), "itemz", code=0),
    "a folder that is not there": load(
        source("return filesystem(bucket_url='datta', file_glob='*.csv') | read_files()"), "datta"
    ),
    "files that are not there": load(
        source("return filesystem(bucket_url='data', file_glob='n*.csv') | read_files()"),
        "n*.csv",
        code=0,
        files={"data/a.csv": "id,value\na,1\n"},
    ),
    "another delimiter": load(
        source("return filesystem(bucket_url='data', file_glob='*.csv') | read_files()"),
        "delimiter",
        files={"data/a.csv": "id;value\na;1\n"},
    ),
    "a column of another name": load(
        source("return [{'id': 'a', 'val': 1.0}]"), "'val'", "value: missing from the source"
    ),
    "a value that breaks the contract": load(
        source("return [{'id': 'a', 'value': -1.0}]"), "value", "-1.0", "quarantine"
    ),
    "a check over no column": load(
        source("return [{'id': 'a', 'value': 1.0}]")
        + """

from phlo_quality import RangeCheck, phlo_quality


@phlo_quality(table="bronze.wrong", checks=[RangeCheck(column="valeu", min_value=0)])
def wrong_quality(): ...
""",
        "valeu",
        "value",
    ),
}
MISTAKES = [pytest.param(mistake, id=name.replace(" ", "-")) for name, mistake in QUICK.items()]
MISTAKES += [
    pytest.param(mistake, id=name.replace(" ", "-"), marks=pytest.mark.slow)
    for name, mistake in SLOW.items()
]


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.paths.append(self.path)
        answers = {
            "/private": (401, {"error": "token"}),
            "/items": (200, {"items": [{"id": "a", "value": 1.0}]}),
            "/login": (200, "<html>Please log in</html>"),
        }
        status, content = answers.get(self.path, (404, {"error": "not found"}))
        body = content if isinstance(content, str) else json.dumps(content)
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_): ...


@pytest.fixture(scope="module")
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.paths = []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mistakes")
    assert phlo(folder, "init", "shop").returncode == 0
    shop = folder / "shop"
    assert phlo(shop, "materialize", "orders", "--partition", "2025-01-15").returncode == 0
    return shop


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_at_once_with_its_cure(project, server, mistake):
    written = {project / name: text for name, text in mistake.files.items()}
    for file, text in written.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    server.paths.clear()
    api_address = {"API": f"http://127.0.0.1:{server.server_port}/"}
    try:
        done = phlo(project, *shlex.split(mistake.command), **api_address | mistake.environment)
    finally:
        for file in written:
            file.unlink()
    told = done.stdout + done.stderr
    assert done.returncode == mistake.code, told
    assert [text for text in mistake.says if text not in told] == [], told
    assert "Traceback" not in told
    assert "trying again" not in told
    assert len(server.paths) <= 1, server.paths


def phlo(folder, *arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "phlo_cli", *arguments],
        cwd=folder,
        env=own_environment(**environment),
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
