"""Runs of a branch in the history of its source."""

import pytest
from dagster import (
    AssetCheckResult,
    AssetKey,
    DagsterEventType,
    DagsterInstance,
    DailyPartitionsDefinition,
    MaterializeResult,
    asset,
    asset_check,
    materialize,
)
from phlo.orchestration import branch_runs, dagster_private
from phlo.orchestration.branch_runs import BRANCH_TAG, copy_branch_runs
from phlo.orchestration.missing import last_made, made_partitions
from phlo.orchestration.undone import mark_undone

DAYS, MODEL, OTHER = AssetKey("days"), AssetKey("model"), AssetKey("other")


@asset(partitions_def=DailyPartitionsDefinition("2025-01-01"))
def days(context):
    context.log.info("loaded the day")
    return MaterializeResult(metadata={"dagster/row_count": 3})


@asset
def model():
    return MaterializeResult()


@asset
def other():
    return MaterializeResult()


@asset_check(asset=model)
def is_good():
    return AssetCheckResult(passed=True)


def make(instance, *assets, day=None):
    checks = [is_good] if model in assets else []
    result = materialize([*assets, *checks], instance=instance, partition_key=day)
    return result.run_id


@pytest.fixture(params=["files", "memory"])
def sides(request, tmp_path):
    """The histories of a branch and its source: in a file for each run, or in one storage."""
    if request.param == "memory":
        with DagsterInstance.ephemeral() as branch, DagsterInstance.ephemeral() as source:
            yield branch, source
        return
    for side in ("branch", "source"):
        (tmp_path / side).mkdir()
    with (
        DagsterInstance.local_temp(str(tmp_path / "branch")) as branch,
        DagsterInstance.local_temp(str(tmp_path / "source")) as source,
    ):
        yield branch, source


def last_run(instance, key):
    (record,) = instance.get_asset_records([key])
    return record.asset_entry.last_materialization.run_id


def copy(sides, *keys):
    return copy_branch_runs(*sides, keys or (DAYS, MODEL), "dev")


def test_what_runs_of_a_branch_made_counts_with_their_times_and_logs(sides):
    branch, source = sides
    make(source, days, day="2025-01-01")
    undone = make(branch, days, day="2025-01-02")
    mark_undone(branch, [undone], is_undone=True)
    loaded, built = make(branch, days, day="2025-01-03"), make(branch, model, other)
    assert copy(sides) == [loaded, built]
    assert copy(sides) == []
    assert made_partitions(source, DAYS) == {"2025-01-01", "2025-01-03"}
    assert last_made(source, DAYS)["2025-01-03"] == last_made(branch, DAYS)["2025-01-03"]
    assert (last_run(source, DAYS), last_run(source, MODEL)) == (loaded, built)
    assert source.fetch_materializations(OTHER, limit=1).records == []
    (check,) = source.event_log_storage.get_latest_asset_check_execution_by_key(
        [is_good.check_key]
    ).values()
    assert (check.run_id, check.status.value) == (built, "SUCCEEDED")
    record, before = source.get_run_record_by_id(loaded), branch.get_run_record_by_id(loaded)
    assert record.dagster_run.tags[BRANCH_TAG] == "dev"
    assert record.dagster_run.is_success
    assert (record.start_time, record.end_time) == (before.start_time, before.end_time)
    assert [e.user_message for e in source.all_logs(loaded) if e.level == 20] == ["loaded the day"]


def test_what_the_source_made_later_stays_the_newest(sides):
    branch, source = sides
    make(branch, days, day="2025-01-01")
    overtaken = make(branch, model)
    older = make(branch, days, day="2025-01-02")
    rebuilt, reloaded = make(source, model), make(source, days, day="2025-01-01")
    newest = source.fetch_materializations(DAYS, limit=1).records[0].timestamp
    copied = copy(sides)
    assert (older in copied, overtaken in copied) == (True, False)
    assert last_run(source, MODEL) == rebuilt
    assert made_partitions(source, DAYS) == {"2025-01-01", "2025-01-02"}
    by_day = source.get_latest_storage_id_by_partition(DAYS, DagsterEventType.ASSET_MATERIALIZATION)
    assert by_day["2025-01-01"] < by_day["2025-01-02"]
    assert source.get_run_by_id(reloaded).is_success
    assert source.fetch_materializations(DAYS, limit=1).records[0].timestamp == newest


def test_a_run_that_was_copied_in_part_is_copied_anew(sides, monkeypatch):
    branch, source = sides
    run = make(branch, days, day="2025-01-01")

    def fail(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(branch_runs, "copy_events", fail)
    with pytest.raises(KeyboardInterrupt):
        copy(sides)
    monkeypatch.setattr(branch_runs, "copy_events", dagster_private.copy_events)
    assert copy(sides) == [run]
    assert made_partitions(source, DAYS) == {"2025-01-01"}
    assert len(source.all_logs(run)) == len(branch.all_logs(run))
