"""What is used of dbt's and dagster-dbt's private parts does what phlo-dbt needs of it."""

import duckdb
import pytest
from dbt.adapters.duckdb.connections import DuckDBConnectionManager
from dbt.adapters.duckdb.environments.local import DuckDBCursorWrapper
from phlo.config import get_settings
from phlo.errors import QueryTimeoutError
from phlo_dbt.dbt_private import connection_lock, copy_manifest, limit_statements
from phlo_dbt.folders import DbtWorkspace
from phlo_dbt.manifest import parse_manifest


def test_copy_manifest_keeps_disabled_nodes_and_leaves_the_original_alone(dbt_project):
    dbt_project.write("models/gold/one.sql", "select 1 as a")
    dbt_project.write("models/gold/off.sql", "{{ config(enabled=false) }} select 1 as a")
    manifest = parse_manifest(DbtWorkspace.of(get_settings()))

    copy = copy_manifest(manifest)
    copy.nodes["model.shop.one"].compiled_code = "written by a run"

    assert list(copy.disabled) == ["model.shop.off"]
    assert copy.flat_graph["nodes"].keys() == {"model.shop.one"}
    assert manifest.nodes["model.shop.one"].compiled_code is None


def test_connection_lock_is_held_while_dbt_duckdb_opens_its_connection():
    assert connection_lock() is DuckDBConnectionManager._LOCK
    with connection_lock(), connection_lock():  # opening a connection takes it once more
        pass


def test_a_statement_of_dbt_is_stopped_when_its_time_is_over(dbt_project):
    cursor = DuckDBCursorWrapper(duckdb.connect())
    endless = "SELECT count(*) FROM range(10_000_000_000) AS a WHERE range = 1.5"
    with limit_statements(0.2):
        with pytest.raises(QueryTimeoutError, match=r"longer than 0\.2 s"):
            cursor.execute(endless)
        assert cursor.execute("SELECT 1").fetchall() == [(1,)]
    assert DuckDBCursorWrapper.execute.__name__ == "execute"
