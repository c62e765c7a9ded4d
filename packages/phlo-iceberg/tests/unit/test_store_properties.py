"""Random sequences of loads against a plain-Python oracle, read with pyiceberg and with DuckDB."""

import math
import tempfile
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import hypothesis.strategies as st
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from phlo.errors import FatalRunError, MovedHeadError
from phlo.names import PARTITION_DATE_COLUMN, Partition, TableName
from phlo.values import Append, Merge, Replace
from phlo_iceberg.read.engine import DuckDBEngine
from phlo_iceberg.store import IcebergStore
from phlo_iceberg.upkeep.policy import Policy
from phlo_iceberg.write import matching, stage
from phlo_testing.loads import BY_PARTITION_DATE, load_rows, with_metadata
from pyiceberg.catalog import load_catalog
from pyiceberg.expressions import EqualTo
from pyiceberg.io.pyarrow import schema_to_pyarrow
from pyiceberg.transforms import BucketTransform, IdentityTransform

TABLE = TableName("bronze", "things")
DAYS = [Partition.parse(f"2025-01-0{n}") for n in (1, 2, 3)]
SCHEMA = pa.schema(
    [
        pa.field("k", pa.string(), nullable=False),
        pa.field("level", pa.float64(), nullable=False),
        pa.field("value", pa.int64()),
        pa.field("ratio", pa.float64()),
    ]
)
BY_DATE = {PARTITION_DATE_COLUMN: (PARTITION_DATE_COLUMN, IdentityTransform())}
NOTES = ("the note", "note")
"""What the field inside of the column ``extra`` is called, by turns."""
GONE = pa.field("gone", pa.bool_())

KEYS = st.tuples(st.sampled_from("abcdé"), st.sampled_from([0.0, 1.5, math.nan]))
VALUES = st.one_of(st.none(), st.integers(0, 3))
RATIOS = st.sampled_from([None, 0.0, -0.5, math.nan])
METHODS = st.sampled_from(["last", "first", "hash"])


@dataclass(frozen=True)
class Row:
    """A stored row: its key, its content, and when its load was."""

    key: tuple
    content: tuple
    day: int | None  # None: another writer's, who knows nothing of partitions
    extraction: int


@dataclass(frozen=True)
class Load:
    """A load to merge: its rows, and how they compete."""

    keys: list
    values: list
    gone: list
    day: int
    extraction: int
    method: str
    by_value: bool
    has_deletes: bool
    rewrites: bool
    samples: bool

    @property
    def how(self) -> Merge:
        return Merge(
            ("k", "level"),
            DAYS[self.day],
            method=self.method,
            order_by="value" if self.by_value else None,
            delete_column="gone" if self.has_deletes else None,
        )


LOADS = st.builds(
    Load,
    keys=st.lists(KEYS, max_size=6, unique_by=repr),
    values=st.lists(st.tuples(VALUES, RATIOS), min_size=6, max_size=6),
    gone=st.lists(st.sampled_from([False, False, False, True]), min_size=6, max_size=6),
    day=st.integers(0, 2),
    extraction=st.integers(0, 5),
    method=METHODS,
    by_value=st.booleans(),
    has_deletes=st.booleans(),
    rewrites=st.booleans(),
    samples=st.booleans(),
)


def same(left, right):
    """Equality in which NaN equals NaN."""
    return repr(left) == repr(right)


def is_later(stored: Row, day: int, extraction: int) -> bool:
    return stored.day is not None and (stored.day, stored.extraction) > (day, extraction)


def stored_wins(stored: Row, new: Row, is_delete: bool, load: Load) -> bool:
    """Choose the winner of a key as the guide on ingestion says it, written out.

    A delete that carries no value to compete by is placed by its partition and extraction.
    """
    later = is_later(stored, new.day, new.extraction)
    base = not later if load.method == "first" else later
    if not load.by_value or (is_delete and new.content[0] is None):
        return base
    old, value = (-1 if r.content[0] is None else r.content[0] for r in (stored, new))
    if old == value:
        return base
    return old < value if load.method == "first" else old > value


