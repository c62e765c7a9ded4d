"""What branches cost by table: requests to the object store, and statements to the catalog.

A lake of a thousand tables is branched in seconds only if each table costs few of both.
"""

import uuid
from collections import Counter

import pyarrow as pa
import pytest
from phlo_iceberg.store import IcebergStore
from phlo_testing.proxy import faulty_proxy
from pyiceberg.catalog import load_catalog
from sqlalchemy import event

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("servers")]

ROWS = pa.table({"id": ["a"], "value": [1]})


@pytest.fixture
def proxy(object_store):
    with faulty_proxy(object_store.s3_endpoint) as proxy:
        yield proxy


def costs(proxy, properties, folder, table_count):
    """Count the requests and statements of each step, all tables changed on the branch."""
    folder.mkdir()
    catalog = load_catalog(
        "lake",
        **properties,
        type="sql",
        uri=f"sqlite:///{folder}/catalog.db",
        warehouse=f"s3://phlo/{uuid.uuid4()}",
    )
    store, statements = IcebergStore(catalog), Counter()
    catalog.create_namespace("bronze")
    for number in range(table_count):
        catalog.create_table(f"bronze.t{number}", ROWS.schema).append(ROWS)
    store.create_branch("warm")

    def count(connection, cursor, statement, *_):
        statements[statement.split()[0]] += 1

    event.listen(catalog.engine, "before_cursor_execute", count)
    counted = {}

    def counting(step, call):
        statements.clear()
        proxy.reset(None)
        call()
        methods = Counter(request.split()[0] for request in proxy.requests)
        counted[step] = methods + Counter({f"sql {k}": n for k, n in statements.items()})

    counting("create", lambda: store.create_branch("dev"))
    dev = store.on_branch("dev").catalog
    for number in range(table_count):
        dev.load_table(f"bronze.t{number}").append(ROWS)
    counting("diff", lambda: store.diff("dev"))
    counting("publish", lambda: store.publish_branch("dev"))
    counting("delete", lambda: store.delete_branch("dev"))
    event.remove(catalog.engine, "before_cursor_execute", count)
    catalog.engine.dispose()
    return counted


@pytest.mark.slow
def test_each_table_costs_few_requests_and_statements(proxy, object_store, tmp_path):
    properties = object_store.s3_properties | {"s3.endpoint": proxy.url}
    few, more = (costs(proxy, properties, tmp_path / str(n), n) for n in (2, 6))
    by_table = {
        step: {what: (more[step][what] - few[step][what]) / 4 for what in more[step]}
        for step in more
    }
    assert {s: {w: n for w, n in what.items() if n} for s, what in by_table.items()} == {
        # Arrow asks for a file's size, and writes in parts: begin, part, end.
        "create": {"HEAD": 2, "GET": 2, "POST": 2, "PUT": 1},
        "diff": {"HEAD": 2, "GET": 2},
        "publish": {"HEAD": 3, "GET": 3, "POST": 2, "PUT": 1}
        | {f"sql {what}": 1 for what in ("SELECT", "UPDATE", "DELETE", "INSERT")},
        # It keeps the folder alive by an empty object.
        "delete": {"HEAD": 1, "DELETE": 1, "PUT": 1},
    }
