"""Suites judged on a real lake: Iceberg tables in a temporary folder, DuckDB reading them."""

import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from phlo.lake import open_lake
from phlo.names import TableName
from phlo.specs import spec_of
from phlo.values import Replace
from phlo_quality import phlo_quality

EVENTS = TableName("bronze", "events")
REPLACE = Replace()


class Lake:
    """The project's lake, with a record of the queries it was asked and the rows they gave."""

    def __init__(self):
        self.store, self._engine = open_lake().store, open_lake().engine
        self.dialect = self._engine.dialect
        self.queries: list[str] = []
        self.fetched_rows = 0

    def stage(self, table, rows, how=REPLACE):
        rows = rows if isinstance(rows, pa.Table) else pa.table(rows)
        return self.store.stage(table, ds.dataset(rows), how, schema=rows.schema)

    def write(self, table, rows, how=REPLACE):
        """Make a table of rows, instead of what it was."""
        if isinstance(how, Replace) and self.store.exists(table):
            self.store.drop(table)
        (published,) = self.store.publish([self.stage(table, rows, how)])
        return published

    def query(self, sql, **options):
        self.queries.append(sql)
        rows = self._engine.query(sql, **options).read_all()
        self.fetched_rows += len(rows)
        return rows.to_reader()

    def columns(self, table, *, at=None):
        return self._engine.columns(table, at=at)

    def tables(self, sql, *, relations=()):
        return self._engine.tables(sql, relations=relations)


@pytest.fixture
def lake(phlo_environment):
    return Lake()


def make_suite(*checks, table="bronze.events", **options):
    """The suite that ``@phlo_quality`` makes of some checks."""

    @phlo_quality(table=table, checks=list(checks), **options)
    def events():
        pass

    return spec_of(events)


@pytest.fixture
def suite_of():
    return make_suite


@pytest.fixture
def judge(lake):
    """Judge rows by checks: ``judge(rows, check, ...)`` gives one result, or a list of them.

    Rows of ``None`` leave the table ``bronze.events`` as it is.
    """

    def judge_rows(rows, *checks, partition=None, at=None, only=None, **options):
        if rows is not None:
            lake.write(EVENTS, rows)
        suite = make_suite(*checks, **options)
        results = suite.evaluate(lake, lake.store, partition=partition, at=at, only=only)
        return results[0] if len(checks) == 1 else results

    return judge_rows
