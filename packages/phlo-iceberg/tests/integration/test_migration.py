"""An embedded lake, copied into a catalog on PostgreSQL with its files on S3."""

import hashlib
import secrets
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from phlo.errors import (
    BranchNotFoundError,
    ConfigurationError,
    MigrationError,
    TableNotFoundError,
    UnreadableTableError,
    UnsupportedCatalogError,
)
from phlo.names import TableName
from phlo.values import Append
from phlo_iceberg.read.engine import DuckDBEngine
from phlo_iceberg.store import IcebergStore
from phlo_iceberg.upkeep.policy import Policy
from phlo_iceberg.write import stage
from phlo_testing.crash import kill_points
from phlo_testing.databases import fresh_database
from phlo_testing.stores import DAY_1, DAY_2, EVENTS, events, merge, publish_rows, stage_rows
from pyiceberg.catalog import load_catalog

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("servers")]

OTHER, MADE = TableName("silver", "other"), TableName("gold", "made")
ONE, TWO, THREE = "11111111-a", "22222222-b", "33333333-c"
MAIN_ROWS = [(f"k{n}", n if n != 7 else -7) for n in range(9)]


def uri_of(address) -> str:
    password = address.password.get_secret_value()
    place = f"{address.host}:{address.port}/{address.database}"
    return f"postgresql+psycopg://{address.user}:{password}@{place}"


def open_store(**properties: str) -> IcebergStore:
    catalog = load_catalog("lake", **{"type": "sql", **properties})
    return IcebergStore(catalog, Policy(min_small_files=2, deleted_share=0))


def embedded(folder: Path) -> IcebergStore:
    folder.mkdir(exist_ok=True)
    warehouse = f"file://{folder}/warehouse"
    return open_store(uri=f"sqlite:///{folder}/catalog.db", warehouse=warehouse)


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "laptop" / ".phlo"
    folder.parent.mkdir()
    store = embedded(folder)
    yield folder, store
    store.catalog.engine.dispose()


@pytest.fixture
def target_properties(postgres_server, object_store):
    return {
        "uri": uri_of(fresh_database(postgres_server)),
        "warehouse": f"s3://phlo/lake-{secrets.token_hex(4)}",
        **object_store.s3_properties,
    }


@pytest.fixture
def target(target_properties):
    store = open_store(**target_properties)
    yield store
    store.catalog.engine.dispose()


def load(store, run, pairs, how, table=EVENTS, **options) -> None:
    options.setdefault("summary", {"phlo.run-id": run})
    publish_rows(store, events(pairs), how, table=table, **options)


def fill(store, monkeypatch) -> None:
    """Position deletes, a kept audit, a source cursor, another table, and a branch with a load."""
    monkeypatch.setattr(stage, "REWRITE_ROWS", 0)
    load(
        store,
        ONE,
        [(f"k{n}", n) for n in range(9)],
        merge(DAY_1),
        properties={"phlo.dlt-state": "s1"},
    )
    load(store, ONE, [("z", 1)], Append(DAY_1), OTHER)
    load(store, TWO, [("k7", -7)], merge(DAY_2), extraction=1, properties={"phlo.dlt-state": "s2"})
    kept = stage_rows(store, events([("k8", -8)]), merge(DAY_2), extraction=2)
    assert store.keep(kept, "audit/x/1")
    store.create_branch("dev")
    dev = store.on_branch("dev")
    load(dev, THREE, [("k1", -1)], merge(DAY_2), extraction=3)
    load(dev, THREE, [("m", 1)], Append(DAY_1), MADE)
    dev.drop(OTHER)


def read(store, table=EVENTS, **scan) -> list[tuple]:
    handle = store.catalog.load_table((table.namespace, table.name))
    rows = sorted((r["id"], r["value"]) for r in handle.scan(**scan).to_arrow().to_pylist())
    if not scan:
        by_engine = DuckDBEngine(store).query(f"SELECT id, value FROM {table}").read_all()
        assert sorted((r["id"], r["value"]) for r in by_engine.to_pylist()) == rows
    return rows


