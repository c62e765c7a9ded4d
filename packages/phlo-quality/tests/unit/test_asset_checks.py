"""Suites in Dagster: where each check is declared, and what a run of it records."""

import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from dagster import (
    AssetCheckKey,
    AssetCheckSeverity,
    AssetKey,
    AssetSelection,
    DagsterInstance,
    Definitions,
    define_asset_job,
)
from phlo.errors import AssetNotFoundError, DuplicateAssetError
from phlo.lake import open_lake
from phlo.names import TableName
from phlo.plugins import hookimpl, plugin_manager
from phlo.values import Replace, TableAsset

ASSETS = """
    from dagster import DailyPartitionsDefinition, asset

    @asset(partitions_def=DailyPartitionsDefinition("2025-01-01"))
    def dlt_events():
        pass

    @asset
    def dlt_users():
        pass

    @asset(deps=["dlt_users"])
    def after_users():
        pass
"""
SUITES = """
    from phlo_quality import CountCheck, NullCheck, QualityCheck, QualityCheckResult
    from phlo_quality import RangeCheck, UniqueCheck, phlo_quality

    class Seen(QualityCheck):
        def execute(self, df, context):
            return QualityCheckResult(True, message=context.run.run_id)

    @phlo_quality(
        table="bronze.events",
        checks=[
            NullCheck(columns=["id"]),
            RangeCheck(column="value", min_value=0, max_value=100, severity="warn"),
            UniqueCheck(columns=["id"]),
            CountCheck(min_count=1),
            Seen(),
        ],
        partition_column="day",
        group="api",
    )
    def events_quality():
        pass
"""
ROWS = pa.table(
    {
        "id": ["a", "a", "b"],
        "value": [1.0, 101.0, 2.0],
        "day": pa.array(["2025-01-14", "2025-01-15", "2025-01-15"]).cast(pa.date32()),
    }
)


class Tables:
    """A plugin that says which asset makes which table."""

    def __init__(self, *, audits):
        self.audits = audits

    @hookimpl
    def phlo_register_tables(self, project):
        events, users = TableName("bronze", "events"), TableName("bronze", "users")
        return [
            TableAsset(events, ("dlt_events",), audits=self.audits),
            TableAsset(users, ("dlt_users",), audits=self.audits),
        ]


@pytest.fixture
def project(phlo_project):
    phlo_project.write("workflows/assets.py", ASSETS)
    plugin_manager().register(Tables(audits=False), name="tables")
    stage = open_lake().store.stage(
        TableName("bronze", "events"), ds.dataset(ROWS), Replace(), schema=ROWS.schema
    )
    open_lake().store.publish([stage])
    return phlo_project


def specs(definitions):
    return {s.name: s for d in definitions.asset_checks or [] for s in d.check_specs}


def run_checks(definitions, partition=None, names=None, key="dlt_events"):
    """Run an asset's checks; their evaluations by name, and the run.

    Dagster has no partitioned runs of checks alone: with a partition the asset is run too.
    """
    asset = AssetSelection.assets(AssetKey(key)).without_checks()
    selection = AssetSelection.checks_for_assets(AssetKey(key))
    if names:
        selection = AssetSelection.checks(*[AssetCheckKey(AssetKey(key), n) for n in names])
    job = define_asset_job("checks", asset | selection if partition else selection)
    merged = Definitions.merge(definitions, Definitions(jobs=[job]))
    with DagsterInstance.ephemeral() as instance:
        run = merged.resolve_job_def("checks").execute_in_process(
            instance=instance, partition_key=partition, raise_on_error=False
        )
    return {e.check_name: e for e in run.get_asset_check_evaluations()}, run


def test_every_check_of_a_suite_is_a_check_of_the_asset_that_makes_its_table(project):
    project.write("workflows/quality/api.py", SUITES)
    found = specs(project.definitions())
    assert sorted(found) == [
        "events_quality__CountCheck",
        "events_quality__NullCheck__id",
        "events_quality__RangeCheck__value",
        "events_quality__Seen",
        "events_quality__UniqueCheck__id",
    ]
    assert {s.asset_key for s in found.values()} == {AssetKey("dlt_events")}
    assert found["events_quality__NullCheck__id"].blocking
    assert not found["events_quality__RangeCheck__value"].blocking


def test_a_run_of_the_checks_records_verdicts_with_their_metadata(project):
    project.write("workflows/quality/api.py", SUITES)
    found, run = run_checks(project.definitions(), partition="2025-01-15")
    verdicts = {n.split("__")[1]: (e.passed, e.severity) for n, e in found.items()}
    assert verdicts == {
        "NullCheck": (True, AssetCheckSeverity.ERROR),
        "RangeCheck": (False, AssetCheckSeverity.WARN),
        "UniqueCheck": (False, AssetCheckSeverity.ERROR),
        "CountCheck": (True, AssetCheckSeverity.ERROR),
        "Seen": (True, AssetCheckSeverity.ERROR),
    }
    facts = {k: v.value for k, v in found["events_quality__RangeCheck__value"].metadata.items()}
    assert (facts["check_name"], facts["table"]) == ("RangeCheck", "bronze.events")
    assert (facts["row_count"], facts["failed_count"]) == (2, 1)
    assert (facts["scope"], facts["status"]) == ("partition 2025-01-15", "failed")
    assert "101.0" in facts["sample"]
    assert '"bronze"."events"' in facts["sql"]
    assert found["events_quality__Seen"].description == run.run_id


