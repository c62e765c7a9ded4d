"""A load whose calls to disk or catalog fail, each in turn, then run again."""

import itertools
import resource
import shutil
import uuid
from pathlib import Path

import pytest
from phlo.names import Partition
from phlo.values import Append, Merge, Replace
from phlo_iceberg.store import IcebergStore
from phlo_iceberg.upkeep.policy import Policy
from phlo_iceberg.write import stage
from phlo_testing.crash import fault_points
from phlo_testing.processes import in_processes
from phlo_testing.proxy import faulty_proxy
from phlo_testing.stores import DAY_1, DAY_2, EVENTS, events, stage_rows
from pyiceberg.catalog import load_catalog

PRELOAD = ["phlo_iceberg.store", "phlo_testing.stores"]
OLD = [("a", 1), ("b", 2)]
SLOW = pytest.mark.slow
LOADS = {
    "merge": ([("b", 3), ("c", 4)], [("a", 1), ("b", 3), ("c", 4)]),
    "merge on read": ([("b", 3), ("c", 4)], [("a", 1), ("b", 3), ("c", 4)]),
    "append": ([("b", 3)], [("a", 1), ("b", 2), ("b", 3)]),
    "replace": ([("z", 9)], [("z", 9)]),
    "first": ([("b", 3), ("c", 4)], [("b", 3), ("c", 4)]),
}

DEFAULTS = (stage.REWRITE_ROWS, stage.MIN_TOUCHED_SHARE)
QUICK = ("merge on read",)
KINDS = [k if k in QUICK else pytest.param(k, marks=SLOW) for k in LOADS]


def open_store(folder: str) -> IcebergStore:
    return IcebergStore(
        load_catalog(
            "lake",
            type="sql",
            uri=f"sqlite:///{folder}/catalog.db",
            warehouse=Path(folder, "warehouse").as_uri(),
        ),
        Policy(min_small_files=2, deleted_share=0),
    )


def stage_load(store: IcebergStore, kind: str, pairs: list, day: Partition, extraction: int):
    on_read = kind == "merge on read"
    stage.REWRITE_ROWS, stage.MIN_TOUCHED_SHARE = (0, 1) if on_read else DEFAULTS
    how = {"append": Append(day), "replace": Replace()}.get(kind) or Merge(("id",), day)
    return stage_rows(store, events(pairs), how, extraction=extraction)


def run_load(folder: str, kind: str, pairs: list, day: Partition, extraction: int) -> None:
    store = open_store(folder)
    store.publish([stage_load(store, kind, pairs, day, extraction)])


def run_stage(folder: str, kind: str, pairs: list, day: Partition, extraction: int) -> None:
    stage_load(open_store(folder), kind, pairs, day, extraction)


def run_maintenance(folder: str) -> None:
    open_store(folder).maintain(EVENTS)


def read(folder: str) -> list[tuple] | None:
    catalog = open_store(folder).catalog
    if not catalog.table_exists("bronze.events"):
        return None
    rows = catalog.load_table("bronze.events").scan().to_arrow().to_pylist()
    catalog.engine.dispose()
    return sorted((r["id"], r["value"]) for r in rows)


def files(folder: str) -> set[Path]:
    return {p for p in Path(folder, "warehouse").rglob("*") if p.is_file()}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


def start_from(folder: Path):
    """Lay out the same start each time; metadata holds absolute paths, so in the same folder."""
    start = folder.parent / "start"
    shutil.copytree(folder, start)

    def prepare() -> None:
        shutil.rmtree(folder)
        shutil.copytree(start, folder)

    return prepare


def lay_out(folder: Path, kind: str) -> list[tuple] | None:
    if kind == "first":
        return None
    run_load(str(folder), "merge", OLD, DAY_1, 0)
    return OLD


@pytest.mark.integration
@pytest.mark.parametrize("kind", KINDS)
def test_a_load_that_failed_left_the_old_table_or_the_new_and_can_be_run_again(kind, folder):
    work, (new_rows, expected) = str(folder), LOADS[kind]
    before = lay_out(folder, kind)
    arguments = (work, kind, new_rows, DAY_2, 1)
    points = 0
    for point, error in fault_points(
        run_load, arguments, preload=PRELOAD, prepare=start_from(folder)
    ):
        points += 1
        left = read(work)
        assert left == expected if not error else left in (before, expected), (point, error)
        run_load(work, kind, new_rows, DAY_2, 2)
        assert read(work) == expected, (point, error)
    assert points >= 20


@pytest.mark.integration
@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_stage_that_failed_took_its_files_away_and_changed_nothing(kind, folder):
    work, (new_rows, _) = str(folder), LOADS[kind]
    before = lay_out(folder, kind)
    arguments = (work, kind, new_rows, DAY_2, 1)
    found = files(work)
    for point, error in fault_points(
        run_stage, arguments, preload=PRELOAD, prepare=start_from(folder)
    ):
        assert read(work) == before, point
        if error:
            assert files(work) == found, (point, error)


