"""Runs in processes of their own, each of which loads the project once."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import cache
from multiprocessing import active_children, get_context
from typing import TYPE_CHECKING

from dagster import AssetKey
from phlo.errors import FatalRunError

from phlo_cli.garbage import collect_between_runs, collect_rarely
from phlo_cli.location import Location, open_location
from phlo_cli.plan import build_plan
from phlo_cli.run import materialize_assets

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence
    from multiprocessing.process import BaseProcess

    from phlo_cli.summary import RunSummary

_SECONDS_TO_CANCEL = 4.0


def run_in_processes(
    assets: Sequence[str],
    partitions: Sequence[str],
    tags: Mapping[str, str],
    *,
    processes: int,
    delay_seconds: float = 0.0,
) -> Generator[RunSummary]:
    """Run partitions side by side, and tell of each as it ends.

    When the iterator is closed, or this process is interrupted, runs that are going on are
    canceled, and the others do not begin.

    Args:
        assets: Keys of the assets of each run.
        partitions: One run each.
        tags: For Dagster's runs.
        processes: How many run at once.
        delay_seconds: Pause of a process between two runs.

    Raises:
        FatalRunError: A process was killed.
    """
    pool = ProcessPoolExecutor(
        min(processes, len(partitions)) or 1,
        mp_context=get_context("spawn"),
        initializer=_begin,
        initargs=(os.getpid(),),
    )
    try:
        arguments = (tuple(assets), dict(tags), delay_seconds)
        with _without_main_module():
            runs = [pool.submit(_run, partition, *arguments) for partition in partitions]
        for run in as_completed(runs):
            yield run.result()
    except BrokenProcessPool as exc:
        raise FatalRunError(
            "A process of the backfill was killed.",
            hint="Was memory short? Try fewer with --parallel, then: phlo backfill --resume",
        ) from exc
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        _cancel(active_children())
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _without_main_module() -> Iterator[None]:
    """Keep processes that start in the block from running this one's main module again.

    A script that calls ``phlo.lake.backfill`` need not have ``if __name__ == "__main__"``.
    """
    values = sys.modules["__main__"].__dict__
    hidden = {name: values.pop(name) for name in ("__file__", "__spec__") if name in values}
    values["__spec__"] = None
    try:
        yield
    finally:
        values.update(hidden)


def _cancel(workers: Sequence[BaseProcess]) -> None:
    """Let runs that are going on end as by Ctrl-C, and then end what is left of them."""
    for worker in workers:
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker.pid or 0, signal.SIGINT)
    deadline = time.monotonic() + _SECONDS_TO_CANCEL
    for worker in workers:
        worker.join(max(0.0, deadline - time.monotonic()))
    for worker in workers:
        worker.kill()


def _begin(parent: int) -> None:
    """Prepare a process: it must not outlive its parent, nor print into the parent's answer."""
    sys.stdout = sys.stderr
    collect_rarely()
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGINT)  # a run that is going on ends as by Ctrl-C
    time.sleep(_SECONDS_TO_CANCEL)
    os._exit(1)


@cache
def _location() -> Location:
    return open_location()


def _run(
    partition: str, assets: tuple[str, ...], tags: dict[str, str], delay_seconds: float
) -> RunSummary:
    location = _location()
    keys = [AssetKey.from_user_string(key) for key in assets]
    plan = build_plan(location, keys, partition=partition)
    summary = materialize_assets(location, plan, tags=tags)
    collect_between_runs()
    time.sleep(delay_seconds)
    return summary
