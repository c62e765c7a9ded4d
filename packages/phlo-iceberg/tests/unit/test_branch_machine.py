"""Any order of loads, branches, publishes, updates, undos and maintenance, against dictionaries."""

import tempfile
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
from phlo.errors import BranchConflictError, BranchInUseError
from phlo.names import TableName
from phlo_iceberg.store import IcebergStore
from phlo_iceberg.upkeep.policy import Policy
from phlo_testing.stores import DAY_1, events, merge, publish_rows
from pyiceberg.catalog import load_catalog

TABLES = [TableName("bronze", name) for name in ("one", "two")]
EXPIRE_ALL = Policy(1, timedelta(0), orphan_age=timedelta(seconds=-60), min_small_files=2)
ROWS = st.dictionaries(st.sampled_from("abcd"), st.integers(0, 2), min_size=1, max_size=3)


class BranchMachine(RuleBasedStateMachine):
    """The model: per branch the rows of each table, and the versions that the branch began from.

    ``None`` stands for a table that is not there.
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
        self.bases: dict[str, dict] = {}
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
        for table in TABLES:
            self._take(name, source, table)
            self._renew_base(name, table)
        return name

    @rule(branch=st.none() | names, table=st.sampled_from(TABLES), rows=ROWS)
    def load(self, branch: str | None, table: TableName, rows: dict) -> None:
        branch = branch or "main"
        if branch not in self.tables:
            return
        before = self.tables[branch][table] or {}
        after = before | rows
        number = self.tick()
        store = self.on(branch)
        publish_rows(store, events(rows.items()), merge(DAY_1), table=table, extraction=number)
        if after != self.tables[branch][table]:
            self.tables[branch][table] = after
            self.versions[branch][table] = number

    @rule(branch=st.none() | names, table=st.sampled_from(TABLES))
    def drop(self, branch: str | None, table: TableName) -> None:
        branch = branch or "main"
        if branch in self.tables and self.tables[branch][table] is not None:
            self.on(branch).drop(table)
            self.tables[branch][table] = None
            self.versions[branch][table] = self.tick()

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
        self.tables[branch][table] = dict(rows)
        self.versions[branch][table] = number

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

    def _renew_base(self, name: str, table: TableName) -> None:
        """Note the versions of both sides from which the branch goes on; ``None``: no table."""
        source = self.sources[name]
        is_gone = self.tables[name][table] is None
        both = (self.versions[source][table], self.versions[name][table])
        self.bases[name][table] = None if is_gone else both

    @rule(name=names)
    def update(self, name: str) -> None:
        if name not in self.tables:
            return
        self.store.update_branch(name)
        for table in TABLES:
            if self._is_moved(name, table) and not self._differs(name, name, table):
                self._take(name, self.sources[name], table)
                self._renew_base(name, table)

    @rule(name=consumes(names))
    def delete(self, name: str) -> None:
        if name not in self.tables:
            return
        if name in self.sources.values():
            with pytest.raises(BranchInUseError):
                self.store.delete_branch(name)
            return
        self.store.delete_branch(name)
        for of in (self.tables, self.versions, self.bases, self.sources):
            del of[name]

    @rule(branch=st.none() | names, table=st.sampled_from(TABLES))
    def maintain(self, branch: str | None, table: TableName) -> None:
        branch = branch or "main"
        if branch in self.tables and self.tables[branch][table] is not None:
            store = self.on(branch)
            IcebergStore(store.catalog, EXPIRE_ALL).maintain(table)

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
                assert found == rows, (branch, table)

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
