"""Read what a load of a branch wrote, and decide how to write it on the source's state."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from phlo.names import PARTITION_DATE_COLUMN
from phlo.sql import Identifier, Sql, partition_predicate, same_values, sql, union_all
from phlo.values import Append, LoadAccount, Merge, Replace

from phlo_iceberg.read.changes import SnapshotChanges
from phlo_iceberg.read.connection import connect, use_object_store
from phlo_iceberg.read.state import TableState, allow_only_files_of
from phlo_iceberg.write.recorded_how import read_how

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import pyarrow.dataset as ds
    from phlo.names import Partition, TableName
    from phlo.values import How

    from phlo_iceberg.branches.metadata import StoredMetadata

_DELETE = "__phlo_delete"
_KEYS, _OTHERS = Identifier("keys"), Identifier("others")
_BATCH_ROWS = 50_000


class ObstacleError(Exception):
    """Loads of a table that both sides changed cannot be written anew; the message says why."""


class SourceChanges:
    """What the source changed in a table since the branch began."""

    def __init__(
        self, table: TableName, source: StoredMetadata, base_snapshot_id: int | None
    ) -> None:
        old, new = (
            TableState(table, source.metadata, source.io, snapshot_id)
            for snapshot_id in (base_snapshot_id, source.metadata.current_snapshot_id)
        )
        if old.snapshot_id and source.metadata.snapshot_by_id(old.snapshot_id) is None:
            raise ObstacleError("the snapshot that both sides began from has expired")
        self._changes = SnapshotChanges(old, new)
        self._keys: dict[tuple[str, ...], pa.Table] = {}

    def keys(self, key: Sequence[str]) -> pa.Table:
        """Read the keys of all rows that came, went or became others."""
        if tuple(key) not in self._keys:
            upserts = _keys_of(self._changes.upserts(key), key)
            deleted = _keys_of(self._changes.deleted_keys(key), key)
            self._keys[tuple(key)] = pa.concat_tables([upserts, deleted.cast(upserts.schema)])
        return self._keys[tuple(key)]

    def changes_known_keys(self, key: Sequence[str], *, but: pa.Table) -> bool:
        """Return whether it changed or deleted a row that was there when the branch began.

        Args:
            key: Columns of the key.
            but: Keys of rows that do not matter.
        """
        if not self.keys(key).num_rows:
            return False
        query = sql(
            "SELECT 1 FROM ({r}) AS o SEMI JOIN {k} AS k ON {same} ANTI JOIN {b} AS b ON {but} "
            "LIMIT 1",
            r=self._removed_rows(key),
            k=_KEYS,
            b=_OTHERS,
            same=same_values("o", "k", key),
            but=same_values("o", "b", key),
        )
        return bool(self._run(query, {"keys": self.keys(key), "others": but}))

    def has_rows_of(self, partition: Partition) -> bool:
        """Return whether it changed a row of a partition; joining its files changes none."""
        changes, is_of = self._changes, partition_predicate(partition)
        columns = [f.name for f in changes.new.schema.fields]
        added, removed = (
            sql("SELECT * FROM ({rows}) AS r WHERE {is_of}", rows=rows, is_of=is_of)
            for rows in (changes.added_rows(columns), self._removed_rows(columns))
        )
        query = sql(
            "(({a}) EXCEPT ALL ({r})) UNION ALL (({r}) EXCEPT ALL ({a})) LIMIT 1",
            a=added,
            r=removed,
        )
        return bool(self._run(query, {}))

    def _removed_rows(self, columns: Sequence[str]) -> Sql:
        changes = self._changes
        return union_all([changes.removed_rows(columns), changes.newly_deleted_rows(columns)])

    def _run(self, query: Sql, relations: Mapping[str, pa.Table]) -> list[tuple]:
        connection = _connect(self._changes.old, self._changes.new)
        with connection:
            for name, rows in relations.items():
                connection.register(name, rows)
            return connection.execute(query).fetchall()


def _connect(*states: TableState) -> duckdb.DuckDBPyConnection:
    connection = connect(to_write=True)
    for state in states:
        use_object_store(connection, state.io, state.metadata.location)
    allow_only_files_of(connection, states)
    return connection


def _keys_of(reader: pa.RecordBatchReader, key: Sequence[str]) -> pa.Table:
    """Read the key's columns alone, batch by batch."""
    schema = pa.schema([reader.schema.field(name) for name in key])
    return pa.Table.from_batches([batch.select(list(key)) for batch in reader], schema)


