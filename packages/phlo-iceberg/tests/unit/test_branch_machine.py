"""Any order of loads, branches, publishes, updates, undos and maintenance, against dictionaries."""

import tempfile
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    rule,
    run_state_machine_as_test,
)
from phlo.errors import (
    BranchConflictError,
    BranchInUseError,
    RunNotFoundError,
    UndoError,
)
from phlo.names import TableName
from phlo.values import Merge
from phlo_iceberg.store import IcebergStore
from phlo_iceberg.upkeep.policy import Policy
from phlo_testing.loads import load_rows, with_metadata
from phlo_testing.stores import DAY_1, SCHEMA
from pyiceberg.catalog import load_catalog

TABLES = [TableName("bronze", name) for name in ("one", "two")]
EXPIRE_ALL = Policy(1, timedelta(0), orphan_age=timedelta(seconds=-60), min_small_files=2)
ROWS = st.dictionaries(st.sampled_from("abcd"), st.integers(0, 2), min_size=1, max_size=3)


KEYS = st.sets(st.sampled_from("abcd"), max_size=2)
HOW = Merge(("id",), DAY_1, delete_column="is_gone")


@dataclass
class Load:
    """A load as the model knows it: what it wrote and deleted, and what was there before.

    A row is its value and the number of the load that wrote it.
    """

    number: int
    written: dict[str, tuple[int, int]]
    deleted: set[str]
    missed: bool
    unchanged: bool
    before: dict | None


def _wins(row: tuple[int, int], stored: tuple[int, int] | None) -> bool:
    """Whether a row that is loaded again replaces the stored one."""
    return stored is None or (stored[0] != row[0] and stored[1] <= row[1])