def paths_in(store, table=EVENTS) -> set[str]:
    """Every path that some snapshot of the table names, in its deletes too."""
    handle = store.catalog.load_table((table.namespace, table.name))
    paths = {handle.metadata_location, handle.location()}
    paths |= {entry.metadata_file for entry in handle.metadata.metadata_log}
    for snapshot in handle.snapshots():
        paths.add(snapshot.manifest_list)
        for manifest in snapshot.manifests(handle.io):
            paths.add(manifest.manifest_path)
            for entry in manifest.fetch_manifest_entry(handle.io, discard_deleted=True):
                paths.add(entry.data_file.file_path)
                if "-deletes" in entry.data_file.file_path:
                    with handle.io.new_input(entry.data_file.file_path).open() as stream:
                        paths |= set(pq.read_table(stream)["file_path"].to_pylist())
    return paths


def state_of(folder: Path) -> dict[str, str]:
    return {
        str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.rglob("*") if p.is_file()
    }


def everything(store) -> dict:
    """What a lake tells of itself: rows of every snapshot, history, properties, branches."""
    told = {}
    for branch in store.branches():
        on_branch = store.on_branch(branch.name)
        for table in on_branch.list_tables():
            handle = on_branch.catalog.load_table((table.namespace, table.name))
            properties = dict(handle.properties)
            properties.pop("phlo.migrated-from", None)
            told[branch, table] = (
                {
                    s.snapshot_id: read(on_branch, table, snapshot_id=s.snapshot_id)
                    for s in handle.snapshots()
                },
                on_branch.history(table),
                {name: ref.snapshot_id for name, ref in handle.metadata.refs.items()},
                properties,
                handle.schema(),
                handle.spec(),
            )
        told[branch] = [] if branch.is_main else store.diff(branch.name)
    return told


def actions(migrated) -> list[tuple]:
    return [(one.branch, str(one.table), one.action) for one in migrated]


ALL = [
    ("main", "bronze.events"),
    ("main", "silver.other"),
    ("dev", "bronze.events"),
    ("dev", "gold.made"),
]


def test_a_lake_is_copied_whole_and_the_original_stays_as_it_is(source, target, monkeypatch):
    folder, store = source
    fill(store, monkeypatch)
    before = state_of(folder)
    planned = target.migrate(folder, dry_run=True)
    assert actions(planned) == [(*one, "copied") for one in ALL]
    assert [(p.rows, p.snapshots) for p in planned] == [(9, 3), (1, 1), (9, 4), (1, 1)]
    assert all(p.files and p.size_bytes for p in planned)
    assert target.list_tables() == []
    told = []
    assert target.migrate(folder, on_table=told.append) == planned == told
    assert state_of(folder) == before
    assert everything(target) == everything(store)
    assert read(target) == MAIN_ROWS
    dev = target.on_branch("dev")
    paths = paths_in(target) | paths_in(target, OTHER) | paths_in(dev) | paths_in(dev, MADE)
    assert {path.partition("://")[0] for path in paths} == {"s3"}
    assert not [
        d for t in ("bronze.events", "silver.other") for d in target.examine(TableName.parse(t))
    ]


def test_a_copied_lake_goes_on_as_the_original_would(source, target, monkeypatch):
    folder, store = source
    fill(store, monkeypatch)
    target.migrate(folder)
    assert [str(c.table) for c in target.diff("dev")] == [
        "bronze.events",
        "gold.made",
        "silver.other",
    ]
    assert not any(change.is_conflict for change in target.diff("dev"))
    target.publish_branch("dev")
    assert dict(read(target))["k1"] == -1
    assert target.list_tables() == [EVENTS, MADE]
    target.undo(THREE)
    target.undo(TWO)
    assert read(target) == [(f"k{n}", n) for n in range(9)]
    assert target.load(EVENTS).properties["phlo.dlt-state"] == "s1"
    for table in target.list_tables():
        target.maintain(table)
    assert read(target) == [(f"k{n}", n) for n in range(9)]
    load(target, "44444444-d", [("k0", 10)], merge(DAY_2), extraction=9)
    assert dict(read(target))["k0"] == 10
    assert read(store) == MAIN_ROWS