@pytest.mark.parametrize("partition", [None, "2025-01-15"])
def test_one_check_can_be_run_alone(project, partition):
    project.write("workflows/quality/api.py", SUITES)
    name = "events_quality__NullCheck__id"
    found, _ = run_checks(project.definitions(), partition=partition, names=[name])
    assert list(found) == [name]


def test_a_run_without_partition_judges_the_whole_table(project):
    project.write("workflows/quality/api.py", SUITES)
    found, _ = run_checks(project.definitions())
    facts = found["events_quality__CountCheck"].metadata
    assert (facts["row_count"].value, facts["scope"].value) == (3, "table")


def test_the_partition_of_a_run_is_none_of_an_asset_without_partitions(project):
    project.write("workflows/quality/users.py", SUITES.replace('"bronze.events"', '"bronze.users"'))
    stage = open_lake().store.stage(
        TableName("bronze", "users"), ds.dataset(ROWS), Replace(), schema=ROWS.schema
    )
    open_lake().store.publish([stage])
    found, _ = run_checks(project.definitions(), key="dlt_users")
    assert found["events_quality__CountCheck"].metadata["row_count"].value == 3


def test_a_failed_blocking_check_stops_what_is_downstream(project):
    project.write(
        "workflows/quality/users.py",
        """
        from phlo_quality import CountCheck, phlo_quality

        @phlo_quality(table="bronze.users", checks=[CountCheck(min_count=1)])
        def users_quality():
            pass
        """,
    )
    with DagsterInstance.ephemeral() as instance:
        job = project.definitions().resolve_implicit_global_asset_job_def()
        keys = [AssetKey("dlt_users"), AssetKey("after_users")]
        run = job.get_subset(
            asset_selection=set(keys), asset_check_selection=None
        ).execute_in_process(instance=instance, raise_on_error=False)
    assert not run.success
    (found,) = run.get_asset_check_evaluations()
    assert (found.passed, found.metadata["status"].value) == (False, "could_not_run")
    made = {e.asset_key for e in run.get_asset_materialization_events()}
    assert made == {AssetKey("dlt_users")}


def test_observers_are_told_the_results(project):
    seen = []

    class Observer:
        @hookimpl
        def phlo_on_checks(self, event):
            seen.append(event)

    plugin_manager().register(Observer(), name="observer")
    project.write("workflows/quality/api.py", SUITES)
    _, run = run_checks(project.definitions(), partition="2025-01-15")
    (event,) = seen
    assert (str(event.table), event.run_id, event.staged) == ("bronze.events", run.run_id, False)
    assert [r.passed for r in event.results] == [True, False, False, True, True]


@pytest.mark.parametrize(("blocking", "count"), [(True, 0), (False, 5)])
def test_blocking_suites_of_an_asset_that_audits_are_left_to_it(project, blocking, count):
    plugin_manager().unregister(name="tables")
    plugin_manager().register(Tables(audits=True), name="tables")
    project.write(
        "workflows/quality/api.py", SUITES.replace("group=", f"blocking={blocking}, group=")
    )
    assert len(specs(project.definitions())) == count


def test_a_suite_for_a_table_that_nothing_makes_is_refused_with_suggestions(project):
    project.write("workflows/quality/api.py", SUITES.replace("bronze.events", "bronze.event"))
    with pytest.raises(AssetNotFoundError, match=r"'bronze\.event'.*events_quality.*api\.py:") as e:
        project.definitions()
    assert "Did you mean 'bronze.events'?" in e.value.hint


def test_a_suite_for_an_external_asset_names_its_key(project):
    text = SUITES.replace('table="bronze.events"', 'table="raw.feed", asset_key="up/feed"')
    project.write("workflows/quality/api.py", text)
    definitions = project.definitions()
    assert {s.asset_key for s in specs(definitions).values()} == {AssetKey(["up", "feed"])}
    stage = open_lake().store.stage(
        TableName("raw", "feed"), ds.dataset(ROWS), Replace(), schema=ROWS.schema
    )
    open_lake().store.publish([stage])
    found, _ = run_checks(definitions, key=["up", "feed"])
    assert found["events_quality__CountCheck"].metadata["row_count"].value == 3


def test_two_suites_whose_checks_share_names_are_refused(project):
    project.write("workflows/quality/api.py", SUITES)
    project.write("workflows/quality/again.py", SUITES)
    with pytest.raises(DuplicateAssetError, match=r"2 checks of the asset 'dlt_events'"):
        project.definitions()
