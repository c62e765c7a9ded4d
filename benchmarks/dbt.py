"""A dbt run of many models within a run of phlo, beside dbt on a DuckDB file.

A third of the models are tables over one source of 10,000 rows, the others read a model before
them; every tenth has two tests. Sizes: ``PHLO_BENCH_MODELS=20,500`` (the default).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.measure import compare, measure

HERE = "benchmarks.dbt"
ROUNDS = 3
ROWS = 10_000
DBT_PROJECT = """name: shop
version: '1.0'
config-version: 2
models:
  +materialized: table
  +schema: silver
flags: {send_anonymous_usage_stats: false}
"""
SOURCES = """sources:
  - name: raw
    schema: bronze
    tables:
      - name: orders
        meta: {dagster_asset_key: orders}
"""
PROFILE = """shop:
  target: dev
  outputs:
    dev: {type: duckdb, path: shop.duckdb, threads: 1}
"""
ASSET = """
from dagster import asset


@asset
def orders() -> None: ...
"""
BARE_OPTIONS = ["--project-dir", ".", "--profiles-dir", ".", "--no-version-check", "--quiet"]


def build(folder: str, models: int) -> None:
    """Write a project of phlo and its twin for dbt alone, and run both once."""
    project, bare = Path(folder, "phlo"), Path(folder, "dbt")
    dbt = project / "workflows/transforms/dbt"
    (dbt / "models").mkdir(parents=True)
    (dbt / "dbt_project.yml").write_text(DBT_PROJECT)
    (dbt / "models/sources.yml").write_text(SOURCES)
    for number in range(models):
        (dbt / f"models/m_{number}.sql").write_text(_query(number))
    (dbt / "models/models.yml").write_text(_tests(models))
    (project / "pyproject.toml").write_text('[project]\nname = "shop"\n')
    (project / "workflows/assets.py").write_text(ASSET)
    shutil.copytree(dbt, bare)
    (bare / "profiles.yml").write_text(PROFILE)
    (bare / "dbt_project.yml").write_text(f"profile: shop\n{DBT_PROJECT}")
    _load_source(project, bare)
    phlo_run(folder)()
    bare_run(folder)()


def _query(number: int) -> str:
    upstream = (
        "{{ source('raw', 'orders') }}" if number % 3 == 0 else f"{{{{ ref('m_{number - 1}') }}}}"
    )
    return f"select id, status, amount + {number} as amount, qty, country from {upstream}\n"


def _tests(models: int) -> str:
    columns = "    columns: [{name: id, data_tests: [not_null, unique]}]\n"
    return "models:\n" + "".join(f"  - name: m_{n}\n{columns}" for n in range(0, models, 10))


def _load_source(project: Path, bare: Path) -> None:
    import duckdb
    import pyarrow.dataset as ds

    from benchmarks.data import day_rows

    _enter(project)
    from phlo.lake import open_lake
    from phlo.names import TableName
    from phlo.values import Replace

    rows = day_rows(0, ROWS)
    store, name = open_lake().store, TableName("bronze", "orders")
    store.publish([store.stage(name, ds.dataset(rows), Replace(), schema=rows.schema)])
    with duckdb.connect(str(bare / "shop.duckdb")) as connection:
        connection.execute("CREATE SCHEMA bronze")
        connection.register("rows", rows)
        connection.execute("CREATE TABLE bronze.orders AS FROM rows")


def _enter(folder: Path) -> None:
    os.environ["PHLO_PROJECT_DIR"] = str(folder)
    os.chdir(folder)


def phlo_run(folder: str):
    """The step of all models on a repeat, as a code location carries it out: imports are done."""
    _enter(Path(folder, "phlo"))
    from dagster import DagsterInstance
    from phlo.orchestration.assembly import build_definitions
    from phlo.project import load_project

    definitions = build_definitions(load_project())
    models = next(a for a in definitions.assets if a.node_def.name == "dbt_models")
    job = definitions.resolve_implicit_global_asset_job_def()

    def run() -> None:
        with DagsterInstance.ephemeral() as instance:
            done = job.execute_in_process(instance=instance, asset_selection=list(models.keys))
        assert done.success

    return run


def phlo_repeat(folder: str):
    """The same, the second time in this process."""
    run = phlo_run(folder)
    run()
    return run


def bare_run(folder: str):
    """The command line ``dbt build``, whose parse of the project is kept from the run before."""
    os.chdir(Path(folder, "dbt"))
    dbt = Path(sys.executable).with_name("dbt")
    return lambda: subprocess.run([dbt, "build", *BARE_OPTIONS], check=True, stdout=sys.stderr)


def bare_repeat(folder: str):
    """dbt's own run on a repeat in one process, its manifest held."""
    os.chdir(Path(folder, "dbt"))
    from dbt.cli.main import dbtRunner

    manifest = dbtRunner().invoke(["parse", *BARE_OPTIONS]).result

    def run() -> None:
        assert dbtRunner(manifest=manifest).invoke(["build", *BARE_OPTIONS]).success

    run()
    return run


def run() -> list[dict]:
    """Compare for each number of models."""
    sizes = os.environ.get("PHLO_BENCH_MODELS", "20,500").split(",")
    return [row for size in sizes for row in _rows(int(size))]


def _rows(models: int) -> list[dict]:
    with tempfile.TemporaryDirectory() as folder:
        measure(f"{HERE}:build", folder, models)
        found = compare(
            ROUNDS if models < 100 else 1,
            repeat=(f"{HERE}:phlo_repeat", (folder,)),
            command=(f"{HERE}:bare_run", (folder,)),
            bare=(f"{HERE}:bare_repeat", (folder,)),
        )
    repeat, command, bare = found["repeat"], found["command"], found["bare"]
    beyond = repeat.wall_seconds - bare.wall_seconds
    figures = [
        ("CPU of a repeat, against the dbt command", repeat.cpu_seconds, command.cpu_seconds, 0.25),
        ("seconds beyond dbt's own repeat, of 2", beyond, 2.0, 1.0),
    ]
    return [
        {"models": models, "what": what, "phlo": ours, "peer": theirs, "ratio": ours / theirs,
         "goal": goal if models == 20 else ""}
        for what, ours, theirs, goal in figures
    ]  # fmt: skip
