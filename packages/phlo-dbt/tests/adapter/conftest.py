"""dbt's own conformance suite, ``dbt-tests-adapter``, on tables of phlo's.

Every class of the suite has a dbt project of its own, which dbt runs as at a prompt. The suite
prepares tables and looks at results by SQL of its own: that SQL runs on copies of the Iceberg
tables, and what it changes is written back, as another engine would write it.
"""

import inspect
import itertools
import os
import tomllib
from pathlib import Path

import dbt.tests.util
import duckdb
import pyarrow.dataset as ds
import pytest
from dbt.adapters.duckdb.connections import DuckDBConnectionManager
from dbt.tests.fixtures.project import *  # noqa: F403 - the suite's fixtures
from phlo.config import reset_settings
from phlo.lake import open_lake, reset_lake
from phlo.names import TableName
from phlo.plugins import reset_plugins
from phlo.sql import Identifier, sql
from phlo.values import Replace
from phlo_dbt.adapter import PhloAdapter, PhloConnectionManager
from phlo_dbt.column_metadata import select_list
from phlo_dbt.duckdb_plugin import Plugin
from phlo_dbt.running import current_session

EXPECTED_FAILURES = {
    name: reason
    for reason, group in tomllib.loads(
        Path(__file__).with_name("expected_failures.toml").read_text()
    ).items()
    for name in group["tests"]
}
TABLES = (
    "SELECT table_schema, table_name FROM information_schema.tables WHERE table_catalog = 'lake'"
)
_counter = itertools.count()


@pytest.fixture(autouse=True)
def _isolated():
    """A class shares one project between its tests."""


@pytest.fixture(scope="class")
def project_root(tmpdir_factory):
    folder = tmpdir_factory.mktemp("phlo")
    with pytest.MonkeyPatch.context() as patch:
        for name in [n for n in os.environ if n.startswith("PHLO_")]:
            patch.delenv(name)
        patch.setenv("PHLO_PROJECT_DIR", str(folder))
        work_on_copies(patch)
        forget_project()
        yield folder.ensure("workflows", "transforms", "dbt", dir=True)
        forget_project()


def forget_project():
    reset_settings()
    reset_plugins()
    reset_lake()


@pytest.fixture(scope="class")
def logs_dir(project_root, prefix):
    folder = str(project_root / "logs" / prefix)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DBT_LOG_PATH", folder)
        yield folder


@pytest.fixture(scope="class")
def suite_folder(request):
    """Where the suite keeps the class, and its data beside it."""
    return Path(inspect.getfile(request.cls.__bases__[0])).parent


@pytest.fixture(scope="class")
def test_data_dir(suite_folder):
    return suite_folder / "data"


@pytest.fixture(scope="class")
def project(project_setup, project_files, suite_folder):
    project_setup.test_dir = str(suite_folder)
    return project_setup


def pytest_collection_modifyitems(items):
    """Expect the listed tests to fail: one that passes has to leave the list."""
    for item in items:
        if item.path.parent != Path(__file__).parent:
            continue
        suite_class = getattr(item.cls, "suite_class", item.cls)
        names = (suite_class.__name__, f"{suite_class.__name__}::{item.name}")
        reason = next((EXPECTED_FAILURES[n] for n in names if n in EXPECTED_FAILURES), None)
        if reason is not None:
            item.add_marker(pytest.mark.xfail(reason=reason, strict=True))


@pytest.fixture(scope="class")
def dbt_profile_target():
    return {"type": "phlo", "threads": 2}


class Copies:
    """Copies of the project's tables, which the suite's own SQL reads and changes."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self.connection, self.store, self.engine = connection, open_lake().store, open_lake().engine
        connection.execute('CREATE OR REPLACE MACRO "current_timestamp"() AS now()')
        for table in self.store.list_tables():
            schema = Identifier(table.namespace)
            connection.execute(sql("CREATE SCHEMA IF NOT EXISTS {s}", s=schema))
            rows = self.engine.query(f'SELECT * FROM "{table.namespace}"."{table.name}"').read_all()
            connection.register("phlo_rows", rows)
            connection.execute(sql("CREATE TABLE {t} AS SELECT * FROM phlo_rows", t=table))
            connection.unregister("phlo_rows")
        self.written = self.read()

    def read(self):
        names = [TableName(*row) for row in self.connection.execute(TABLES).fetchall()]
        return {name: self._rows(name) for name in names if name.namespace != "main"}

    def _rows(self, name):
        columns = select_list(self.connection, sql("{t}", t=name))
        if not columns:  # the suite drops a column to make dbt's next run fail
            return None
        query = sql("SELECT {c} FROM {t}", c=columns, t=name)
        return self.connection.sql(str(query)).to_arrow_table()

    def write_back(self):
        """Make the project's tables what the copies have become."""
        now = self.read()
        for name in self.written.keys() - now.keys():
            self.store.drop(name)
        for name, rows in now.items():
            if name not in self.written or not rows.equals(self.written[name]):
                staged = self.store.stage(
                    name,
                    ds.dataset(rows),
                    Replace(compares_metadata=True),
                    schema=rows.schema,
                    on_schema_change="sync",
                )
                self.store.publish([staged])
        self.written = now


_copies: list[Copies] = []
_open, _configure = PhloConnectionManager.open.__func__, Plugin.configure_connection
_run_sql, _execute = PhloAdapter.run_sql_for_tests, PhloAdapter.execute


def open_copies(cls, connection):
    """Open what the suite's own SQL works on, where no command of dbt is in progress."""
    if current_session() is None:
        if DuckDBConnectionManager._ENV is None:
            folder = Path(os.environ["PHLO_PROJECT_DIR"], "copies", str(next(_counter)))
            folder.mkdir(parents=True)
            cls.copies_path = str(folder / "lake.duckdb")
        connection.credentials.path = cls.copies_path
        return DuckDBConnectionManager.open.__func__(cls, connection)
    return _open(cls, connection)


def configure(self, connection):
    if current_session() is None:
        _copies[:] = [Copies(connection.cursor())]
    _configure(self, connection)


def run_sql(self, statement, fetch, connection):
    result = _run_sql(self, statement, fetch, connection)
    if _copies and current_session() is None and not fetch:
        _copies[0].write_back()
    return result


def execute(self, statement, auto_begin=False, fetch=False, **options):
    result = _execute(self, statement, auto_begin=auto_begin, fetch=fetch, **options)
    if _copies and current_session() is None and not fetch:
        self.connections.commit_if_has_connection()
        _copies[0].write_back()
    return result


def work_on_copies(patch: pytest.MonkeyPatch) -> None:
    """Let SQL that no command of dbt runs work on copies of the tables."""
    patch.setattr(PhloConnectionManager, "open", classmethod(open_copies))
    patch.setattr(Plugin, "configure_connection", configure)
    patch.setattr(PhloAdapter, "run_sql_for_tests", run_sql)
    patch.setattr(PhloAdapter, "execute", execute)


_check_relation_types = dbt.tests.util.check_relation_types


def check_relation_types(adapter, expected):
    """A view is a table in Iceberg."""
    _check_relation_types(adapter, dict.fromkeys(expected, "table"))


dbt.tests.util.check_relation_types = check_relation_types  # before the classes take it
