"""Rows out of quarantine, loaded again."""

import importlib
import json
import math
from datetime import date, datetime
from decimal import Decimal

import pytest
from dagster import DagsterInstance
from phlo.errors import ReplayError
from phlo.lake import open_lake
from phlo.names import Partition, TableName
from phlo_dlt.kept.requeue import quarantined_rows
from phlo_dlt.spec import IngestionSpec

STRICT = """
    from datetime import datetime
    import pandera.pandas as pa
    from pandera.typing import Series

    class EventSchema(pa.DataFrameModel):
        id: Series[str] = pa.Field(unique=True)
        timestamp: Series[datetime]
        value: Series[float] = pa.Field(ge=0, le=100)
"""
RELAXED = STRICT.replace("le=100", "le=1000")
EVERY_TYPE = """
    from datetime import date, datetime
    from decimal import Decimal
    import pandas as pd
    import pandera.pandas as pa
    import pyarrow as arrow
    from pandera.typing import Series

    class EventSchema(pa.DataFrameModel):
        id: str
        number: int = pa.Field(ge=LOWEST)
        quoted: str = pa.Field(alias='we"ird name', nullable=True)
        ratio: float = pa.Field(nullable=True)
        raw: bytes = pa.Field(nullable=True)
        day: date = pa.Field(nullable=True)
        moment: datetime = pa.Field(nullable=True)
        price: Decimal = pa.Field(nullable=True)
        exact: Series[pd.ArrowDtype(arrow.decimal128(38, 18))] = pa.Field(nullable=True)
        flag: bool = pa.Field(nullable=True)
        nested: dict = pa.Field(nullable=True)
"""


def waiting(events):
    return {json.loads(r["key"])["id"]: r["is_loaded"] for r in events.quarantined()}


def test_rows_that_are_good_now_go_from_quarantine_to_the_table(events):
    events.declare(STRICT, invalid_rows="quarantine")
    rows = [events.row("a"), events.row("b", 500.0), events.row("c", 5000.0)]
    assert events.load(rows).success
    (found_at,) = {r["_phlo_ingested_at"] for r in events.rows()}

    events.declare(RELAXED, invalid_rows="quarantine")
    result = events.requeue()

    assert result.success, events.failure(result)
    assert events.values() == {"a": 1.0, "b": 500.0}
    assert {r["_phlo_ingested_at"] for r in events.rows()} == {found_at}
    assert waiting(events) == {"c": False}
    facts = events.facts(result)
    assert (facts["extracted"], facts["inserted"], facts["quarantined"]) == (2, 1, 1)


def test_a_strict_ingestion_loads_what_is_good_and_keeps_the_rest_in_quarantine(events):
    events.declare(STRICT, invalid_rows="quarantine")
    events.load([events.row("a"), events.row("b", 500.0), events.row("c", 5000.0)])

    events.declare(RELAXED)  # invalid_rows="fail"

    assert events.requeue().success
    assert events.values() == {"a": 1.0, "b": 500.0}
    assert waiting(events) == {"c": False}


def test_a_row_that_was_corrected_upstream_meanwhile_is_not_overwritten(events):
    events.declare(STRICT, invalid_rows="quarantine")
    events.load([events.row("b", 500.0)], "2025-01-15")
    assert events.load([events.row("b", 50.0)], "2025-01-16").success

    events.declare(RELAXED, invalid_rows="quarantine")
    assert events.requeue("2025-01-15").success

    assert events.values() == {"b": 50.0}
    assert waiting(events) == {}


@pytest.mark.parametrize("strategy", ["append", "replace"])
def test_rows_of_an_append_or_a_replace_are_added_once(events, strategy):
    options = {"merge_strategy": strategy, "invalid_rows": "quarantine"}
    events.declare(STRICT, **options)
    events.load([events.row("a"), events.row("b", 500.0)], "2025-01-15")
    events.load([events.row("d"), events.row("e", 700.0)], "2025-01-16")

    events.declare(RELAXED, **options)
    assert events.requeue("2025-01-15").success
    again = events.requeue("2025-01-15")

    assert "No row of bronze.events of partition 2025-01-15 waits" in (
        events.failure(again).description
    )
    assert events.values() == {"a": 1.0, "b": 500.0, "d": 1.0}
    assert waiting(events) == {"e": False}


