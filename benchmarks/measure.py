"""Measuring functions in fresh processes.

Machines differ and are noisy, so what counts is a ratio of CPU seconds of two functions measured in
turn in one run; the median of several rounds is taken.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Usage:
    """What one call cost, the work before it apart.

    Attributes:
        cpu_seconds: User and system time while the function ran, of what it started too, and of
            the server whose process id ``PHLO_BENCH_SERVER`` is.
        wall_seconds: Wall time of the function.
        peak_mb: Peak resident size of the process.
    """

    cpu_seconds: float
    wall_seconds: float
    peak_mb: float


def measure(target: str, *arguments: Any) -> Usage:
    """Call ``module:function`` with JSON arguments in a fresh process.

    The function may return a callable: then the call itself was preparation, and only the callable
    is measured.
    """
    command = [sys.executable, "-m", "benchmarks.measure", target, json.dumps(arguments)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return Usage(**json.loads(done.stdout.splitlines()[-1]))


def compare(rounds: int, **targets: tuple[str, tuple[Any, ...]]) -> dict[str, Usage]:
    """Measure several functions in turn, ``rounds`` times, and take the median of each figure."""
    found: dict[str, list[Usage]] = {name: [] for name in targets}
    for _ in range(rounds):
        for name, (target, arguments) in targets.items():
            found[name].append(measure(target, *arguments))
    return {name: _median(usages) for name, usages in found.items()}


def _median(usages: list[Usage]) -> Usage:
    return Usage(
        *(
            statistics.median(getattr(u, name) for u in usages)
            for name in ("cpu_seconds", "wall_seconds", "peak_mb")
        )
    )


def _run(target: str, arguments: list[Any]) -> None:
    module, _, name = target.partition(":")
    function = getattr(__import__(module, fromlist=[name]), name)
    started = _clock()
    result = function(*arguments)
    if callable(result):
        started = _clock()
        result()
    cpu, wall = (b - a for a, b in zip(started, _clock(), strict=True))
    print(json.dumps({"cpu_seconds": cpu, "wall_seconds": wall, "peak_mb": _peak_mb()}))


def _peak_mb() -> float:
    status = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in status if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def _clock() -> tuple[float, float]:
    used = os.times()
    return sum(used[:4]) + _server_seconds(), time.perf_counter()


def _server_seconds() -> float:
    """CPU seconds of a server's process and all that it started."""
    server = os.environ.get("PHLO_BENCH_SERVER")
    if server is None:
        return 0.0
    ticks = 0
    for file in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # ended meanwhile: the server counts it from then on
            fields = file.read_text().rpartition(")")[2].split()
            ticks += sum(map(int, fields[11:15])) if server in (file.parent.name, fields[1]) else 0
    return ticks / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    _run(sys.argv[1], json.loads(sys.argv[2]))
