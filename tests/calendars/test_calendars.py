"""Schedules over simulated years, against plain arithmetic with ``zoneinfo``.

Ticks come from Dagster's own iterator; a daemon that was stopped makes only the newest of those it
missed, as Dagster does for schedules without a partition set. Clocks are frozen. CI runs a sample
by seed; ``make calendars`` runs all zones over two years.
"""

import itertools
import os
import random
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from dagster import (
    AssetKey,
    AssetMaterialization,
    DagsterEvent,
    DagsterEventType,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    build_schedule_context,
)
from dagster._core.events import StepMaterializationData
from dagster._core.instance.utils import RUNLESS_JOB_NAME, RUNLESS_RUN_ID
from dagster._core.test_utils import freeze_time
from dagster._utils.schedules import cron_string_iterator

ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/Havana",  # changes at midnight
    "America/Santiago",
    "Africa/Cairo",
    "Asia/Beirut",
    "Australia/Lord_Howe",  # changes by half an hour
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Pacific/Kiritimati",
    "Australia/Sydney",
]
CRONS = ["30 1 * * *", "0 * * * *", "0 0 * * *", "30 2 * * *", "17 */6 * * *", "55 23 * * *"]
CRONS += ["0 6 * * 1", "0 9 1 * *", "0 3 * * 1-5", "0,30 2 * * *"]
PARTITIONS = ["daily", "weekly", "monthly"]
IS_WHOLE = os.environ.get("PHLO_CALENDARS") == "all"
SEED = int(os.environ.get("PHLO_CALENDARS_SEED", "20251"))
DAYS = 730 if IS_WHOLE else 40
SAMPLES = 5

FLOW = """
    import pandera.pandas as pa
    from phlo_dlt import phlo_ingestion

    class Rows(pa.DataFrameModel):
        id: str

    @phlo_ingestion(table_name="t", unique_key="id", validation_schema=Rows, group="g",
                    cron={cron!r}, partitions={partitions!r}, start_date="2024-01-01")
    def t(partition_date: str):
        return []
"""
KEY = AssetKey("dlt_t")


def end_of(key, partitions, zone):
    """The end of a partition, by the calendar and the zone's own rules alone."""
    first = date.fromisoformat(key)
    if partitions == "monthly":
        last = (first.replace(day=1) + timedelta(days=32)).replace(day=1)
    else:
        last = first + timedelta(days=7 if partitions == "weekly" else 1)
    return datetime(last.year, last.month, last.day, tzinfo=ZoneInfo(zone)).astimezone(UTC)


def expected_keys(partitions, first, last):
    """First days of the partitions between two days."""
    days = (first + timedelta(days=n) for n in range((last - first).days + 1))
    if partitions == "daily":
        return [day.isoformat() for day in days]
    if partitions == "weekly":
        return [day.isoformat() for day in days if day.isoweekday() == 7]
    return [day.isoformat() for day in days if day.day == 1]


class Simulation:
    """A daemon that is stopped now and then, and loads that take a while."""

    def __init__(self, project, zone, cron, partitions, seed):
        project.set(PHLO_TIMEZONE=zone)
        project.write("workflows/flow.py", FLOW.format(cron=cron, partitions=partitions))
        self.repository = project.definitions().get_repository_def()
        self.schedule = self.repository.get_schedule_def("dlt_t_schedule")
        self.random = random.Random(seed)
        self.loads: list[tuple[str, datetime]] = []

    def ticks(self, zone, cron, begin, days):
        """Ticks that a daemon makes: of those it missed only the newest, late."""
        end = begin + timedelta(days=days)
        all_ticks = cron_string_iterator(begin.timestamp(), cron, zone)
        off_until, missed = begin, None
        for tick in itertools.takewhile(lambda t: t < end, all_ticks):
            if missed is not None and tick > off_until:
                yield missed, max(off_until, missed)
                missed = None
            if tick <= off_until:
                missed = tick
                continue
            yield tick, tick + timedelta(seconds=self.random.choice([0, 1, 40, 3000]))
            if self.random.random() < 0.08:
                off_until = tick + timedelta(hours=self.random.choice([3, 14, 30, 200]))

    def run(self, instance, zone, cron, begin, days):
        free_at = begin
        for tick, made_at in self.ticks(zone, cron, begin, days):
            at = max(made_at.astimezone(UTC), free_at)
            with freeze_time(at):
                context = build_schedule_context(
                    instance=instance,
                    repository_def=self.repository,
                    scheduled_execution_time=tick,
                )
                # A context takes no instance in memory, which makes a tick ten times as fast.
                context._instance, context._instance_ref = instance, object()
                requests = self.schedule.evaluate_tick(context).run_requests or []
                for request in requests:
                    self.load(instance, request.partition_key, tick, at)
            free_at = at + timedelta(seconds=1)

    def load(self, instance, key, tick, at):
        tags = {
            "dagster/schedule_name": "dlt_t_schedule",
            "dagster/partition": key,
            ".dagster/scheduled_execution_time": tick.astimezone(UTC).isoformat(),
        }
        instance.add_run(
            DagsterRun(job_name="dlt_t_job", tags=tags, status=DagsterRunStatus.SUCCESS)
        )
        data = StepMaterializationData(AssetMaterialization(KEY, partition=key))
        event = DagsterEvent(
            DagsterEventType.ASSET_MATERIALIZATION.value, RUNLESS_JOB_NAME, event_specific_data=data
        )
        instance.report_dagster_event(event, run_id=RUNLESS_RUN_ID, timestamp=at.timestamp())
        self.loads.append((key, at))


def cases():
    chosen = random.Random(SEED)
    whole = list(itertools.product(ZONES, CRONS, PARTITIONS))
    if IS_WHOLE:  # every zone with every cron, the partitions in turn
        return [case for n, case in enumerate(whole) if n % 3 == (n // 3) % 3]
    return chosen.sample(whole, SAMPLES)


@pytest.mark.parametrize(("zone", "cron", "partitions"), cases())
def test_every_partition_is_loaded_after_it_ended_and_only_once(
    phlo_project, zone, cron, partitions
):
    seed = random.Random(f"{SEED} {zone} {cron} {partitions}").random()
    first = random.Random(seed).choice([date(2025, 3, 1), date(2025, 9, 20), date(2025, 10, 20)])
    begin = datetime(first.year, first.month, first.day, 12, tzinfo=ZoneInfo(zone))
    simulation = Simulation(phlo_project, zone, cron, partitions, seed)
    with DagsterInstance.ephemeral() as instance:
        simulation.run(instance, zone, cron, begin, DAYS)

    assert simulation.loads
    last = max(at for _, at in simulation.loads)
    first_key = min(key for key, _ in simulation.loads)
    after_end: dict[str, int] = {}
    for key, at in simulation.loads:
        after_end[key] = after_end.get(key, 0) + (at >= end_of(key, partitions, zone))
    keys = expected_keys(partitions, date.fromisoformat(first_key), last.date())
    # A week and a month whose last tick was on time are completed by the tick after their end.
    ended = [key for key in keys if end_of(key, partitions, zone) < last - timedelta(hours=1)]
    assert {key: after_end.get(key, 0) for key in ended} == dict.fromkeys(ended, 1)