@dataclass(frozen=True)
class LoadReplay:
    """One load of a branch, to be written onto the source's state.

    Attributes:
        before: The branch's table before the load.
        after: The branch's table after it.
        source: What the source changed meanwhile.
        file: Where its rows are written to.
    """

    before: TableState
    after: TableState
    source: SourceChanges
    file: Path

    @cached_property
    def _changes(self) -> SnapshotChanges:
        return SnapshotChanges(self.before, self.after)

    def rows_and_how(self, summary: Mapping[str, str]) -> tuple[ds.Dataset | None, How, bool]:
        """Read the load's rows, and find out how to write them.

        Args:
            summary: That of the load's snapshot.

        Returns:
            The rows, ``None`` where there are none; how they are written; and whether all that
            the load's account says of its rows stays true.

        Raises:
            ObstacleError: It cannot be known what the load would have done on the source's state.
        """
        recorded = read_how(summary)
        if recorded is None:
            raise ObstacleError("the branch's snapshots do not say how their rows were written")
        how, meets_deleted_keys = recorded
        if isinstance(how, Merge):
            account = LoadAccount.of_summary(summary) or LoadAccount()
            return self._merge(how, account, meets_deleted_keys=meets_deleted_keys)
        if isinstance(how, Append) and how.on_rerun == "append":
            return self._write(self._changes.added_rows(self._columns)), how, True
        return self._replace(how.partition), Replace(how.partition, compares_metadata=True), True

    @property
    def _columns(self) -> list[str]:
        return [f.name for f in self.after.schema.fields]

    def _replace(self, partition: Partition | None) -> ds.Dataset:
        if partition is None or PARTITION_DATE_COLUMN not in self._columns:
            raise ObstacleError("the branch replaced the whole table")
        if self.source.has_rows_of(partition):
            raise ObstacleError(f"both sides changed rows of the partition {partition}")
        rows = sql(
            "SELECT * FROM ({rows}) AS r WHERE {is_of}",
            rows=self.after.relation(self.after.all_tasks),
            is_of=partition_predicate(partition),
        )
        written = self._write(rows)
        assert written is not None
        return written

    def _merge(
        self, how: Merge, account: LoadAccount, *, meets_deleted_keys: bool
    ) -> tuple[ds.Dataset | None, How, bool]:
        upserts = self._write_reader(self._changes.upserts(how.key))
        deleted = self._changes.deleted_keys(how.key).read_all()
        keys = upserts.to_table(columns=list(how.key))
        self._refuse_unseen_rows(how, account, pa.concat_tables([keys, deleted.cast(keys.schema)]))
        if self._meets_source(deleted, how.key):
            raise ObstacleError("the branch deleted rows that the source changed")
        rows = _with_deletes(upserts, deleted)
        if not rows.count_rows():
            return None, how, True
        again = Merge(how.key, delete_column=_DELETE, compares_metadata=True)
        if not self._meets_source(keys, how.key):
            return rows, again, True
        if how.compares_metadata:
            raise ObstacleError("both sides changed the same rows, which a query made")
        if meets_deleted_keys or (how.method == "first" and deleted.num_rows):
            raise ObstacleError("both sides changed the same rows, and one of them deleted rows")
        competing = Merge(
            how.key, how.partition, method=how.method, order_by=how.order_by, delete_column=_DELETE
        )
        return rows, competing, False

    def _refuse_unseen_rows(self, how: Merge, account: LoadAccount, written: pa.Table) -> None:
        """Refuse a load some of whose rows left no trace, where the source may have met these.

        Rows found unchanged or passed over have the key of a stored row that was not written; a
        delete that found nothing may have any key.
        """
        if account.deleted > account.removed and self.source.keys(how.key).num_rows:
            raise ObstacleError("the branch deleted keys that were not there")
        has_unseen = account.unchanged or account.deduplicated
        if has_unseen and self.source.changes_known_keys(how.key, but=written):
            raise ObstacleError("the source changed rows that the branch's loads may have met")

    def _meets_source(self, keys: pa.Table, key: Sequence[str]) -> bool:
        """Return whether the source changed a row of one of these keys."""
        others = self.source.keys(key)
        if not (keys.num_rows and others.num_rows):
            return False
        query = sql(
            "SELECT 1 FROM {k} AS k SEMI JOIN {o} AS o ON {same} LIMIT 1",
            k=_KEYS,
            o=_OTHERS,
            same=same_values("k", "o", key),
        )
        with duckdb.connect() as connection:
            connection.register("keys", keys)
            connection.register("others", others)
            return bool(connection.execute(query).fetchall())

    def _write(self, query: Sql) -> ds.Dataset | None:
        with _connect(self.before, self.after) as connection:
            return self._write_reader(connection.sql(query).to_arrow_reader(_BATCH_ROWS))

    def _write_reader(self, reader: pa.RecordBatchReader) -> ds.Dataset:
        """Write rows to the file, to be scanned as often as needed."""
        import pyarrow.dataset as ds  # heavy: needed to write, not to look

        with pq.ParquetWriter(self.file, reader.schema) as writer:
            for batch in reader:
                writer.write_batch(batch)
        return ds.dataset(self.file)


def _with_deletes(upserts: ds.Dataset, deleted: pa.Table) -> ds.Dataset:
    """Join rows to write and keys to delete; a column tells them apart."""
    import pyarrow.dataset as ds  # heavy: needed to write, not to look

    schema = upserts.schema.append(pa.field(_DELETE, pa.bool_()))
    nulls = {f.name: pa.nulls(deleted.num_rows, f.type) for f in schema}
    flags = pa.array([True] * deleted.num_rows, pa.bool_())
    columns = nulls | {n: deleted[n].cast(schema.field(n).type) for n in deleted.column_names}
    to_delete = pa.table(columns | {_DELETE: flags}, schema=schema)
    return ds.dataset([ds.dataset(upserts.files, schema=schema), ds.dataset(to_delete)])
