"""Rows of phlo's materializations, against those of plain dbt-duckdb for the same project."""

import shutil
from pathlib import Path

import duckdb
import phlo_dbt
import pytest
import yaml
from dbt.adapters.duckdb.connections import DuckDBConnectionManager
from dbt.cli.main import dbtRunner

MACROS = Path(phlo_dbt.__file__).parent / "macros"
ROUNDS = (
    "(1, 'a', 10, timestamp '2025-01-01 00:00:00'), (2, 'b', 20, timestamp '2025-01-02 00:00:00')",
    "(2, 'b', 21, timestamp '2025-01-02 12:00:00'), (3, null, 40, timestamp '2025-01-03 00:00:00')",
)
SELECT = (
    "select id, v, n, seen_at, 'x' as w, [n, null] as l, {'v': v, 'n': [n]} as s, "
    "map([id], [v]) as m, uuid '12345678123456781234567812345678' as u from {{ ref('src') }}"
)
# By model: its config, and its query where it is another one.
INCREMENTAL = {
    "unique_key": "unique_key='id'",
    "caseless_key": "unique_key='ID'",
    "two_columns": "unique_key=['id', 'v'], incremental_strategy='delete+insert'",
    "expression_key": "unique_key=\"id || '-' || n\", incremental_strategy='delete+insert'",
    "written_together": "unique_key='id, n', incremental_strategy='delete+insert'",
    "appended": "unique_key='id', incremental_strategy='append'",
    "some_columns": "unique_key='id', incremental_strategy='merge', merge_update_columns=['n']",
    "other_columns": "unique_key='id', incremental_strategy='merge', merge_exclude_columns=['v']",
    "predicates": "unique_key='id', incremental_strategy='merge', "
    "incremental_predicates=['DBT_INTERNAL_DEST.n < 21']",
    "conditional": "unique_key='id', incremental_strategy='merge', "
    "merge_update_condition='DBT_INTERNAL_SOURCE.n > 30'",
    "by_day": "incremental_strategy='microbatch', event_time='seen_at', begin='2025-01-01', "
    "batch_size='year'",
    "hooked": "unique_key='id', post_hook=['delete from {{ this }} where id = 1', "
    "{'sql': \"update {{ this }} set w = 'hook'\", 'transaction': false}]",
}
TABLES = {
    "hooked_table": "{{ config(materialized='table', pre_hook='create table if not exists "
    "bronze.seen (n int)', post_hook='insert into {{ this }} (id, n) values (0, 0)') }}" + SELECT,
    "hooked_view": "{{ config(materialized='view', post_hook='insert into bronze.seen select "
    "count(*) from {{ this }}') }}" + SELECT,
    "reads_nested": "select id, u, s.v as v, unnest(s.n) as n, l[1] as l, m[id] as m "
    "from {{ ref('unique_key') }}",
    "reads_history": "select id, n, dbt_valid_to is null as is_current from {{ ref('history') }}",
}
CHECK_ALL = "unique_key='id', strategy='check', check_cols='all'"
SNAPSHOTS = {
    "history": "unique_key='id', strategy='check', check_cols=['n']",
    "by_time": "unique_key='id', strategy='timestamp', updated_at='seen_at'",
    "hard_deletes": f"{CHECK_ALL}, hard_deletes='invalidate'",
    "new_records": f"{CHECK_ALL}, hard_deletes='new_record'",
}
CONTRACT = """
models:
  - name: src
    config: {event_time: seen_at}
  - name: constrained
    config: {contract: {enforced: true}}
    columns:
      - {name: id, data_type: integer, constraints: [{type: not_null}, {type: primary_key}]}
      - {name: n, data_type: integer, constraints: [{type: check, expression: n < 100}]}
"""
PYTHON = """
def model(dbt, session):
    dbt.config(materialized="{materialized}", unique_key="id")
    frame = dbt.ref("src").{kind}()
    return frame
"""


def write_project(write) -> None:
    for name, config in INCREMENTAL.items():
        write(
            f"models/silver/{name}.sql",
            f"{{{{ config(materialized='incremental', {config}) }}}}{SELECT}",
        )
    for name, text in TABLES.items():
        write(f"models/gold/{name}.sql", text)
    for name, config in SNAPSHOTS.items():
        write(
            f"snapshots/{name}.sql",
            f"{{% snapshot {name} %}}{{{{ config(schema='snaps', {config}) }}}}{SELECT}"
            "{% endsnapshot %}",
        )
    write("models/silver/constrained.sql", INCREMENTAL_CONTRACT)
    write("models/gold/from_pandas.py", PYTHON.format(materialized="table", kind="df"))
    write("models/gold/from_arrow.py", PYTHON.format(materialized="incremental", kind="arrow"))
    write("models/gold/from_polars.py", PYTHON.format(materialized="table", kind="pl"))
    write("models/schema.yml", CONTRACT)


