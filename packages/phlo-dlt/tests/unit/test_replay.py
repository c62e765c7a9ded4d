"""What a failed run extracted, loaded again without its source."""

import json
import math
from datetime import datetime
from types import SimpleNamespace

import dlt
import pandera.pandas as pandera
import pyarrow as pa
from filelock import FileLock
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from phlo.contract import Contract
from phlo_dlt.extract import extract
from phlo_dlt.kept.replay import MANIFEST, restored
from phlo_dlt.rows.workspace import Workspace

RELAXED = """
    from datetime import datetime
    import pandera.pandas as pa
    from pandera.typing import Series

    class EventSchema(pa.DataFrameModel):
        id: Series[str] = pa.Field(unique=True)
        timestamp: Series[datetime]
        value: Series[float] = pa.Field(ge=0, le=1000)
        note: Series[str] | None = pa.Field(nullable=True)
"""
WHOLE_NUMBERS = """
    from datetime import datetime
    import pandera.pandas as pa

    class EventSchema(pa.DataFrameModel):
        id: str
        timestamp: datetime
        value: int
"""
INCREMENTAL = """
    import dlt
    from phlo_dlt import phlo_ingestion
    from workflows.schemas.api import EventSchema

    source = None

    @dlt.resource(name="events")
    def rows(cursor=dlt.sources.incremental("timestamp")):
        yield from source(cursor.last_value)

    @phlo_ingestion(
        table_name="events", unique_key="id", validation_schema=EventSchema, group="api", ARGUMENTS
    )
    def api_events(partition_date: str):
        return rows()
"""


def manifest_of(events, run_id: str) -> dict:
    (path,) = events.project.root.glob(f".phlo/staging/{run_id}/*/{MANIFEST}")
    return json.loads(path.read_text())


def test_the_rows_of_a_failed_run_are_judged_and_loaded_again(events):
    events.declare()
    failed = events.load([events.row("a"), events.row("a", 7.0), events.row("b", 500.0)])
    assert not failed.success
    extracted_at = datetime.fromisoformat(manifest_of(events, failed.run_id)["began_at"])

    events.declare(RELAXED)
    result = events.replay(failed.run_id[:8])

    assert result.success, events.failure(result)
    assert events.values() == {"a": 7.0, "b": 500.0}
    assert {r["_phlo_ingested_at"] for r in events.rows()} == {extracted_at}
    assert {r["_phlo_run_id"] for r in events.rows()} == {result.run_id}
    assert events.facts(result)["from_run"] == failed.run_id
    assert events.facts(result)["extracted"] == 3
    assert events.quarantined() == []
    assert not list(events.project.root.glob(".phlo/staging/*"))


def test_rows_that_still_break_the_contract_stay_to_be_loaded_again(events):
    events.declare()
    failed = events.load([events.row("a"), events.row("b", 5000.0)])

    events.declare(RELAXED)
    again = events.replay(failed.run_id)

    assert "id='b' breaks value: less_than_or_equal_to(1000)" in events.failure(again).description
    assert (
        manifest_of(events, failed.run_id)["began_at"]
        == (manifest_of(events, again.run_id)["began_at"])
    )
    events.declare(RELAXED.replace("le=1000", "le=9000"))
    assert events.replay(again.run_id).success
    assert events.values() == {"a": 1.0, "b": 5000.0}


def test_values_that_could_not_be_cast_come_back_as_the_source_delivered_them(events):
    events.declare(WHOLE_NUMBERS)
    failed = events.load([{**events.row("a", 1), "Value": None}, events.row("b", 1.5)])
    assert not failed.success
    mixed = events.load([events.row("a", 1), events.row("b", 1.5), events.row("c", 2**60)])
    assert not mixed.success

    events.declare(RELAXED.replace("le=1000", "le=1e19"))

    assert events.replay(mixed.run_id).success
    assert events.values() == {"a": 1.0, "b": 1.5, "c": float(2**60)}


def test_rows_extracted_before_those_in_the_table_do_not_overwrite_them(events):
    events.declare()
    failed = events.load([events.row("a", 1.0), events.row("b", 500.0)])
    assert events.load([events.row("a", 2.0)]).success

    events.declare(RELAXED)
    assert events.replay(failed.run_id).success

    assert events.values() == {"a": 2.0, "b": 500.0}


def at(hour: int) -> str:
    return f"2025-01-15T{hour:02}:00:00Z"


def incremental(events, upstream: list, schema: str):
    seen = []

    def source(cursor):
        seen.append(cursor)
        yield [row for row in upstream if cursor is None or row["timestamp"] >= cursor]

    events.declare(schema, INCREMENTAL)
    return source, seen


def load_incremental(events, source):
    import importlib

    module = importlib.import_module("workflows.ingestion.api.events")
    module.source = source
    return events.load(source)


def test_the_cursor_of_a_replayed_extraction_is_published_with_its_rows(events):
    upstream = [events.row("a", 1.0, at(1)), events.row("b", 500.0, at(2))]
    source, _ = incremental(events, upstream, SCHEMA)
    failed = load_incremental(events, source)
    assert not failed.success

    source, seen = incremental(events, upstream, RELAXED)
    assert events.replay(failed.run_id).success
    upstream.append(events.row("c", 3.0, at(3)))
    assert load_incremental(events, source).success

    assert seen == [at(2)]
    assert events.values() == {"a": 1.0, "b": 500.0, "c": 3.0}


