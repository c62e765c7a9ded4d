"""Ingestions as Dagster sees them, and their audits."""

import importlib
import time
from datetime import UTC, datetime, timedelta

import dagster
import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from dagster import AssetKey, DagsterInstance, DefaultScheduleStatus
from phlo.errors import BrokenSourceError, InvalidArgumentError
from phlo.names import TableName
from phlo.values import Replace
from phlo_dlt import schedule
from phlo_dlt.source_errors import raise_source_error

KEY = AssetKey("dlt_events")


def test_the_asset_has_the_spec_that_the_decorator_was_given(events):
    events.project.set(PHLO_TIMEZONE="Europe/Berlin")
    events.declare(
        freshness_hours=(1, 24), start_date="2025-01-01", max_retries=2, retry_delay_seconds=7
    )

    asset = events.project.definitions().resolve_asset_graph().get(KEY)

    assert asset.group_name == "api"
    assert asset.kinds == {"dlt", "iceberg"}
    assert asset.metadata["dagster/table_name"] == "bronze.events"
    assert [c.name for c in asset.metadata["dagster/column_schema"].columns][:2] == [
        "id",
        "timestamp",
    ]
    policy = asset.freshness_policy
    assert (policy.warn_window.to_timedelta(), policy.fail_window.to_timedelta()) == (
        timedelta(hours=1),
        timedelta(hours=24),
    )
    keys = asset.partitions_def.get_partition_keys(
        current_time=datetime(2025, 1, 2, 23, 30, tzinfo=UTC)
    )
    assert keys == ["2025-01-01", "2025-01-02", "2025-01-03"]  # it is the third in Berlin
    retries = events.project.definitions().get_assets_def(KEY).op.retry_policy
    assert (retries.max_retries, retries.delay) == (2, 7)


@pytest.mark.parametrize(
    ("partitions", "key", "days"), [("weekly", "2025-01-12", 7), ("monthly", "2025-02-01", 28)]
)
def test_longer_partitions_replace_all_their_days(events, partitions, key, days):
    events.declare(partitions=partitions, merge_strategy="replace")
    events.load([events.row("a")], key)

    assert events.load([events.row("b")], key).success

    assert {r["id"]: str(r["_phlo_partition_date"]) for r in events.rows()} == {"b": key}


@pytest.mark.parametrize(
    ("partitions", "start", "first"),
    [
        ("weekly", "2025-01-01", "2024-12-29"),
        ("weekly", "2025-01-05", "2025-01-05"),
        ("monthly", "2025-01-31", "2025-01-01"),
        ("daily", "2025-01-31", "2025-01-31"),
    ],
)
def test_the_first_partition_holds_the_first_day(events, partitions, start, first):
    events.declare(partitions=partitions, start_date=start)
    events.load([events.row("a")], first)
    assert [str(row["_phlo_partition_date"]) for row in events.rows()] == [first]
    definition = events.project.definitions().get_assets_def(KEY).partitions_def
    assert definition.get_first_partition_key() == first


def test_an_asset_without_partitions_replaces_its_table(events):
    events.declare(partitions=None, merge_strategy="replace")
    events.load([events.row("a"), events.row("b")], None)

    assert events.load([events.row("c")], None).success

    assert {r["id"]: r["_phlo_partition_date"] for r in events.rows()} == {"c": None}


RESOURCES = """
    from dagster import ConfigurableResource

    class MyAPIResource(ConfigurableResource):
        key: str

    my_api = MyAPIResource(key="by name")
    other_api = MyAPIResource(key="by annotation")

    class Lone(ConfigurableResource):
        key: str = "alone"

    lone = Lone()
"""

WITH_RESOURCES = """
    from dagster import AssetExecutionContext
    from phlo_dlt import phlo_ingestion
    from workflows.resources.custom import Lone, MyAPIResource
    from workflows.schemas.api import EventSchema

    @phlo_ingestion(
        table_name="events", unique_key="id", validation_schema=EventSchema, group="api", ARGUMENTS
    )
    def api_events(my_api: MyAPIResource, c: AssetExecutionContext, partition_date, any_name: Lone):
        return [
            {"id": my_api.key, "timestamp": partition_date, "value": 1},
            {"id": any_name.key, "timestamp": c.partition_key, "value": 2},
        ]
"""


def test_a_function_takes_context_and_resources_by_name_or_annotation_in_any_order(events):
    events.project.write("workflows/resources/custom.py", RESOURCES)
    events.declare(ingestion=WITH_RESOURCES)

    assert events.load(None).success

    assert events.values() == {"by name": 1.0, "alone": 2.0}


def test_a_parameter_that_nothing_provides_is_an_error_that_lists_the_resources(events):
    events.project.write("workflows/resources/custom.py", RESOURCES)
    wrong = WITH_RESOURCES.replace("any_name: Lone", "nobody")

    with pytest.raises(InvalidArgumentError, match="'nobody'") as caught:
        events.declare(ingestion=wrong)

    assert "'other_api'" in str(caught.value)