@pytest.mark.integration
@pytest.mark.slow
def test_a_maintenance_that_failed_changed_no_row_and_can_be_run_again(folder):
    work = str(folder)
    run_load(work, "merge", OLD, DAY_1, 0)
    run_load(work, "merge on read", [("b", 3)], DAY_1, 1)
    run_load(work, "append", [("c", 4)], DAY_2, 2)
    expected = [("a", 1), ("b", 3), ("c", 4)]
    for point, error in fault_points(
        run_maintenance, (work,), preload=PRELOAD, prepare=start_from(folder)
    ):
        assert read(work) == expected, (point, error)
        run_maintenance(work)
        assert read(work) == expected, (point, error)


def run_with_short_files(folder: str, kind: str, pairs: list, limit: int) -> str:
    """Load where no file, the catalog's included, may grow past so many bytes."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        run_load(folder, kind, pairs, DAY_2, 1)
    except Exception as exc:  # noqa: BLE001 - the caller looks at it
        return f"{type(exc).__name__}: {exc}"
    return ""


@pytest.mark.integration
@pytest.mark.parametrize("kind", KINDS)
def test_files_cut_short_by_the_system_are_never_part_of_a_table(kind, folder):
    work, (new_rows, expected) = str(folder), LOADS[kind]
    before = lay_out(folder, kind)
    prepare = start_from(folder)
    run_load(work, kind, new_rows, DAY_2, 1)
    errors = []
    sizes = {p.stat().st_size for p in folder.rglob("*") if p.is_file()}
    plenty = 100 * max(sizes)
    for limit in sorted({0, 1, plenty} | {size - 1 for size in sizes}):
        prepare()
        (error,) = in_processes(
            run_with_short_files, [(work, kind, new_rows, limit)], preload=PRELOAD
        )
        errors.append(error)
        left = read(work)
        assert left == expected if not error else left in (before, expected), (limit, error)
        run_load(work, kind, new_rows, DAY_2, 2)
        assert read(work) == expected, (limit, error)
    assert not errors[-1]
    assert sum(bool(error) for error in errors) >= 5


class TestObjectStore:
    """Every request to S3 refused in turn, with all that follow: reads, writes and deletes."""

    @pytest.fixture
    def proxy(self, object_store):
        with faulty_proxy(object_store.s3_endpoint) as proxy:
            yield proxy

    @pytest.fixture
    def properties(self, object_store, tmp_path):
        return {
            "type": "sql",
            "uri": f"sqlite:///{tmp_path}/catalog.db",
            "warehouse": f"s3://phlo/{uuid.uuid4()}",
            **object_store.s3_properties,
        }

    @pytest.mark.integration
    @pytest.mark.xdist_group("servers")
    @pytest.mark.parametrize(
        "kind",
        ["first", *(pytest.param(k, marks=SLOW) for k in ("merge on read", "append", "replace"))],
    )
    def test_a_load_whose_store_went_away_can_be_run_again(self, kind, proxy, properties, tmp_path):
        new_rows, expected = LOADS[kind]
        before = None if kind == "first" else OLD
        start, points = tmp_path / "start.db", itertools.count(1)
        if before:
            publish_in(properties, "merge", OLD, 0)
        (tmp_path / "catalog.db").touch()
        shutil.copyfile(tmp_path / "catalog.db", start)
        for point in points:
            shutil.copyfile(start, tmp_path / "catalog.db")
            proxy.reset(point)
            error = publish_in(properties | {"s3.endpoint": proxy.url}, kind, new_rows, 1)
            is_complete = len(proxy.requests) < point
            left = read_in(properties)
            assert left == expected if not error else left in (before, expected), (point, error)
            assert not publish_in(properties, kind, new_rows, 2)
            assert read_in(properties) == expected, (point, error)
            if is_complete:
                assert not error
                break
        assert point > 10


def publish_in(properties: dict, kind: str, pairs: list, extraction: int) -> str:
    catalog = load_catalog("lake", **properties)
    day = DAY_2 if extraction else DAY_1
    try:
        store = IcebergStore(catalog)
        store.publish([stage_load(store, kind, pairs, day, extraction)])
    except Exception as exc:  # noqa: BLE001 - the caller looks at it
        return f"{type(exc).__name__}: {exc}"
    finally:
        catalog.engine.dispose()
    return ""


def read_in(properties: dict) -> list[tuple] | None:
    catalog = load_catalog("lake", **properties)
    try:
        if not catalog.table_exists("bronze.events"):
            return None
        rows = catalog.load_table("bronze.events").scan().to_arrow().to_pylist()
    finally:
        catalog.engine.dispose()
    return sorted((r["id"], r["value"]) for r in rows)
