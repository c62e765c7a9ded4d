"""`phlo` commands beside those of Dagster, dbt and SQLMesh that answer the same question.

CPU seconds of the whole process, bytecode compiled, over the project that `phlo init` writes. A
tool that is not installed is left out.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.measure import compare

HERE = "benchmarks.cli"
ROUNDS = int(os.environ.get("PHLO_BENCH_ROUNDS", "3"))
BIN = Path(sys.executable).parent
MATERIALIZE = "--select dlt_orders --partition 2025-01-15"
QUESTIONS = {
    "help": {"phlo": "--help", "dagster": "--help", "dbt": "--help", "sqlmesh": "--help"},
    "one value": {"phlo": "query SELECT(1)", "dbt": "show --quiet --inline SELECT(1)"},
    "the assets": {
        "phlo": "status",
        "dagster": "asset list -m phlo.definitions",
        "dbt": "ls --quiet",
    },
    "the tables": {"phlo": "catalog tables"},
    "what was logged": {"phlo": "logs"},
    "make one table": {
        "phlo": "materialize orders --partition 2025-01-15",
        "dagster": f"asset materialize {MATERIALIZE} -m phlo.definitions",
        "dbt": "run --quiet --select daily",
    },
}
DBT_PROJECT = {
    "dbt_project.yml": "name: shop\nversion: '1.0'\nconfig-version: 2\nprofile: shop\n",
    "profiles.yml": "shop:\n  target: here\n  outputs:\n    here: {type: duckdb, path: shop.db}\n",
    "models/daily.sql": "select 1 as id\n",
}


def ask(folder: str, tool: str, arguments: str) -> None:
    """Run one command of a tool in its project."""
    environment = os.environ | {"DAGSTER_HOME": f"{folder}/home", "PYTHONDONTWRITEBYTECODE": ""}
    if tool == "phlo":
        environment.pop("DAGSTER_HOME")
    subprocess.run(
        [BIN / tool, *arguments.split()],
        cwd=Path(folder) / ("dbt" if tool == "dbt" else "shop"),
        env=environment,
        check=True,
        capture_output=True,
    )


def run() -> list[dict]:
    """Ask each question by each tool; ``ratio`` is phlo's CPU time over the other tool's."""
    with tempfile.TemporaryDirectory() as folder:
        _prepare(Path(folder))
        return [row for name, by in QUESTIONS.items() for row in _rows(folder, name, by)]


def _prepare(folder: Path) -> None:
    subprocess.run([BIN / "phlo", "init", "shop"], cwd=folder, check=True, capture_output=True)
    (folder / "home").mkdir()
    for name, text in DBT_PROJECT.items():
        path = folder / "dbt" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    ask(str(folder), "phlo", QUESTIONS["make one table"]["phlo"])


def _rows(folder: str, question: str, by: dict[str, str]) -> list[dict]:
    there = {tool: arguments for tool, arguments in by.items() if (BIN / tool).exists()}
    usages = compare(
        ROUNDS, **{t: (f"{HERE}:ask", (folder, t, arguments)) for t, arguments in there.items()}
    )
    mine = usages.pop("phlo").cpu_seconds
    row = {"question": question, "phlo_s": round(mine, 2)}
    peers = {peer: usage.cpu_seconds for peer, usage in usages.items()}
    return [
        row | {"peer": peer, "peer_s": round(seconds, 2), "ratio": mine / seconds}
        for peer, seconds in peers.items()
    ] or [row]