def test_rows_loaded_all_the_same_are_corrected_by_a_merge_and_left_by_an_append(events):
    for strategy, expected, left in (("merge", [2**40], {}), ("append", [None], {"a": True})):
        options = {"merge_strategy": strategy, "invalid_rows": "keep", "table_name": strategy}
        ingestion = """
    from phlo_dlt import phlo_ingestion
    from workflows.schemas.api import EventSchema

    source = None

    @phlo_ingestion(
        unique_key="id", validation_schema=EventSchema, group="api", ARGUMENTS
    )
    def api_events(partition_date: str):
        return source(partition_date)
"""
        whole = STRICT.replace("value: Series[float] = pa.Field(ge=0, le=100)", "VALUE")
        narrow = whole.replace("VALUE", "value: Series[pa.Int32] = pa.Field(nullable=True)")
        wide = whole.replace("VALUE", "value: Series[pa.Int64] = pa.Field(nullable=True)")
        events.declare(narrow, ingestion, **options)
        assert events.load([events.row("a", 2**40)]).success
        events.declare(wide, ingestion, **options)
        result = events.requeue(quarantine=f"bronze__{strategy}")
        if strategy == "append":
            assert "No row" in events.failure(result, strategy).description
        assert [r["value"] for r in events.rows(f"bronze.{strategy}")] == expected
        found = events.rows(f"quarantine.bronze__{strategy}", by="key")
        assert {json.loads(r["key"])["id"]: r["is_loaded"] for r in found} == left


def test_values_of_every_type_come_back_as_they_were(events):
    events.declare(EVERY_TYPE.replace("LOWEST", "0"), invalid_rows="quarantine")
    row = {
        "id": "it's; DROP TABLE",
        "number": -(2**62) - 1,
        'we"ird name': 'é"\\\n\\x41',
        "ratio": math.nan,
        "raw": b'\x00\xff\\x41"',
        "day": date(1950, 1, 15),
        "moment": datetime(1950, 1, 15, 10, 0, 0, 123456),
        "price": Decimal("12345678901234567890"),
        "exact": Decimal("12345678901234567.123456789012345678"),
        "flag": True,
        "nested": {"a": [1, None, "é"]},
    }
    empty = dict.fromkeys(row) | {"id": "", "number": -1, "ratio": -math.inf}
    more = row | {"id": "x", "ratio": 0.1, "flag": False, "nested": {}, "raw": b""}
    assert events.load([row, empty, more]).success

    before = sorted(map(repr, map(content, _load_twice(events, [row, empty, more]))))
    assert len(before) == 3
    assert events.quarantined() == []


def content(row):
    return {k: v for k, v in row.items() if not k.startswith(("_dlt", "_phlo"))}


def _load_twice(events, rows):
    """The rows as a requeue loads them, which must be as a load from the source loads them."""
    events.declare(EVERY_TYPE.replace("LOWEST", "-(2**63)"), invalid_rows="quarantine")
    result = events.requeue()
    assert result.success, events.failure(result)
    requeued = events.rows()
    assert events.load(rows, "2025-01-16").success
    from_source = events.rows()
    assert sorted(map(repr, map(content, requeued))) == sorted(map(repr, map(content, from_source)))
    return requeued


REFUSED = """
    from decimal import Decimal
    from typing import Annotated
    import pandera.pandas as pa
    from pandera.engines.pandas_engine import Decimal as PlacesOf

    class EventSchema(pa.DataFrameModel):
        id: str
        text: str = pa.Field(nullable=True)
        raw: bytes = pa.Field(nullable=True)
        price: Annotated[PlacesOf, 20, PLACES, None] = pa.Field(nullable=True)
"""


def test_values_that_were_refused_are_loaded_only_where_they_fit_now(events):
    events.declare(REFUSED.replace("PLACES", "2"), invalid_rows="quarantine")
    rows = [
        {"id": "bytes as text", "text": b"\x00x"},
        {"id": "text as bytes", "raw": "\\x41"},
        {"id": "half a pair", "text": "\ud800"},
        {"id": "too many places", "price": Decimal("1.234")},
        {"id": "text as price", "price": "1.23"},
        {"id": "no price", "price": Decimal("Infinity")},
    ]
    assert events.load(rows).success
    assert events.rows() == []
    found = {r["key"]: r["row"] for r in events.quarantined()}
    assert len(found) == len(rows)

    assert events.requeue().success
    assert {r["key"]: r["row"] for r in events.quarantined()} == found
    assert events.rows() == []

    events.project.lake.store.drop(TableName("bronze", "events"))
    events.declare(REFUSED.replace("PLACES", "3"), invalid_rows="quarantine")
    assert events.requeue().success
    assert [(r["id"], r["price"]) for r in events.rows()] == [("too many places", Decimal("1.234"))]
    assert len(events.quarantined()) == len(rows) - 1