def test_a_replay_that_would_set_the_cursor_back_is_refused(events):
    upstream = [events.row("a", 1.0, at(1)), events.row("b", 500.0, at(2))]
    source, _ = incremental(events, upstream, SCHEMA)
    failed = load_incremental(events, source)
    source, _ = incremental(events, upstream, RELAXED)
    upstream.append(events.row("c", 3.0, at(3)))
    assert load_incremental(events, source).success

    result = events.replay(failed.run_id)

    assert "would set it back" in events.failure(result).description
    assert manifest_of(events, failed.run_id)["run_id"] == failed.run_id
    assert events.values() == {"a": 1.0, "b": 500.0, "c": 3.0}


SCHEMA = RELAXED.replace("le=1000", "le=100")
OTHER_TYPE = RELAXED.replace("note: Series[str] | None", "note: Series[int] | None")
AS_TEXT = RELAXED.replace("value: Series[float] = pa.Field(ge=0, le=1000)", "value: str")


def test_what_cannot_be_loaded_again_is_refused_with_the_reason(events):
    events.declare()
    failed = events.load([events.row("b", 500.0, extra="x")])
    run_id = failed.run_id

    def reason(run=run_id, partition="2025-01-15"):
        return events.failure(events.replay(run, partition)).description

    assert "No run whose id begins with 'nope' has kept rows." in reason("nope")
    assert run_id in reason("nope")
    assert f"Run {run_id} extracted another partition" in reason(partition="2025-01-16")
    assert "Give --partition 2025-01-15." in reason(partition="2025-01-16")
    with FileLock(events.project.root / f".phlo/staging/{run_id}/dlt_events-0/.lock"):
        assert "still going on" in reason()

    events.declare(RELAXED + "        extra: Series[str]\n")
    assert "delivered 'extra', but EventSchema did not have it" in reason()
    events.declare(AS_TEXT)
    assert "EventSchema.value is a string now, but the rows were kept with it as double" in reason()

    other = events.project.root / ".phlo/staging/other/dlt_orders-0"
    other.mkdir(parents=True)
    assert "kept no rows of bronze.events" in reason("other")
    assert "dlt_orders" in reason("other")

    events.declare(RELAXED)
    assert events.replay(run_id).success


def test_a_run_whose_source_failed_has_nothing_to_load_again(events):
    events.declare()

    def source(_):
        yield events.row("a")
        raise OSError("gone")

    failed = events.load(source)
    assert not failed.success
    result = events.replay(failed.run_id)
    assert "before it had all rows of its source" in events.failure(result).description


def test_a_resource_with_a_limit_is_not_cut_again(events):
    events.declare()

    @dlt.resource(name="events")
    def rows():
        yield [events.row("a"), events.row("b", 500.0)]
        yield [events.row("c")]

    failed = events.load(lambda _: rows().add_limit(1))
    events.declare(RELAXED)
    assert events.replay(failed.run_id).success
    assert events.values() == {"a": 1.0, "b": 500.0}


class IdAndValue(pandera.DataFrameModel):
    """What staged rows are conformed to."""

    id: str
    value: float = pandera.Field(nullable=True)


VALUES = (
    st.none() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=3) | st.booleans()
)


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    batches=st.lists(
        st.lists(
            st.fixed_dictionaries(
                {"id": st.text(max_size=3)}, optional={"Value": VALUES, "other": VALUES}
            ),
            max_size=4,
        ),
        max_size=4,
    )
)
def test_rows_that_come_out_of_staging_conform_as_they_did(batches, tmp_path_factory):
    contract = Contract.of(IdAndValue)
    first, folder = staged(batches, contract, tmp_path_factory)
    manifest = SimpleNamespace(
        columns=tuple(contract.column_names),
        files=first.files,
        delivered=tuple(first.delivered),
    )
    again, other = staged(list(restored(folder, manifest, contract)), contract, tmp_path_factory)
    assert rows_of(again, contract, other) == rows_of(first, contract, folder)
    assert again.row_count == first.row_count


def staged(batches, contract, tmp_path_factory):
    folder = tmp_path_factory.mktemp("staging")
    return extract(iter(batches), name="events", contract=contract, folder=folder), folder


def rows_of(extraction, contract, folder):
    """Every row with its problems, in order."""
    if not extraction.files:
        return []
    work = Workspace(extraction.files, contract, folder=folder, memory_limit_mb=256)
    try:
        query = "SELECT id, value, _phlo_problems FROM rows ORDER BY _phlo_row_number"
        return [(i, repr(v), p) for i, v, p in work.run(query).fetchall()]
    finally:
        work.close()


def test_nan_among_staged_rows_is_found_whatever_the_other_values_are(tmp_path_factory):
    """Parquet's statistics leave NaN out, and DuckDB skips rows by them."""
    contract = Contract.of(IdAndValue)
    rows = pa.table({"id": ["a", "b", "c"], "value": [1.5, math.nan, 1.5]})
    extraction, folder = staged([rows], contract, tmp_path_factory)
    work = Workspace(extraction.files, contract, folder=folder, memory_limit_mb=256)
    try:
        assert work.run("SELECT id FROM rows WHERE NOT (value <= 1.5)").fetchall() == [("b",)]
    finally:
        work.close()
