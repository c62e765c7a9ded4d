"""`phlo` commands beside those of Dagster, dbt and SQLMesh that answer the same question.

CPU seconds of the whole process, bytecode compiled, over the project that `phlo init` writes.
SQLMesh is installed in an environment of its own, as its pins and phlo's differ; a tool that is not
installed is left out. The last rows compare a project of 500 assets with that one.
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
    "one value": {
        "phlo": "query SELECT(1)",
        "dbt": "show --quiet --inline SELECT(1)",
        "sqlmesh": "fetchdf SELECT(1)",
    },
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
        "sqlmesh": "plan --auto-apply --no-prompts --restate-model shop.daily",
    },
}
PROJECTS = {
    "dbt/dbt_project.yml": "name: shop\nversion: '1.0'\nconfig-version: 2\nprofile: shop\n",
    "dbt/profiles.yml": "shop:\n  target: here\n  outputs:\n"
    "    here: {type: duckdb, path: shop.db}\n",
    "dbt/models/daily.sql": "select 1 as id\n",
    "sqlmesh/config.yaml": "gateways:\n  here:\n    connection: {type: duckdb, database: shop.db}\n"
    "default_gateway: here\nmodel_defaults: {dialect: duckdb}\n",
    "sqlmesh/models/daily.sql": "MODEL (name shop.daily, kind FULL);\n\nSELECT 1 AS id\n",
}


MANY = 500
PER_FILE = 10
MODULE = """\
from phlo_dlt import phlo_ingestion
from phlo_quality.schemas import PhloSchema


class Row(PhloSchema):
    id: str
    value: float
"""
ASSET = """

@phlo_ingestion(
    table_name="t{n}", unique_key="id", validation_schema=Row, group="g{file}",
    freshness_hours=(24, 48),
)
def t{n}(partition_date: str):
    return [{{"id": partition_date, "value": 1.5}}]
"""


def ask(folder: str, tool: str, arguments: str) -> None:
    """Run one command of a tool in its project."""
    project = {"dbt": "dbt", "sqlmesh": "sqlmesh", "many": "many"}.get(tool, "shop")
    program = "phlo" if tool == "many" else tool
    environment = os.environ | {"DAGSTER_HOME": f"{folder}/home", "PYTHONDONTWRITEBYTECODE": ""}
    if program == "phlo":
        environment.pop("DAGSTER_HOME")
    subprocess.run(
        [_executable(folder, program), *arguments.split()],
        cwd=Path(folder) / project,
        env=environment,
        check=True,
        capture_output=True,
    )


def _executable(folder: str, program: str) -> Path:
    return (Path(folder) / "environment" / "bin" if program == "sqlmesh" else BIN) / program


def run() -> list[dict]:
    """Ask each question by each tool; ``ratio`` is phlo's CPU time over the other tool's."""
    with tempfile.TemporaryDirectory() as folder:
        _prepare(Path(folder))
        rows = [row for name, by in QUESTIONS.items() for row in _rows(folder, name, by)]
        _prepare_many(Path(folder))
        return rows + [_many_row(folder, name, by["phlo"]) for name, by in QUESTIONS.items()]


def _prepare(folder: Path) -> None:
    subprocess.run([BIN / "phlo", "init", "shop"], cwd=folder, check=True, capture_output=True)
    (folder / "home").mkdir()
    for name, text in PROJECTS.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    ask(str(folder), "phlo", QUESTIONS["make one table"]["phlo"])
    if _install_sqlmesh(folder / "environment"):
        ask(str(folder), "sqlmesh", "plan --auto-apply --no-prompts")


def _install_sqlmesh(environment: Path) -> bool:
    """Install SQLMesh; return whether the package index had it."""
    uv, there = BIN / "uv", environment.parent  # phlo's own pins stand in its checkout
    install = [uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", environment]
    subprocess.run([uv, "venv", "--quiet", environment], cwd=there, check=True)
    return subprocess.run([*install, "sqlmesh"], cwd=there, check=False).returncode == 0


def _prepare_many(folder: Path) -> None:
    """Make a project of many assets, the one of `phlo init` among them, with a table of each."""
    subprocess.run([BIN / "phlo", "init", "many"], cwd=folder, check=True, capture_output=True)
    for file in range(MANY // PER_FILE):
        numbers = range(file * PER_FILE, (file + 1) * PER_FILE)
        text = MODULE + "".join(ASSET.format(n=n, file=file) for n in numbers)
        (folder / f"many/workflows/ingestion/shop/many{file}.py").write_text(text)
    ask(str(folder), "many", "materialize * --partition 2025-01-15")


def _many_row(folder: str, question: str, arguments: str) -> dict:
    usages = compare(
        ROUNDS,
        many=(f"{HERE}:ask", (folder, "many", arguments)),
        one=(f"{HERE}:ask", (folder, "phlo", arguments)),
    )
    many, one = usages["many"].cpu_seconds, usages["one"].cpu_seconds
    return {
        "question": f"{question}, {MANY} assets",
        "phlo_s": round(many, 2),
        "peer": "phlo, 1 asset",
        "peer_s": round(one, 2),
        "ratio": many / one,
    }


def _rows(folder: str, question: str, by: dict[str, str]) -> list[dict]:
    there = {tool: asked for tool, asked in by.items() if _executable(folder, tool).exists()}
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