def test_a_second_migration_brings_what_came_since_and_no_more(source, target, monkeypatch):
    folder, store = source
    fill(store, monkeypatch)
    target.migrate(folder)
    copied = state_of(folder)
    assert actions(target.migrate(folder)) == [(*one, "present") for one in ALL[:2]]
    load(store, "44444444-d", [("new", 1)], merge(DAY_2), extraction=9)
    assert state_of(folder) != copied
    again = target.migrate(folder)
    assert actions(again) == [
        ("main", "bronze.events", "updated"),
        ("main", "silver.other", "present"),
    ]
    assert again[0].files == 1
    assert read(target) == [*MAIN_ROWS, ("new", 1)]
    assert everything(target) == everything(store)
    load(target, "55555555-e", [("there", 1)], merge(DAY_2), extraction=10)
    assert actions(target.migrate(folder))[0] == ("main", "bronze.events", "present")
    load(store, "66666666-f", [("here", 1)], merge(DAY_2), extraction=11)
    with pytest.raises(MigrationError, match=r"bronze\.events\. Nothing was copied"):
        target.migrate(folder)
    assert read(target) == [*MAIN_ROWS, ("new", 1), ("there", 1)]


def test_other_content_is_refused_before_anything_is_copied(source, target, monkeypatch):
    folder, store = source
    fill(store, monkeypatch)
    load(target, ONE, [("mine", 1)], Append(DAY_1), OTHER)
    for dry_run in (True, False):
        with pytest.raises(MigrationError, match=r"silver\.other") as refused:
            target.migrate(folder, dry_run=dry_run)
        assert "phlo catalog drop TABLE --yes" in str(refused.value)
    assert read(target, OTHER) == [("mine", 1)]
    assert target.list_tables() == [OTHER]
    assert actions(target.migrate(folder, [EVENTS])) == [("main", "bronze.events", "copied")]
    assert [branch.name for branch in target.branches()] == ["main"]
    with pytest.raises(BranchNotFoundError):
        target.on_branch("dev")
    target.drop(OTHER)
    target.create_branch("dev")
    with pytest.raises(MigrationError, match="branch 'dev' with other content"):
        target.migrate(folder)
    assert target.list_tables() == [EVENTS]


def test_a_copy_that_differs_is_not_named(source, target, monkeypatch):
    """A file of the same name and length with other rows, as a broken store would have it."""
    folder, store = source
    load(store, ONE, [("a", 1)], merge(DAY_1))
    ((path, size),) = [
        (t.file.file_path, t.file.file_size_in_bytes) for t in store.state(EVENTS).tasks()
    ]
    new_path = target.catalog.properties["warehouse"] + path.partition("/warehouse")[2]
    content = Path(path.removeprefix("file://")).read_bytes()
    spoilt = content.replace(b"PAR1", b"PAR0")
    assert len(spoilt) == size
    io = target.catalog._load_file_io(location=new_path)
    with io.new_output(new_path).create() as stream:
        stream.write(spoilt)
    with pytest.raises((MigrationError, UnreadableTableError)):
        target.migrate(folder)
    assert target.list_tables() == []
    io.delete(new_path)
    target.migrate(folder)
    assert read(target) == [("a", 1)]


def test_bytes_of_old_snapshots_are_compared(source, target):
    """Rows of the newest snapshot do not show that a file of an old one is broken."""
    folder, store = source
    load(store, ONE, [("a", 1)], merge(DAY_1))
    ((path),) = [t.file.file_path for t in store.state(EVENTS).tasks()]
    load(store, TWO, [("a", 2)], merge(DAY_1), extraction=1)
    assert path not in {t.file.file_path for t in store.state(EVENTS).tasks()}
    new_path = target.catalog.properties["warehouse"] + path.partition("/warehouse")[2]
    content = Path(path.removeprefix("file://")).read_bytes()
    with target.catalog._load_file_io(location=new_path).new_output(new_path).create() as stream:
        stream.write(bytes(len(content)))
    with pytest.raises(MigrationError, match="differs from the original") as error:
        target.migrate(folder)
    assert new_path in str(error.value)
    assert target.list_tables() == []


