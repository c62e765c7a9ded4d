"""Functions of test modules in real processes of their own."""

from __future__ import annotations

import inspect
import multiprocessing
import os
import runpy
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


DBT_PRELOAD = (
    "dagster_dbt",
    "dbt.cli.main",
    "phlo.orchestration.assembly",
    "phlo_cli.main",
    "phlo_dbt.adapter",
    "phlo_dbt.own_session",
    "phlo_dbt.step",
    "phlo_iceberg.read.engine",
    "phlo_iceberg.store",
)
"""Modules that take long to import, for processes that run dbt by any of its doors."""


def own_environment(**variables: str) -> dict[str, str]:
    """Return this process's environment without its settings of phlo and Dagster, for a child.

    Args:
        variables: What the child gets besides.
    """
    others = {k: v for k, v in os.environ.items() if not k.startswith(("PHLO_", "DAGSTER_"))}
    return others | variables


def in_processes(
    function: Callable[..., Any], arguments: Sequence[Sequence[Any]], *, preload: Sequence[str] = ()
) -> list[Any]:
    """Call a function in one process per set of arguments, all at once.

    Args:
        function: A module's function; each process loads its file.
        arguments: One sequence per process, picklable.
        preload: Modules that the processes find imported.

    Returns:
        What the calls returned, in the order of ``arguments``.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*preload, __name__])
    calls = [(inspect.getfile(function), function.__name__, tuple(a)) for a in arguments]
    # Not a multiprocessing.Pool: its end can hang, and it waits for ever for a killed process.
    with ProcessPoolExecutor(len(calls), mp_context=context) as pool:
        return list(pool.map(call_in_file, *zip(*calls, strict=True)))


def call_in_file(file: str, name: str, arguments: tuple[Any, ...]) -> Any:
    """Call a function by its file, since test modules have names of pytest's own making."""
    return runpy.run_path(file)[name](*arguments)
