"""The query engine on Trino."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from phlo.errors import MissingProviderError, QueryError
from phlo.protocols import SqlExaminer

from phlo_trino.errors import TABLE_NAMES
from phlo_trino.merge import BranchMerge
from phlo_trino.statement import write_statement
from phlo_trino.values import type_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    import pyarrow.dataset as ds
    from phlo.names import TableName
    from phlo.protocols import QueryEngine, Staged
    from phlo.values import Merge, ProjectQuery, SqlFinding
    from phlo.work_catalogs import WorkCatalog

    from phlo_trino.server import RunningQuery, TrinoServer

BATCH_ROWS = 10_000


class TrinoEngine:
    """Answers SQL on a Trino whose catalog is the store's.

    What is in this process alone, a stage or rows in memory, is read by the engine of this process.

    Args:
        server: Runs the queries.
        embedded: The engine of this process over the same store.
        lease: Leases a work catalog; ``None`` where nothing is made with this engine.
        audits_loads: Whether blocking checks of loads are to run on Trino.
        merge_rows: Rows from which on loads are to be merged on Trino; ``None`` for never.
    """

    dialect = "trino"

    def __init__(
        self,
        server: TrinoServer,
        embedded: QueryEngine,
        lease: Callable[[], AbstractContextManager[WorkCatalog]] | None = None,
        *,
        audits_loads: bool = False,
        merge_rows: int | None = None,
    ) -> None:
        self._server, self.embedded, self._lease = server, embedded, lease
        self.audits_loads, self._merge_rows = audits_loads, merge_rows

    def lease_work_catalog(self) -> AbstractContextManager[WorkCatalog]:
        """Lease a work catalog (see :class:`phlo.work_catalogs.LeasesWorkCatalogs`)."""
        if self._lease is None:
            raise MissingProviderError("This engine only answers questions; it has no store.")
        return self._lease()

    def query(
        self,
        sql: str,
        *,
        at: Mapping[TableName, Staged | str] | None = None,
        relations: Mapping[str, ds.Dataset] | None = None,
        parameters: Sequence[Any] | None = None,
    ) -> pa.RecordBatchReader:
        """Run one SELECT (see :class:`phlo.protocols.QueryEngine`)."""
        tables = self.tables(sql, relations=relations or ())
        refs = {table: ref for table, ref in (at or {}).items() if table in tables}
        if relations or not all(isinstance(ref, str) for ref in refs.values()):
            return self.embedded.query(sql, at=at, relations=relations, parameters=parameters)
        pinned = {table: ref for table, ref in refs.items() if isinstance(ref, str)}
        return self._run(sql, tables, pinned, parameters)

    def merges(self, row_count: int, compared: Collection[pa.DataType]) -> bool:
        """Return whether a load is to be merged here (see :class:`phlo.work_catalogs.MergesLoads`).

        NaN is a value of a key in the process of the run and none in Trino; nested values do not
        compete in Trino.
        """
        if self._merge_rows is None or row_count < self._merge_rows:
            return False
        return not any(pa.types.is_floating(t) or pa.types.is_nested(t) for t in compared)

    def plan_merge(
        self, table: TableName, how: Merge, *, names: Sequence[str], given: Sequence[str]
    ) -> BranchMerge:
        """Plan a merge (see :class:`phlo.work_catalogs.MergesLoads`)."""
        return BranchMerge(self._server.settings, table, how, names, given)

    def query_with_work_tables(
        self, sql: str, names: Collection[str], parameters: Sequence[Any] | None = None
    ) -> pa.RecordBatchReader:
        """Run one SELECT (see :class:`phlo.work_catalogs.ReadsWorkTables`)."""
        return self._run(sql, self.tables(sql, relations=names), {}, parameters)

    def _run(
        self,
        sql: str,
        tables: Iterable[TableName],
        pinned: Mapping[TableName, str],
        parameters: Sequence[Any] | None,
    ) -> pa.RecordBatchReader:
        try:
            running = self._server.run(write_statement(sql, pinned, parameters))
        except QueryError as error:
            if pinned or error.parts.get("error_name") in TABLE_NAMES:
                self._check_tables(tables, pinned)
            raise
        return _reader(running)

    def columns(self, table: TableName, *, at: Staged | str | None = None) -> pa.Schema:
        """Return the names and types of a table's columns, in order."""
        return self.embedded.columns(table, at=at)

    def tables(self, sql: str, *, relations: Iterable[str] = ()) -> set[TableName]:
        """Return the tables that a SELECT reads (see :class:`phlo.protocols.QueryEngine`)."""
        return self.embedded.tables(sql, relations=relations)

    def examine(self, query: ProjectQuery) -> Sequence[SqlFinding]:
        """List what engines do not answer alike (see :class:`phlo.protocols.SqlExaminer`)."""
        return self.embedded.examine(query) if isinstance(self.embedded, SqlExaminer) else ()

    def _check_tables(self, tables: Iterable[TableName], at: Mapping[TableName, str]) -> None:
        """Raise the store's own error for a table or ref that it does not have either."""
        for table in sorted(tables):
            self.embedded.columns(table, at=at.get(table))


def _reader(running: RunningQuery) -> pa.RecordBatchReader:
    types = [type_of(column["typeSignature"]) for column in running.columns]
    names = [column["name"] for column in running.columns]
    schema = pa.schema(
        [pa.field(name, kind.arrow) for name, kind in zip(names, types, strict=True)]
    )

    def batches() -> Iterator[pa.RecordBatch]:
        rows = running.rows()
        while chunk := list(islice(rows, BATCH_ROWS)):
            columns = zip(*chunk, strict=True)
            arrays = [kind.array(values) for kind, values in zip(types, columns, strict=True)]
            yield pa.RecordBatch.from_arrays(arrays, schema=schema)

    return pa.RecordBatchReader.from_batches(schema, batches())
