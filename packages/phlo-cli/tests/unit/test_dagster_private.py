"""What phlo-cli needs of Dagster's private parts, one test by the name of each."""

import json
import os
import signal
import socket

import pytest
from dagster import (
    AssetCheckResult,
    AssetKey,
    AssetSpec,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    Definitions,
    MaterializeResult,
    asset,
    asset_check,
    in_process_executor,
    multi_asset,
)
from dagster._daemon.types import DaemonHeartbeat
from dagster._utils.interrupts import capture_interrupts
from phlo_cli import dagster_private


@pytest.fixture
def instance():
    with DagsterInstance.ephemeral() as instance:
        yield instance


def build_job(assets, checks=()):
    definitions = Definitions(assets=assets, asset_checks=checks, executor=in_process_executor)
    return definitions.resolve_implicit_global_asset_job_def()


@multi_asset(specs=[AssetSpec("left"), AssetSpec("right")])
def both():
    yield MaterializeResult("left")
    yield MaterializeResult("right")


@asset(deps=["left"])
def last(): ...


@asset_check(asset="last")
def checked():
    return AssetCheckResult(passed=True)


def test_step_assets_tells_what_each_step_makes_in_their_order():
    steps = dagster_private.step_assets(build_job([last, both], [checked]), {})
    assert list(steps.items()) == [
        ("both", ("left", "right")),
        ("last", ("last",)),
        ("last_checked", ()),
    ]


def test_execute_run_executes_the_run_that_was_recorded(instance):
    job = build_job([last, both])
    run = instance.create_run_for_job(job, tags={"team": "growth"})
    events = list(dagster_private.execute_run(job, run, instance))
    recorded = instance.get_run_by_id(run.run_id)
    assert recorded.status is DagsterRunStatus.SUCCESS
    assert recorded.tags["team"] == "growth"
    made = [event.asset_key.to_user_string() for event in events if event.is_step_materialization]
    assert made == ["left", "right", "last"]


def test_check_captured_interrupt_tells_of_a_signal_that_dagster_holds_back():
    with capture_interrupts():
        assert not dagster_private.check_captured_interrupt()
        os.kill(os.getpid(), signal.SIGINT)
        assert dagster_private.check_captured_interrupt()
    assert not dagster_private.check_captured_interrupt()


def test_asset_entry_is_what_an_instance_keeps_of_an_asset(instance):
    job = build_job([last])
    list(dagster_private.execute_run(job, instance.create_run_for_job(job), instance))
    (record,) = instance.get_asset_records([AssetKey("last")])
    assert isinstance(record.asset_entry, dagster_private.AssetEntry)


def test_asset_graph_is_what_a_repository_has():
    graph = Definitions(assets=[last]).get_repository_def().asset_graph
    assert isinstance(graph, dagster_private.AssetGraph)


def test_serializable_error_info_is_the_error_of_a_failed_step(instance):
    @asset
    def broken():
        raise ValueError("seven")

    job = build_job([broken])
    run = instance.create_run_for_job(job)
    events = dagster_private.execute_run(job, run, instance)
    (failure,) = [event for event in events if event.is_step_failure]
    error = failure.event_specific_data.error
    assert isinstance(error, dagster_private.SerializableErrorInfo)
    assert error.cause.message == "ValueError: seven\n"


def test_has_lost_its_server_tells_of_a_code_server_that_is_gone(tmp_path):
    path = str(tmp_path / "server")

    def is_lost(**server):
        run = DagsterRun(
            "job", tags={".dagster/grpc_info": json.dumps({"host": "localhost"} | server)}
        )
        return dagster_private.has_lost_its_server(run)

    with socket.socket(socket.AF_UNIX) as server, socket.socket() as remote:
        server.bind(path)
        server.listen()
        remote.bind(("127.0.0.1", 0))
        remote.listen()
        port = remote.getsockname()[1]
        assert not is_lost(socket=path)
        assert not is_lost(port=port)
    assert is_lost(socket=path)
    assert is_lost(port=port)
    assert not dagster_private.has_lost_its_server(DagsterRun("job"))


def test_keeps_runs_in_files_is_true_of_sqlite_alone(tmp_path):
    with DagsterInstance.local_temp(str(tmp_path)) as local, DagsterInstance.ephemeral() as other:
        assert dagster_private.keeps_runs_in_files(local)
        assert not dagster_private.keeps_runs_in_files(other)


def test_name_service_tells_what_dagster_dev_starts():
    def named(*arguments):
        return dagster_private.name_service(["python", *arguments])

    assert named("-m", "dagster_webserver", "--port", "1") == dagster_private.WEB_SERVER
    assert named("-m", "dagster._daemon", "run") == "daemon"
    assert named("-m", "dagster", "code-server", "start") == "code server's proxy"
    assert named("-m", "dagster", "api", "grpc") == "code server"
    assert named("-m", "dagster", "dev") is None


def test_last_heartbeat_is_the_newest_of_all_daemons(instance):
    assert dagster_private.last_heartbeat(instance) is None
    for timestamp, daemon in ((5.0, "SENSOR"), (7.0, "SCHEDULER"), (6.0, "BACKFILL")):
        instance.add_daemon_heartbeat(DaemonHeartbeat(timestamp, daemon, "id", []))
    assert dagster_private.last_heartbeat(instance) == 7.0


def test_free_slots_of_ended_runs_leaves_those_of_runs_that_go_on(tmp_path):
    with DagsterInstance.local_temp(str(tmp_path)) as instance:
        slots = instance.event_log_storage
        states = {"ended": DagsterRunStatus.FAILURE, "going_on": DagsterRunStatus.STARTED}
        for pool, status in states.items():
            run = instance.add_run(DagsterRun("job", status=status))
            claim_slot(slots, pool, run.run_id)
        claim_slot(slots, "deleted", "00000000-0000-0000-0000-000000000000")
        dagster_private.free_slots_of_ended_runs(instance)
        taken = {p: slots.get_concurrency_info(p).active_slot_count for p in (*states, "deleted")}
    assert taken == {"ended": 0, "going_on": 1, "deleted": 0}


def claim_slot(slots, pool, run_id):
    slots.set_concurrency_slots(pool, 1)
    assert slots.claim_concurrency_slot(pool, run_id, "step").is_claimed