class BranchMachine(RuleBasedStateMachine):
    """The model: per branch the rows of each table, and the versions that the branch began from.

    ``None`` stands for a table that is not there. ``makings`` tells tables of one name apart,
    ``loads`` are those of a branch's table that stand since it began, and ``maintained`` the tables
    whose history may be cut.
    """

    names = Bundle("names")
    root: Path

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(dir=BranchMachine.root))
        catalog = load_catalog(
            "lake",
            type="sql",
            uri=f"sqlite:///{self.folder}/catalog.db",
            warehouse=(self.folder / "warehouse").as_uri(),
        )
        self.store = IcebergStore(catalog)
        self.tables = {"main": dict.fromkeys(TABLES)}
        self.versions = {"main": dict.fromkeys(TABLES, 0)}
        self.makings = {"main": dict.fromkeys(TABLES, 0)}
        self.loads = {"main": {table: [] for table in TABLES}}
        self.maintained: set[tuple] = set()
        self.swapped: set[tuple] = set()
        self.bases: dict[str, dict] = {}
        self.base_states: dict[tuple, tuple] = {}
        self.sources: dict[str, str] = {}
        self.clock = 0

    def on(self, branch: str) -> IcebergStore:
        return self.store.on_branch(branch)

    def tick(self) -> int:
        self.clock += 1
        return self.clock

    @rule(target=names, number=st.integers(0, 2), source=st.none() | names)
    def create(self, number: int, source: str | None) -> str:
        name, source = f"branch-{number}", source or "main"
        if name in self.tables or source not in self.tables:
            return name
        self.store.create_branch(name, source)
        self.sources[name] = source
        self.tables[name], self.versions[name], self.bases[name] = {}, {}, {}
        self.makings[name], self.loads[name] = {}, {}
        for table in TABLES:
            self._take(name, source, table)
            self._renew_base(name, table)
        return name

    @rule(branch=st.none() | names, table=st.sampled_from(TABLES), rows=ROWS, deleted=KEYS)
    def load(self, branch: str | None, table: TableName, rows: dict, deleted: set) -> None:
        branch = branch or "main"
        if branch not in self.tables:
            return
        before, number, deleted = self.tables[branch][table], self.tick(), deleted - rows.keys()
        lines = [{"id": key, "value": value} for key, value in rows.items()]
        lines += [{"id": key, "is_gone": True} for key in deleted]
        store = self.on(branch)
        staged = store.stage(
            table,
            load_rows(SCHEMA.append(pa.field("is_gone", pa.bool_())), lines, DAY_1, number),
            HOW,
            schema=with_metadata(SCHEMA),
            summary={"phlo.run-id": f"run-{number}."},
        )
        store.publish([staged])
        old = before or {}
        written = {k: (v, number) for k, v in rows.items() if k not in old or old[k][0] != v}
        gone = deleted & old.keys()
        if before is None:
            self.makings[branch][table] = number
            self.swapped.discard((branch, table))
            self.maintained.discard((branch, table))
        if written or gone or before is None:
            kept = {k: row for k, row in old.items() if k not in gone}
            self.tables[branch][table] = kept | written
            self.versions[branch][table] = number
        if written or gone:
            self.loads[branch][table].append(
                Load(
                    number,
                    written,
                    gone,
                    missed=bool(deleted - gone),
                    unchanged=bool(rows.keys() - written.keys()),
                    before=before,
                )
            )

    @rule(
        branch=st.none() | names,
        table=st.sampled_from(TABLES),
        back=st.integers(1, 2),
        with_later=st.booleans(),
    )
    def undo(self, branch: str | None, table: TableName, back: int, with_later: bool) -> None:
        """Take back one of the last loads."""
        branch = branch or "main"
        loads = self.loads.get(branch, {}).get(table, [])
        if len(loads) < back:
            return
        load = loads[-back]
        try:
            self.on(branch).undo(f"run-{load.number}.", with_later=with_later)
        except RunNotFoundError:
            obstacles = ("all of its snapshots have expired",)
        except UndoError as error:
            obstacles = error.undo.obstacles
        else:
            obstacles = None
        if obstacles is not None:
            may_be_refused = (branch, table) in self.maintained if obstacles else back > 1
            assert may_be_refused, obstacles
            return
        assert with_later or back == 1
        del loads[-back:]
        self.tables[branch][table] = load.before
        self.versions[branch][table] = self.tick()

    @rule(branch=st.none() | names, table=st.sampled_from(TABLES))
    def drop(self, branch: str | None, table: TableName) -> None:
        branch = branch or "main"
        if branch in self.tables and self.tables[branch][table] is not None:
            self.on(branch).drop(table)
            self.tables[branch][table] = None
            self.versions[branch][table] = self.tick()
            self.loads[branch][table] = []

    @rule(branch=st.none() | names, table=st.sampled_from(TABLES), rows=ROWS)
    def swap(self, branch: str | None, table: TableName, rows: dict) -> None:
        """Make a table anew as other engines do: beside the old one, which is renamed and goes."""
        branch = branch or "main"
        if branch not in self.tables or self.tables[branch][table] is None:
            return
        number, catalog = self.tick(), self.on(branch).catalog
        old, new, backup = ((table.namespace, table.name + end) for end in ("", "_new", "_old"))
        before = catalog.load_table(old)
        location = f"{before.location().rpartition('/')[0]}/{table.name}-{number}"
        made = catalog.create_table(new, before.schema(), location, properties=before.properties)
        blank = dict.fromkeys(before.schema().column_names) | {"_phlo_partition_date": DAY_1.date}
        content = [blank | {"id": key, "value": value} for key, value in rows.items()]
        made.append(pa.Table.from_pylist(content, schema=made.schema().as_arrow()))
        catalog.rename_table(old, backup)
        catalog.rename_table(new, old)
        catalog.drop_table(backup)
        self.tables[branch][table] = {key: (value, 0) for key, value in rows.items()}
        self.versions[branch][table] = self.makings[branch][table] = number
        self.swapped.add((branch, table))
        self.loads[branch][table] = []

    @rule(name=names)
    def publish(self, name: str) -> None:
        if name not in self.tables:
            return
        source = self.sources[name]
        changed = {t for t in TABLES if self._is_changed(name, t)}
        conflicts = {t for t in changed if self._is_moved(name, t)}
        if conflicts:
            with pytest.raises(BranchConflictError) as raised:
                self.store.publish_branch(name)
            assert {c.table for c in raised.value.conflicts} == conflicts
            return
        published = self.store.publish_branch(name)
        assert {c.table for c in published} == changed
        for table in changed:
            self._take(source, name, table)
            self._renew_base(name, table)

    def _is_changed(self, name: str, table: TableName) -> bool:
        is_gone_on_both = self.tables[name][table] is None is self.tables[self.sources[name]][table]
        return self._differs(name, name, table) and not is_gone_on_both

    def _is_moved(self, name: str, table: TableName) -> bool:
        return self._differs(name, self.sources[name], table)

    def _differs(self, name: str, side: str, table: TableName) -> bool:
        """Whether a side has another state than the branch began from."""
        base = self.bases[name][table]
        if self.tables[side][table] is None:
            return base is not None
        return base is None or self.versions[side][table] != base[side == name]

    def _take(self, target: str, origin: str, table: TableName) -> None:
        rows = self.tables[origin][table]
        self.tables[target][table] = None if rows is None else dict(rows)
        self.versions[target][table] = self.tick()
        self.makings[target][table] = self.makings[origin][table]
        self.loads[target][table] = []
        self.maintained.discard((target, table))
        self.swapped.discard((target, table))

    def _renew_base(self, name: str, table: TableName) -> None:
        """Note the versions of both sides from which the branch goes on; ``None``: no table."""
        source = self.sources[name]
        is_gone = self.tables[name][table] is None
        both = (self.versions[source][table], self.versions[name][table])
        self.bases[name][table] = None if is_gone else both
        self.base_states[name, table] = self.tables[source][table], self.makings[source][table]
        self.loads[name][table] = []
        self.swapped.discard((name, table))

    @rule(name=names)
    def update(self, name: str) -> None:
        if name not in self.tables:
            return
        rebased = {change.table for change in self.store.update_branch(name).rebased}
        for table in TABLES:
            if not self._is_moved(name, table):
                assert table not in rebased
            elif not self._differs(name, name, table):
                self._take(name, self.sources[name], table)
                self._renew_base(name, table)
            elif table in rebased:
                assert self._can_rebase(name, table)
                self._rebase(name, table)
            else:
                is_cut = (name, table) in self.maintained
                assert is_cut or not self._can_rebase(name, table), table

    def _can_rebase(self, name: str, table: TableName) -> bool:
        """Whether each load of the branch tells what it would do on the source's state."""
        base, making = self.base_states[name, table]
        source = self.sources[name]
        ours, theirs = self.tables[name][table], self.tables[source][table]
        if ours is None or theirs is None or (name, table) in self.swapped:
            return False
        makings = {self.makings[name][table], self.makings[source][table]}
        if base is not None and makings != {making}:
            return False
        base = base or {}
        moved = {k for k in {*base, *theirs} if base.get(k) != theirs.get(k)}
        for load in self.loads[name][table]:
            unseen = (moved & base.keys()) - load.written.keys() - load.deleted
            if load.deleted & moved or (load.missed and moved) or (load.unchanged and unseen):
                return False
        return True

    def _rebase(self, name: str, table: TableName) -> None:
        """Let the branch's loads compete with the source's rows, one after the other."""
        loads, replayed = self.loads[name][table], []
        self._take(name, self.sources[name], table)
        for load in loads:
            before = self.tables[name][table]
            rows = {key: row for key, row in before.items() if key not in load.deleted}
            written = {k: v for k, v in load.written.items() if _wins(v, before.get(k))}
            self.tables[name][table] = rows | written
            if written or load.deleted:
                unchanged = load.unchanged or written.keys() < load.written.keys()
                again = replace(load, written=written, unchanged=unchanged, before=before)
                replayed.append(again)
        self._renew_base(name, table)
        if replayed:
            self.versions[name][table] = self.tick()
            self.loads[name][table] = replayed
            self.maintained.add((name, table))

    @rule(name=consumes(names))
    def delete(self, name: str) -> None:
        if name not in self.tables:
            return
        if name in self.sources.values():
            with pytest.raises(BranchInUseError):
                self.store.delete_branch(name)
            return
        self.store.delete_branch(name)
        for of in (self.tables, self.versions, self.bases, self.sources, self.makings, self.loads):
            del of[name]

    @rule(branch=st.none() | names, table=st.sampled_from(TABLES))
    def maintain(self, branch: str | None, table: TableName) -> None:
        branch = branch or "main"
        if branch in self.tables and self.tables[branch][table] is not None:
            store = self.on(branch)
            IcebergStore(store.catalog, EXPIRE_ALL).maintain(table)
            self.maintained.add((branch, table))

    @invariant()
    def every_branch_reads_as_the_model(self) -> None:
        for branch, expected in self.tables.items():
            store = self.on(branch)
            for table, rows in expected.items():
                assert store.exists(table) == (rows is not None), (branch, table)
                if rows is None:
                    continue
                handle = store.catalog.load_table((table.namespace, table.name))
                found = {r["id"]: r["value"] for r in handle.scan().to_arrow().to_pylist()}
                assert found == {k: value for k, (value, _) in rows.items()}, (branch, table)

    def teardown(self) -> None:
        self.store.catalog.engine.dispose()


@pytest.mark.parametrize(
    ("examples", "steps"), [(4, 15), pytest.param(60, 40, marks=pytest.mark.slow)]
)
def test_every_order_of_actions_leaves_what_the_model_says(
    phlo_environment, tmp_path, examples, steps
):
    BranchMachine.root = tmp_path
    run_state_machine_as_test(
        BranchMachine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