def run_migration(properties: dict[str, str], folder: str) -> None:
    open_store(**properties).migrate(Path(folder))


@pytest.mark.slow
def test_a_killed_migration_goes_on(source, target_properties, postgres_server, monkeypatch):
    folder, store = source
    fill(store, monkeypatch)
    expected, before = everything(store), state_of(folder)
    properties = dict(target_properties)
    numbers = iter(range(100))

    def prepare() -> None:
        properties["uri"] = uri_of(fresh_database(postgres_server))
        properties["warehouse"] = f"{target_properties['warehouse']}-{next(numbers)}"

    kills = 0
    for point in kill_points(
        run_migration,
        [properties, str(folder)],
        preload=["phlo_iceberg.store", "phlo_iceberg.upkeep.migration"],
        prepare=prepare,
        sample=6,
        seed=19,
    ):
        kills += 1
        target = open_store(**properties)
        shown = everything(target)
        assert all(expected[key] == told for key, told in shown.items() if told), point
        target.migrate(folder)
        assert everything(target) == expected, point
        target.catalog.engine.dispose()
    assert kills == 6
    assert state_of(folder) == before


def test_files_that_a_killed_migration_copied_are_not_copied_again(source, target, monkeypatch):
    folder, store = source
    fill(store, monkeypatch)
    planned = target.migrate(folder, dry_run=True)

    def stop(one) -> None:
        if one.table == OTHER:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        target.migrate(folder, on_table=stop)
    assert target.list_tables() == [EVENTS]
    rest = target.migrate(folder, dry_run=True)
    assert actions(rest)[:2] == [
        ("main", "bronze.events", "present"),
        ("main", "silver.other", "copied"),
    ]
    assert rest[1] == planned[1]
    assert rest[2].files == planned[2].files


def test_what_cannot_be_copied_is_said(source, target, target_properties, object_store, tmp_path):
    folder, store = source
    with pytest.raises(ConfigurationError, match="no embedded lake"):
        target.migrate(tmp_path)
    assert target.migrate(folder) == []
    load(store, ONE, [("a", 1)], merge(DAY_1))
    with pytest.raises(TableNotFoundError, match="Did you mean 'bronze.events'"):
        target.migrate(folder, [TableName("bronze", "event")])
    with pytest.raises(ConfigurationError, match="still name the embedded catalog"):
        store.migrate(folder)
    same_files = open_store(**{**target_properties, "warehouse": f"file://{folder}/warehouse"})
    with pytest.raises(ConfigurationError, match="warehouse of the settings is that of"):
        same_files.migrate(folder)
    same_files.catalog.engine.dispose()
    rest = IcebergStore(load_catalog("lake", **object_store.rest_properties))
    with pytest.raises(UnsupportedCatalogError, match="cannot take tables with their history"):
        rest.migrate(folder)


@pytest.mark.slow
def test_a_lake_of_another_name_behind_a_link_is_found(tmp_path, target, monkeypatch):
    (tmp_path / "disk" / ".phlo").mkdir(parents=True)
    (tmp_path / "laptop").symlink_to(tmp_path / "disk")
    folder = tmp_path / "laptop" / ".phlo"
    catalog = load_catalog(
        "warehouse",
        type="sql",
        uri=f"sqlite:///{folder}/catalog.db",
        warehouse=f"file://{folder}/warehouse",
    )
    store = IcebergStore(catalog)
    fill(store, monkeypatch)
    target.migrate(folder)
    assert everything(target) == everything(store)
    catalog.engine.dispose()