INCREMENTAL_CONTRACT = (
    "{{ config(materialized='incremental', unique_key='id', on_schema_change='append_new_columns')"
    " }} select id, n from {{ ref('src') }}"
)


class PlainDbt:
    """The same project on dbt-duckdb's own tables."""

    def __init__(self, source: Path, folder: Path) -> None:
        self.source, self.folder = source, folder
        self.database = folder / "plain.duckdb"

    def run(self, *arguments: str):
        project = self.folder / "project"
        shutil.rmtree(project, ignore_errors=True)
        shutil.copytree(self.source, project)
        (project / "macros").mkdir(exist_ok=True)
        shutil.copy(MACROS / "phlo_names.sql", project / "macros")
        output = {
            "type": "duckdb",
            "path": str(self.database),
            "schema": "transform",
            "settings": {"TimeZone": "UTC"},
        }
        profile = {"plain": {"target": "dev", "outputs": {"dev": output}}}
        (project / "profiles.yml").write_text(yaml.safe_dump(profile))
        folders = ["--project-dir", str(project), "--profiles-dir", str(project)]
        options = ["--log-level", "none", "--no-send-anonymous-usage-stats"]
        result = dbtRunner().invoke([*options, *arguments, *folders, "--profile", "plain"])
        DuckDBConnectionManager.close_all_connections()
        return result

    def rows(self, name: str) -> tuple[list[str], list[tuple]]:
        with duckdb.connect(str(self.database), read_only=True) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            return _ordered(connection.sql(f"SELECT * FROM {name}").arrow())


def _ordered(table) -> tuple[list[str], list[tuple]]:
    """Column names and rows in an order of their own; when a snapshot was taken differs."""
    table = table.read_all() if hasattr(table, "read_all") else table
    names = sorted(
        n
        for n in table.column_names
        if n not in ("dbt_scd_id", "dbt_updated_at", "dbt_valid_from", "dbt_valid_to")
    )
    rows = [
        (*(str(row[n]) for n in names), *(row.get(k) is None for k in ("dbt_valid_to",)))
        for row in table.to_pylist()
    ]
    return names, sorted(rows, key=str)


@pytest.fixture
def plain(dbt_project, tmp_path_factory) -> PlainDbt:
    return PlainDbt(dbt_project.dbt_dir, tmp_path_factory.mktemp("plain"))


def phlo_rows(dbt_project, name: str) -> tuple[list[str], list[tuple]]:
    return _ordered(dbt_project.project.lake.engine.query(f"SELECT * FROM {name}").read_all())


def write_source(dbt_project, values: str) -> None:
    dbt_project.write(
        "models/bronze/src.sql",
        "{{ config(materialized='table') }}"
        f"select * from (values {values}) as t(id, v, n, seen_at)",
    )


@pytest.mark.slow  # tests/system/test_whole_dbt.py has a sample of it
def test_two_runs_of_every_materialization_give_the_rows_of_dbt_duckdb(dbt_project, plain):
    write_project(dbt_project.write)
    tables = [
        *(f"silver.{name}" for name in (*INCREMENTAL, "constrained")),
        *(f"gold.{name}" for name in (*TABLES, "from_pandas", "from_arrow", "from_polars")),
        *(f"snaps.{name}" for name in SNAPSHOTS),
    ]
    for number, values in enumerate(ROUNDS):
        write_source(dbt_project, values)
        result = dbt_project.materialize()
        expected = plain.run("build")

        assert expected.success, expected.result
        assert result.success, failure(result)
        for table in tables:
            assert phlo_rows(dbt_project, table) == plain.rows(table), (number, table)


def failure(result) -> str:
    return result.failure_data_for_node("dbt_models").user_failure_data.description


@pytest.mark.parametrize("row", ["(cast(null as integer), 'a', 1, null)", "(1, 'a', 100, null)"])
def test_a_constraint_of_an_enforced_contract_withholds_the_model(dbt_project, row):
    write_source(dbt_project, ROUNDS[0])
    dbt_project.write("models/silver/constrained.sql", INCREMENTAL_CONTRACT)
    dbt_project.write("models/schema.yml", CONTRACT)
    assert dbt_project.materialize().success
    before = phlo_rows(dbt_project, "silver.constrained")

    write_source(dbt_project, row)
    result = dbt_project.materialize()

    assert not result.success
    assert "constraint failed" in failure(result)
    assert phlo_rows(dbt_project, "silver.constrained") == before