class MergeMachine(RuleBasedStateMachine):
    """Merges of every kind into one table."""

    @initialize()
    def open_store(self):
        self.folder = tempfile.TemporaryDirectory()
        self.properties = {
            "type": "sql",
            "uri": f"sqlite:///{self.folder.name}/catalog.db",
            "warehouse": Path(self.folder.name, "warehouse").as_uri(),
        }
        # Maintenance joins whatever it can, and drops all but the newest snapshot.
        policy = Policy(1, timedelta(0), min_small_files=2, deleted_share=0)
        self.store = IcebergStore(load_catalog("lake", **self.properties), policy)
        self.engine = DuckDBEngine(self.store)
        self.rows: dict[str, Row] = {}
        self.schema = SCHEMA
        self.note = NOTES[0]
        self.snapshots = 0

    def teardown(self):
        if hasattr(self, "folder"):
            stage.REWRITE_ROWS = 250_000
            matching.MIN_FILES_PER_SAMPLE, matching.MAX_TELLING_SHARE = 10, 0.5
            self.store.catalog.engine.dispose()
            self.folder.cleanup()

    @rule()
    def add_a_column(self):
        if "extra" not in self.schema.names:
            self.schema = self.schema.append(self._extra)

    @property
    def _extra(self):
        return pa.field("extra", pa.struct([(self.note, pa.string())]))

    @rule(load=LOADS)
    def merge(self, load):
        expected = self._apply(load)
        (published,) = self.store.publish([self._stage(load)])
        account = published.account
        assert account.is_balanced
        assert {n: getattr(account, n) for n in expected} == expected
        changed = expected["inserted"] + expected["updated"] + expected["removed"]
        self.snapshots += bool(changed)
        assert len(self.store.history(TABLE)) == self.snapshots
        assert published.row_count == len(self.rows)
        self._compare()

    @precondition(lambda self: self.exists)
    @rule(first=LOADS, second=LOADS)
    def two_writers(self, first, second):
        """One load is published while another stands staged; that one follows or plans anew."""
        staged = self._stage(second)
        before = dict(self.rows)
        self._apply(second)
        self._apply(first)
        second_first = self.rows
        self.rows = before
        self._apply(first)
        self.store.publish([self._stage(first)])
        self._apply(second)
        try:
            (published,) = self.store.publish([staged], rebase=True)
            # Moved onto the other load's state, it stands as if it had come before or after.
            if self._stored() != self._expected():
                self.rows = second_first
        except MovedHeadError:
            (published,) = self.store.publish([self._stage(second)])
        assert published.account.is_balanced
        self.snapshots = len(self.store.history(TABLE))
        self._compare()

    @precondition(lambda self: self.exists)
    @rule(load=LOADS)
    def a_maintenance_while_a_load_stands_staged(self, load):
        staged = self._stage(load)
        self.store.maintain(TABLE)
        self._apply(load)
        try:
            (published,) = self.store.publish([staged], rebase=True)
        except MovedHeadError:
            (published,) = self.store.publish([self._stage(load)])
        self.snapshots = len(self.store.history(TABLE))
        self._compare()

    @precondition(lambda self: self.exists)
    @rule()
    def maintain(self):
        self.store.maintain(TABLE)
        self.snapshots = len(self.store.history(TABLE))
        self._compare()

    @precondition(lambda self: self.exists)
    @rule(key=KEYS, value=VALUES)
    def another_writer_appends(self, key, value):
        if repr(key) in self.rows:
            return
        table = self.store.catalog.load_table("bronze.things")
        row = {"k": key[0], "level": key[1], "value": value}
        table.append(pa.Table.from_pylist([row], schema=table.schema().as_arrow()))
        self.rows[repr(key)] = Row(key, (value, None, None), None, 0)
        self.snapshots += 1
        self._compare()

    @precondition(lambda self: self.exists)
    @rule(letter=st.sampled_from("abcdé"))
    def another_writer_deletes(self, letter):
        gone = [name for name, row in self.rows.items() if row.key[0] == letter]
        if not gone:
            return
        self.store.catalog.load_table("bronze.things").delete(EqualTo("k", letter))
        for name in gone:
            del self.rows[name]
        self.snapshots = len(self.store.history(TABLE))
        self._compare()

    @precondition(lambda self: self.exists)
    @rule(fields=st.sampled_from([{}, {"k_bucket": ("k", BucketTransform(2))}, BY_DATE]))
    def another_writer_partitions_otherwise(self, fields):
        table = self.store.catalog.load_table("bronze.things")
        present = {field.name for field in table.spec().fields}
        with table.update_spec() as update:
            for name in present - fields.keys():
                update.remove_field(name)
            for name in fields.keys() - present:
                update.add_field(*fields[name], name)
        self._compare()

    @precondition(lambda self: self.exists)
    @rule(key=KEYS, value=VALUES)
    def another_writer_adds_a_file(self, key, value):
        """As it is, so without field ids; pyiceberg cannot tell a file's bucket."""
        table = self.store.catalog.load_table("bronze.things")
        if repr(key) in self.rows or "k_bucket" in {f.name for f in table.spec().fields}:
            return
        row = {"k": key[0], "level": key[1], "value": value, PARTITION_DATE_COLUMN: DAYS[0].date}
        path = Path(self.folder.name, f"{uuid4()}.parquet")
        arrow = schema_to_pyarrow(table.schema(), include_field_ids=False)
        pq.write_table(pa.Table.from_pylist([row], schema=arrow), path)
        table.add_files([path.as_uri()])
        self.rows[repr(key)] = Row(key, (value, None, None), 0, -1)
        self.snapshots += 1
        self._compare()

    @precondition(lambda self: self.exists and "extra" in self.store.load(TABLE).schema.names)
    @rule()
    def another_writer_renames_a_field_inside(self):
        old, self.note = self.note, NOTES[self.note == NOTES[0]]
        with self.store.catalog.load_table("bronze.things").update_schema() as update:
            update.rename_column(("extra", old), self.note)
        self.schema = self.schema.set(self.schema.get_field_index("extra"), self._extra)
        self._compare()

    @property
    def exists(self):
        return self.store.exists(TABLE)

    def _rows_of(self, load):
        deletes = [bool(load.has_deletes and g) for g in load.gone]
        new = [
            Row(
                k,
                (v, r, f"x{v}" if "extra" in self.schema.names else None),
                load.day,
                load.extraction,
            )
            for k, (v, r) in zip(load.keys, load.values, strict=False)
        ]
        return new, deletes

    def _apply(self, load):
        new, deletes = self._rows_of(load)
        names = "extracted inserted updated unchanged deduplicated deleted removed"
        counts = dict.fromkeys(names.split(), 0)
        counts["extracted"] = len(new)
        for row, is_delete in zip(new, deletes, strict=False):
            counts[self._apply_row(row, is_delete, load, counts)] += 1
        return counts

    def _apply_row(self, row, is_delete, load, counts):
        name = repr(row.key)
        stored = self.rows.get(name)
        wins = stored is not None and stored_wins(stored, row, is_delete, load)
        if is_delete:
            if wins:
                return "deduplicated"
            counts["removed"] += stored is not None
            self.rows.pop(name, None)
            return "deleted"
        if stored is None:
            self.rows[name] = row
            return "inserted"
        if same(stored.content, row.content):
            return "unchanged"
        if wins:
            return "deduplicated"
        self.rows[name] = row
        return "updated"

    def _stage(self, load):
        stage.REWRITE_ROWS = 250_000 if load.rewrites else 0
        matching.MIN_FILES_PER_SAMPLE = 1 if load.samples else 10
        matching.MAX_TELLING_SHARE = 1.0 if load.samples else 0.5
        new, deletes = self._rows_of(load)
        given = self.schema.append(GONE) if load.has_deletes else self.schema
        dicts = [
            dict(zip(("k", "level"), r.key, strict=True))
            | dict(zip(("value", "ratio"), r.content[:2], strict=True))
            | {"extra": {self.note: r.content[2]} if r.content[2] else None, "gone": d}
            for r, d in zip(new, deletes, strict=False)
        ]
        rows = load_rows(given, dicts, load.how.partition, load.extraction)
        return self.store.stage(
            TABLE,
            rows,
            load.how,
            schema=with_metadata(self.schema),
            partition_by=BY_PARTITION_DATE,
        )

    def _expected(self):
        return sorted(
            repr((*r.key, *r.content, None if r.day is None else DAYS[r.day].date))
            for r in self.rows.values()
        )

    def _stored(self):
        by_pyiceberg = load_catalog("lake", **self.properties).load_table("bronze.things")
        return self._texts(by_pyiceberg.scan().to_arrow())

    def _texts(self, rows):
        names = ("k", "level", "value", "ratio", "extra", "_phlo_partition_date")
        flat = [r | {"extra": (r.get("extra") or {}).get(self.note)} for r in rows.to_pylist()]
        return sorted(repr(tuple(r.get(n) for n in names)) for r in flat)

    def _compare(self):
        expected = self._expected()
        assert self._stored() == expected
        assert self._texts(self.engine.query("SELECT * FROM bronze.things").read_all()) == expected
        assert self.store.load(TABLE).row_count == len(expected)
        self._compare_statistics()

    def _compare_statistics(self):
        """Metadata may prove nothing, but never what is not so."""
        found = self.store.statistics(TABLE, ["level", "value", "ratio"])
        assert found.row_count in (None, len(self.rows))
        for name, known in found.columns.items():
            values = [{"level": r.key[1], "value": r.content[0], "ratio": r.content[1]}[name]
                      for r in self.rows.values()]  # fmt: skip
            numbers = [v for v in values if v is not None and v == v]
            assert known.null_count in (None, values.count(None))
            assert known.nan_count in (None, sum(v != v for v in values))
            assert known.lower in (None, min(numbers, default=None))
            assert known.upper in (None, max(numbers, default=None))


