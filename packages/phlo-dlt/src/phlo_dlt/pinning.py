"""Which other tables an audit relied on, so that its load lands only while they stand.

A load whose rows all had their partner must not land after the partner went.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import pyarrow as pa
    import pyarrow.dataset as ds
    from phlo.lake import Lake
    from phlo.names import TableName
    from phlo.protocols import Staged


class PinningEngine:
    """A query engine that reads every other table at one snapshot, and notes which.

    A table is pinned to its head when it is first read, so that what is noted is what was read,
    by all queries alike. A table without a snapshot has nothing to pin to; it is noted as such.
    What is read at a stage, a branch or a snapshot of the caller's own choice is left alone.

    Tables that a check reads by other ways, such as :func:`phlo.lake.query`, are not seen.

    Args:
        lake: Answers the queries.
        own: The table judged; its commit asserts its own head.

    Attributes:
        reads: Snapshots read, by table.
    """

    def __init__(self, lake: Lake, own: TableName) -> None:
        self._store, self._engine, self._own = lake.store, lake.engine, own
        self.reads: dict[TableName, int | None] = {}

    @property
    def dialect(self) -> str:
        """The engine's own dialect."""
        return self._engine.dialect

    def query(
        self,
        sql: str,
        *,
        at: Mapping[TableName, Staged | str] | None = None,
        relations: Mapping[str, ds.Dataset] | None = None,
        parameters: Sequence[Any] | None = None,
    ) -> pa.RecordBatchReader:
        """Run one SELECT (see :class:`phlo.protocols.QueryEngine`)."""
        chosen = dict(at or {})
        others = self.tables(sql, relations=relations or ()) - chosen.keys() - {self._own}
        pins = {table: pin for table in others if (pin := self._pin(table)) is not None}
        return self._engine.query(sql, at=pins | chosen, relations=relations, parameters=parameters)

    def columns(self, table: TableName, *, at: Staged | str | None = None) -> pa.Schema:
        """Names and types of a table's columns, in order."""
        return self._engine.columns(table, at=at)

    def tables(self, sql: str, *, relations: Iterable[str] = ()) -> set[TableName]:
        """The tables that a SELECT reads."""
        return self._engine.tables(sql, relations=relations)

    def _pin(self, table: TableName) -> str | None:
        if table not in self.reads:
            self.reads[table] = self._store.load(table).snapshot_id
        snapshot_id = self.reads[table]
        return None if snapshot_id is None else str(snapshot_id)