def test_rows_of_a_load_that_published_nothing_are_refused(events):
    events.declare(STRICT)
    failed = events.load([events.row("a"), events.row("b", 500.0)])
    assert not failed.success
    events.declare(RELAXED)
    (spec,) = events.project.load().specs(IngestionSpec)
    with DagsterInstance.ephemeral() as instance:
        instance.create_run_for_job(events._job, run_id=failed.run_id)
        with pytest.raises(ReplayError, match=f"--from-staged {failed.run_id[:8]}"):
            quarantined_rows(
                open_lake(), spec, Partition.parse("2025-01-15"), instance, failed.run_id
            )


def test_rows_that_came_to_quarantine_meanwhile_are_not_lost(events):
    """A load of the same day ends while the requeue audits: the requeue reads anew."""
    events.declare(STRICT, invalid_rows="quarantine")
    events.load([events.row("a"), events.row("b", 500.0)])
    events.project.write(
        "workflows/quality/events.py",
        """
        from phlo_quality import phlo_quality
        from phlo_quality.checks.base import SqlCheck

        meanwhile = []

        class Waits(SqlCheck):
            def measures(self, rows):
                while meanwhile:
                    meanwhile.pop()()
                return {}

            def judge(self, measured):
                from phlo_quality.results import QualityCheckResult
                return QualityCheckResult(passed=True, message="Waited.")

        @phlo_quality(table="bronze.events", checks=[Waits()])
        def waits():
            pass
        """,
    )
    events.declare(RELAXED, invalid_rows="quarantine", max_retries=1, retry_delay_seconds=0)
    import workflows.quality.events as suite

    newer = [events.row("a"), events.row("c", 5000.0), events.row("d", 6000.0)]
    job = events._job

    def load_same_day():
        module = importlib.import_module("workflows.ingestion.api.events")
        module.source, before = (lambda _: newer), module.source
        with DagsterInstance.ephemeral() as instance:
            assert job.execute_in_process(instance=instance, partition_key="2025-01-15").success
        module.source = before

    suite.meanwhile.append(load_same_day)
    events.requeue()

    assert waiting(events) == {"c": False, "d": False}


def test_nothing_leaves_quarantine_where_the_audit_refuses_the_rows(events):
    events.declare(STRICT, invalid_rows="quarantine")
    events.load([events.row("a"), events.row("b", 500.0)])
    events.project.write(
        "workflows/quality/events.py",
        """
        from phlo_quality import CountCheck, phlo_quality

        @phlo_quality(table="bronze.events", checks=[CountCheck(max_count=1)], scope="table")
        def few():
            pass
        """,
    )
    events.declare(RELAXED, invalid_rows="quarantine")

    result = events.requeue()

    assert "Blocking checks did not pass" in events.failure(result).description
    assert events.values() == {"a": 1.0}
    assert waiting(events) == {"b": False}


ONLY_NEW = {
    "merge_strategy": "append",
    "merge_config": {"on_rerun": "append"},
    "invalid_rows": "quarantine",
}


@pytest.mark.parametrize("order", [min, max], ids=["older first", "newer first"])
def test_rows_of_a_source_that_hands_over_only_new_ones_stay_until_they_are_mended(events, order):
    events.declare(STRICT, **ONLY_NEW)
    first = events.load([events.row("a"), events.row("b", 500.0), events.row("c", 600.0)])
    second = events.load([events.row("d"), events.row("e", 700.0), events.row("b", 5.0)])
    third = events.load([events.row("c", 650.0), events.row("f", 800.0)])
    fourth = events.load([events.row("c", 650.0)])
    assert all(load.success for load in (first, second, third, fourth))
    found = {json.loads(r["key"])["id"]: r["run_id"] for r in events.quarantined()}
    assert found == {"c": fourth.run_id, "e": second.run_id, "f": third.run_id}

    events.declare(RELAXED, **ONLY_NEW)
    for left in (2, 1, 0):
        runs = {r["_phlo_ingested_at"]: r["run_id"] for r in events.quarantined()}
        assert events.requeue(run_id=runs[order(runs)]).success
        assert len(events.quarantined()) == left

    rows = {"a": 1.0, "b": 5.0, "c": 650.0, "d": 1.0, "e": 700.0, "f": 800.0}
    assert events.values() == rows
    assert len(events.rows()) == len(rows)