class ReplaceMachine(RuleBasedStateMachine):
    """Appends and replacements, in any order."""

    @initialize()
    def open_store(self):
        self.folder = tempfile.TemporaryDirectory()
        self.store = IcebergStore(
            load_catalog(
                "lake",
                type="sql",
                uri=f"sqlite:///{self.folder.name}/catalog.db",
                warehouse=Path(self.folder.name, "warehouse").as_uri(),
            )
        )
        self.rows: list[tuple] = []  # key, value, day, extraction

    def teardown(self):
        if hasattr(self, "folder"):
            stage.REWRITE_ROWS = 250_000
            self.store.catalog.engine.dispose()
            self.folder.cleanup()

    @rule(
        pairs=st.lists(st.tuples(st.sampled_from("abc"), VALUES), max_size=5),
        day=st.integers(0, 2),
        extraction=st.integers(0, 3),
        kind=st.sampled_from(["append", "append again", "replace day", "replace all"]),
        rewrites=st.booleans(),
    )
    def load(self, pairs, day, extraction, kind, rewrites):
        partition = DAYS[day]
        how = {
            "append": Append(partition),
            "append again": Append(partition, on_rerun="append"),
            "replace day": Replace(partition),
            "replace all": Replace(),
        }[kind]
        stage.REWRITE_ROWS = 250_000 if rewrites else 0
        schema = pa.schema([pa.field("k", pa.string()), pa.field("value", pa.int64())])
        rows = load_rows(schema, [{"k": k, "value": v} for k, v in pairs], partition, extraction)
        replaced = [
            r
            for r in self.rows
            if kind == "replace all" or (kind != "append again" and r[2] == day)
        ]
        overtaken = pairs and replaced and max(r[3] for r in replaced) > extraction
        try:
            (published,) = self.store.publish(
                [
                    self.store.stage(
                        TABLE,
                        rows,
                        how,
                        schema=with_metadata(schema),
                        partition_by=BY_PARTITION_DATE,
                    )
                ]
            )
        except FatalRunError:
            assert overtaken
        else:
            assert not overtaken
            if published.account.unchanged:
                same_rows = sorted(repr(r[:2]) for r in replaced)
                assert sorted(repr((k, v)) for k, v in pairs) == same_rows
            else:
                for row in replaced:
                    self.rows.remove(row)
                self.rows += [(k, v, day, extraction) for k, v in pairs]
        self._compare()

    def _compare(self):
        if not self.store.exists(TABLE):
            assert self.rows == []
            return
        found = self.store.catalog.load_table("bronze.things").scan().to_arrow().to_pylist()
        assert sorted(repr((r["k"], r["value"])) for r in found) == sorted(
            repr(r[:2]) for r in self.rows
        )


QUICK = settings(
    max_examples=15,
    stateful_step_count=12,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestMerge = MergeMachine.TestCase
TestMerge.settings = QUICK
TestReplace = ReplaceMachine.TestCase
TestReplace.settings = QUICK