def test_a_resource_class_without_an_instance_is_told_with_the_line_to_write(events):
    classes = RESOURCES.replace("    lone = Lone()\n", "")
    events.project.write("workflows/resources/custom.py", classes)

    with pytest.raises(InvalidArgumentError, match=r"`any_name = Lone\(\.\.\.\)`"):
        events.declare(ingestion=WITH_RESOURCES)


def test_a_context_that_the_function_does_not_take_is_told_as_such():
    with pytest.raises(BrokenSourceError, match=r"partition_date: str, context\)"):
        raise_source_error(NameError("name 'context' is not defined", name="context"), "events")


def test_the_guides_conditional_function_may_take_the_context_alone(events):
    body = """
        context.log.info("nothing to do")
        return None
"""
    text = WITH_RESOURCES.partition("    def ")[0] + "    def api_events(context):" + body
    events.project.write("workflows/resources/custom.py", RESOURCES)

    events.declare(ingestion=text)

    assert events.load(None).success


DOWNSTREAM = """
    from dagster import asset

    @asset(deps=["dlt_events"])
    def downstream():
        pass
"""


def test_what_is_downstream_runs_only_where_there_is_data(events):
    events.project.write("workflows/downstream.py", DOWNSTREAM)
    events.declare(partitions=None)

    skipped = events.load(None, None)
    loaded = events.load([], None)

    assert skipped.success
    assert not skipped.asset_materializations_for_node("downstream")
    assert loaded.asset_materializations_for_node("downstream")


def test_a_source_that_hangs_is_stopped_and_nothing_of_it_is_visible(events):
    events.declare(max_runtime_seconds=1)
    seen = []

    def source(_):
        def rows():
            yield events.row("a")
            while True:
                time.sleep(0.05)
                seen.append(time.monotonic())

        return rows()

    result = events.load(source)

    assert "longer than 1 seconds" in str(result.failure_data_for_node("dlt_events").error.cause)
    assert not events.project.lake.store.list_tables()
    time.sleep(0.3)
    stopped_at = seen[-1]
    time.sleep(0.3)
    assert seen[-1] == stopped_at


def test_a_rest_between_attempts_is_no_part_of_the_time_limit(events):
    events.declare(max_runtime_seconds=5, max_retries=1, retry_delay_seconds=6)
    answers = iter([ConnectionError("down"), [events.row("a")]])

    def source(_):
        answer = next(answers)
        if isinstance(answer, ConnectionError):
            raise answer
        return answer

    assert events.load(source).success


SUITE = """
    from phlo_quality import phlo_quality, CountCheck, FreshnessCheck, RangeCheck

    @phlo_quality(
        table="bronze.events",
        checks=[
            RangeCheck(column="value", min_value=0, max_value=10),
            CountCheck(min_count=1, max_count=3),
            FreshnessCheck(column="timestamp", max_age_hours=1),
        ],
    )
    def events_quality():
        pass
"""


def outcome(result):
    """Whether each check passed."""
    return {e.check_name: e.passed for e in result.get_asset_check_evaluations()}


RANGE, COUNT, FRESH = (
    "events_quality__RangeCheck__value",
    "events_quality__CountCheck",
    "events_quality__FreshnessCheck__timestamp",
)


def test_a_blocking_suite_judges_the_load_before_it_is_visible(events):
    events.project.write("workflows/quality/api.py", SUITE)
    events.declare()
    assert outcome(events.load([events.row("a")])) == {RANGE: True, COUNT: True, FRESH: False}

    result = events.load([events.row("b", 50.0)], "2025-01-16")

    assert not result.success
    assert outcome(result) == {RANGE: False, COUNT: True}
    assert RANGE in events.failure(result).description
    assert events.values() == {"a": 1.0}
    (branch,) = [name for name in events.table().refs() if name.startswith("audit/")]
    assert branch.startswith("audit/dlt_events/2025-01-16/")
    kept = events.table().scan(snapshot_id=events.table().refs()[branch].snapshot_id).to_arrow()
    assert sorted(kept["id"].to_pylist()) == ["a", "b"]


def test_a_failed_first_load_leaves_no_table(events):
    events.project.write("workflows/quality/api.py", SUITE)
    events.declare()

    assert not events.load([events.row("b", 50.0)]).success

    assert not events.project.lake.store.list_tables()


def test_the_checks_run_alone_on_the_published_table(events):
    events.project.write("workflows/quality/api.py", SUITE)
    events.declare()
    events.load([events.row("a")])
    snapshot = events.table().current_snapshot()
    job = events.project.definitions().resolve_implicit_global_asset_job_def()

    with DagsterInstance.ephemeral() as instance:
        checks = {dagster.AssetCheckKey(KEY, RANGE)}
        # Dagster takes checks alone only by a subset of the job.
        subset = job.get_subset(asset_selection=set(), asset_check_selection=checks)
        result = subset.execute_in_process(instance=instance, partition_key="2025-01-15")

    assert outcome(result) == {RANGE: True}
    assert not result.asset_materializations_for_node("dlt_events")
    assert events.table().current_snapshot() == snapshot


RIVAL = """
    from phlo_quality import QualityCheck, QualityCheckResult, phlo_quality

    rival = None

    class Rival(QualityCheck):
        def execute(self, df, context):
            rival()
            return QualityCheckResult(passed=True)

    @phlo_quality(table="bronze.events", checks=[Rival()])
    def events_quality():
        pass
"""


def test_a_load_whose_table_moved_during_the_audit_is_staged_anew(events):
    events.project.write("workflows/quality/api.py", RIVAL)
    events.declare()
    suite = importlib.import_module("workflows.quality.api")
    suite.rival = lambda: None
    assert events.load([events.row("a")]).success
    calls = []

    def rival():
        calls.append(1)
        if len(calls) == 1:
            rows = events.table().scan().to_arrow()
            (row,) = rows.to_pylist()
            other = row | {"id": "from another writer"}
            events.table().append(pa.Table.from_pylist([other], schema=rows.schema))

    suite.rival = rival
    result = events.load([events.row("b")], "2025-01-16")
    assert result.success, events.failure(result).description

    assert sorted(events.values()) == ["a", "b", "from another writer"]
    assert len(calls) == 2


def test_cron_is_a_schedule_that_is_on(events):
    events.declare(cron="0 */6 * * *")

    found = events.project.definitions().resolve_schedule_def("dlt_events_schedule")

    assert found.default_status is DefaultScheduleStatus.RUNNING
    assert found.cron_schedule == "0 */6 * * *"


@pytest.mark.parametrize(
    ("now", "keys"),
    [
        (datetime(2025, 1, 3, 6, tzinfo=UTC), ["2025-01-03"]),
        (datetime(2025, 1, 3, 0, tzinfo=UTC), ["2025-01-02", "2025-01-03"]),
        (datetime(2025, 1, 1, 0, tzinfo=UTC), ["2025-01-01"]),
    ],
)
def test_the_first_tick_of_a_day_also_loads_the_day_before(events, now, keys):
    events.declare(cron="0 */6 * * *", start_date="2025-01-01")
    definitions = events.project.definitions()
    tick = definitions.resolve_schedule_def("dlt_events_schedule")

    with dagster.build_schedule_context(
        scheduled_execution_time=now, repository_def=definitions.get_repository_def()
    ) as context:
        requests = tick.evaluate_tick(context).run_requests

    assert [request.partition_key for request in requests] == keys


def test_a_tick_of_an_unpartitioned_asset_names_no_partition():
    now = datetime(2025, 1, 3, tzinfo=UTC)

    assert schedule.keys_of_tick(None, "0 0 * * *", now) == [None]


PARTNERS = """
    from phlo_quality import (
        CustomSQLCheck, QualityCheck, QualityCheckResult, RelationshipCheck, phlo_quality
    )

    rival = None

    class Rival(QualityCheck):
        def execute(self, df, context):
            rival()
            return QualityCheckResult(passed=True)

    @phlo_quality(table="bronze.events", checks=[OTHER, Rival()])
    def events_quality():
        pass
"""
KNOWN = TableName("ref", "known")
BY_RELATION = 'RelationshipCheck("id", "ref.known", "id")'
BY_SQL = (
    'CustomSQLCheck("SELECT count(*) FROM bronze.events '
    'WHERE id NOT IN (SELECT id FROM lake.ref.known)", 0)'
)


def write_known(events, *ids):
    store, rows = events.project.lake.store, pa.table({"id": pa.array(ids, pa.string())})
    store.publish([store.stage(KNOWN, ds.dataset(rows), Replace(), schema=rows.schema)])


@pytest.fixture(params=[BY_RELATION, BY_SQL], ids=["relation", "sql"])
def partners(events, request):
    """Events must stand in ``ref.known``; ``partners.rival`` runs once, after that was judged."""
    events.project.write("workflows/quality/api.py", PARTNERS.replace("OTHER", request.param))
    events.declare()
    module = importlib.import_module("workflows.quality.api")
    module.calls = []

    def rival_once():
        module.calls.append(1)
        if len(module.calls) == 1:
            module.act()

    module.rival = rival_once
    return module


def test_a_load_whose_partners_went_during_the_audit_is_judged_anew(events, partners):
    write_known(events, "a", "b")
    partners.act = lambda: write_known(events, "a")

    result = events.load([events.row("b")])

    assert not result.success
    assert "did not pass" in events.failure(result).description
    assert len(partners.calls) == 2
    assert not events.project.lake.store.exists(TableName("bronze", "events"))


def test_a_load_whose_partners_moved_and_stayed_lands_at_the_second_audit(events, partners):
    write_known(events, "a", "b")
    partners.act = lambda: write_known(events, "a", "b", "c")

    result = events.load([events.row("a"), events.row("b", 2.0)])

    assert result.success, events.failure(result).description
    assert len(partners.calls) == 2
    assert events.values() == {"a": 1.0, "b": 2.0}


def test_a_load_whose_partners_rest_is_audited_once(events, partners):
    write_known(events, "a")
    partners.act = lambda: None

    assert events.load([events.row("a")]).success

    assert len(partners.calls) == 1
    assert events.values() == {"a": 1.0}
