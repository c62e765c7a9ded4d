"""The same dbt project on a real Trino as in this process: equal tables, nothing seen before."""

import os
import signal
import subprocess
import sys
import time
from datetime import date

import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from phlo.config import get_settings, reset_settings
from phlo.lake import build_lake, open_lake, reset_lake
from phlo.names import TableName
from phlo.values import Append, Replace
from phlo_testing.trino import WORK_CATALOGS
from pyiceberg.catalog import load_catalog
from sqlalchemy import text as sql_text

pytestmark = [pytest.mark.trino, pytest.mark.integration, pytest.mark.xdist_group("servers")]

EVENTS = TableName("bronze", "events")
SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("day", pa.date32()),
        pa.field("value", pa.int64()),
        pa.field("category", pa.string()),
    ]
)
FILES = {
    "dbt_project.yml": "name: shop\nversion: '1.0'\nconfig-version: 2\n",
    "models/sources.yml": """
version: 2
sources:
  - name: raw
    schema: bronze
    tables: [{name: events}]
""",
    "models/silver/events_clean.sql": """
{{ config(materialized='incremental', unique_key='id') }}
select id, day, coalesce(value, 0) as value, upper(category) as category
from {{ source('raw', 'events') }}
{% if is_incremental() %}
where day > (select max(day) from {{ this }})
{% endif %}
""",
    "models/silver/categories.sql": """
{{ config(materialized='view') }}
select distinct category from {{ ref('events_clean') }}
""",
    "models/gold/daily.sql": """
{{ config(materialized='table') }}
select e.day, e.category, n.label, count(*) as events, sum(e.value) as total
from {{ ref('events_clean') }} e
join {{ ref('names') }} n on n.category = e.category
group by 1, 2, 3
""",
    "models/gold/apart.sql": "select id, value from {{ ref('events_clean') }} where value > 1\n",
    "models/tests.yml": """
version: 2
models:
  - name: events_clean
    columns: [{name: id, tests: [unique, not_null]}]
  - name: daily
    columns:
      - name: total
        tests: [{accepted_range: {min_value: 0}}]
""",
    "seeds/names.csv": "category,label\nA,first\nB,second\n",
    "snapshots/seen.sql": """
{% snapshot seen %}
{{ config(target_schema='silver', unique_key='id', strategy='check', check_cols=['value']) }}
select id, value from {{ ref('events_clean') }}
{% endsnapshot %}
""",
}
FIRST = [("a", 1, 1, "a"), ("b", 1, None, "b"), ("c", 2, 3, "a")]
SECOND = [("c", 3, 30, "b"), ("d", 3, 4, "a")]
SNAPSHOT_TIMES = {"dbt_scd_id", "dbt_updated_at", "dbt_valid_from", "dbt_valid_to"}


class Project:
    """A phlo project in a folder of its own, with the environment that its commands get."""

    def __init__(self, folder, environment):
        self.folder = folder
        self.environment = os.environ | environment | {"PHLO_PROJECT_DIR": str(folder)}
        for path, text in FILES.items():
            self.write(path, text)

    def write(self, path, text):
        file = self.folder / "workflows/transforms/dbt" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def start(self, *arguments):
        return subprocess.Popen(
            [sys.executable, "-m", "phlo_cli", *arguments],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *arguments, code=0):
        process = self.start(*arguments)
        output, _ = process.communicate()
        assert process.returncode == code, output[-8000:]
        return output


def load(store, rows, how):
    items = [
        dict(zip(SCHEMA.names, (key, date(2025, 1, day), value, category), strict=True))
        for key, day, value, category in rows
    ]
    dataset = ds.dataset(pa.Table.from_pylist(items, schema=SCHEMA))
    store.publish([store.stage(EVENTS, dataset, how, schema=SCHEMA)])


def contents(store):
    """Every table of the catalog as pyiceberg alone reads it, rows sorted."""
    catalog = load_catalog(store.catalog.name, **store.catalog.properties)
    tables = {}
    for name in store.list_tables():
        rows = catalog.load_table((name.namespace, name.name)).scan().to_arrow().to_pylist()
        kept = [{k: v for k, v in sorted(r.items()) if k not in SNAPSHOT_TIMES} for r in rows]
        tables[str(name)] = sorted(map(repr, kept))
    catalog.engine.dispose()
    return tables


@pytest.fixture
def stores(trino_lake, phlo_environment, monkeypatch):
    """The lake on Trino, emptied, and an embedded one."""
    embedded = build_lake(get_settings()).store
    for name, value in trino_settings(trino_lake).items():
        monkeypatch.setenv(name, value)
    reset_settings()
    reset_lake()
    remote = open_lake().store
    for table in remote.list_tables():
        remote.drop(table)
    yield remote, embedded
    for store in (remote, embedded):
        store.catalog.engine.dispose()


@pytest.fixture
def store(stores):
    return stores[0]


def trino_settings(trino_lake):
    names = ",".join(f"{branch}={name}" for branch, name in WORK_CATALOGS.items())
    return trino_lake.settings | {"PHLO_TRINO_WORK_CATALOGS": names, "PHLO_DBT_TARGET": "trino"}


@pytest.fixture
def projects(trino_lake, phlo_environment, tmp_path):
    remote = Project(tmp_path / "remote", trino_settings(trino_lake))
    embedded = Project(phlo_environment, {})
    for name in trino_settings(trino_lake):
        embedded.environment.pop(name, None)
    return remote, embedded


@pytest.fixture
def project(projects):
    return projects[0]


def rows_of(store, catalog):
    """The catalog's rows, one look at all of them: where the metadata of each table is."""
    query = sql_text(
        "SELECT table_namespace, table_name, metadata_location FROM iceberg_tables "
        "WHERE catalog_name = :name ORDER BY 1, 2"
    )
    with store.catalog.engine.connect() as connection:
        return tuple(map(tuple, connection.execute(query, {"name": catalog})))


def wait_for(condition):
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def is_whole(store):
    return all(store.examine(table, deep=True) == [] for table in store.list_tables())


def test_a_run_on_trino_makes_the_tables_of_a_run_in_this_process(stores, projects):
    for rows, how, command in (
        (FIRST, Replace(), ("dbt", "build")),
        (SECOND, Append(), ("materialize", "--select", "tag:dbt")),
    ):
        for store, project in zip(stores, projects, strict=True):
            load(store, rows, how)
            project.run(*command)
        remote, embedded = map(contents, stores)
        assert remote == embedded
    assert set(remote) == {
        "bronze.events",
        "gold.apart",
        "gold.daily",
        "silver.categories",
        "silver.events_clean",
        "silver.seen",
        "transform.names",
    }
    assert [b.name for b in stores[0].branches()] == ["main"]


def test_main_moves_once_by_what_passed_and_loses_nothing_to_dropped_tables(store, project):
    load(store, FIRST, Replace())
    project.run("dbt", "build")
    before, first = contents(store), rows_of(store, "lake")
    load(store, SECOND, Append())
    project.write(
        "models/tests.yml", FILES["models/tests.yml"].replace("min_value: 0", "min_value: 9")
    )
    for name, way in (("daily", "rename"), ("apart", "drop")):
        file = f"models/gold/{name}.sql"
        project.write(file, f"{{{{ config(on_table_exists='{way}') }}}}\n" + FILES[file])
    # Neither what a hook makes nor the rows of failed tests are anybody's model.
    hook = "create table {{ target.database }}.bronze.hooked as select 1 as n"
    asides = f'on-run-start: ["{hook}"]\ndata_tests: {{+store_failures: true}}\n'
    # The rows of this failed test can be shown no more when dbt has ended.
    asides += 'on-run-end: ["drop table {{ target.database }}.bronze.hooked"]\n'
    project.write("tests/gone.sql", "select n from {{ target.database }}.bronze.hooked")
    project.write("dbt_project.yml", FILES["dbt_project.yml"] + asides)
    process = project.start("dbt", "build")
    states = [first]
    while process.poll() is None:
        states += [now] if (now := rows_of(store, "lake")) != states[-1] else []
        time.sleep(0.02)
    output = process.communicate()[0]
    assert process.returncode == 1, output
    assert "daily was not published: the test accepted_range_daily_total__9 failed." in output
    # The load of the events, and one publish.
    assert len(states) <= 3
    after = contents(store)
    assert set(after) == set(before)
    assert after["gold.daily"] == before["gold.daily"]
    assert after["gold.apart"] == ["{'id': 'c', 'value': 30}", "{'id': 'd', 'value': 4}"]
    assert len(after["silver.events_clean"]) == 4
    assert is_whole(store)
    project.write("tests/gone.sql", "select 1 as n where false")
    project.write("models/tests.yml", FILES["models/tests.yml"])
    project.run("dbt", "build")
    assert len(contents(store)["gold.daily"]) == 4
    assert is_whole(store)


def test_a_run_on_trino_is_known_by_its_id_and_taken_back(store, project):
    """Tables that Trino merged into, replaced, made anew or made return as a whole."""
    load(store, FIRST, Replace())
    project.run("materialize", "--select", "tag:dbt")
    before, first_run = contents(store), run_of(store)
    load(store, SECOND, Append())
    for name, way in (("daily", "rename"), ("apart", "drop")):
        file = f"models/gold/{name}.sql"
        project.write(file, f"{{{{ config(on_table_exists='{way}') }}}}\n" + FILES[file])
    project.write("models/gold/added.sql", "select count(*) as n from {{ ref('events_clean') }}")
    project.run("materialize", "--select", "tag:dbt")
    after, run = contents(store), run_of(store)
    assert run != first_run
    assert all(after[name] != before[name] for name in CHANGED)
    assert f"made anew by run {run[:8]}" in project.run("diff", f"{run}^", run, code=2)
    output = project.run("diff", f"{run}^", run, "--table", "silver.events_clean")
    assert "id=d" in output
    assert f"later run on the same tables: {run}" in project.run(
        "undo", first_run, "--dry-run", code=1
    )
    output = project.run("undo", run)
    assert {line.split()[0] for line in output.splitlines() if " restored " in line} >= CHANGED
    undone = contents(store)
    assert undone.pop("bronze.events") == after["bronze.events"]
    assert undone == {name: rows for name, rows in before.items() if name != "bronze.events"}
    assert is_whole(store)
    project.run("materialize", "--select", "tag:dbt")
    assert contents(store) == after
    project.run("undo", first_run, "--with-later")
    assert set(contents(store)) == {"bronze.events"}


CHANGED = {"gold.apart", "gold.daily", "silver.events_clean", "silver.seen"}


def run_of(store):
    """The run that wrote a model last."""
    return store.history(TableName("silver", "events_clean"))[0].summary["phlo.run-id"]


SUITE = """
from phlo_quality import NullCheck, RangeCheck, phlo_quality


@phlo_quality(table="gold.apart", checks=[RangeCheck(column="value", max_value=2)], blocking=True)
def small() -> None: ...


@phlo_quality(table="gold.daily", checks=[NullCheck(["label"])], blocking=True)
def labeled() -> None: ...
"""


def test_blocking_suites_judge_the_tables_in_the_work_catalog_by_trino(store, project, trino_lake):
    project.write("../../quality/suites.py", SUITE)
    load(store, FIRST, Replace())
    output = project.run("materialize", "--select", "tag:dbt", code=1)
    assert "apart was not published: the check small__RangeCheck__value failed." in output
    assert set(contents(store)) == {
        "bronze.events",
        "gold.daily",
        "silver.categories",
        "silver.events_clean",
        "silver.seen",
        "transform.names",
    }
    asked = "SELECT query FROM system.runtime.queries WHERE source = 'phlo' AND {}"
    by_trino = trino_lake.execute(asked.format("strpos(query, 'apart') > 0"))
    assert any("FOR VERSION AS OF" in query for (query,) in by_trino)


SLOW = """
{{ config(materialized='table') }}
select count(*) as n from {{ ref('events_clean') }}
cross join unnest(sequence(1, 10000)) as a(x)
cross join unnest(sequence(1, 10000)) as b(y)
cross join unnest(sequence(1, 10000)) as c(z)
where x + y + z < 0
"""


def test_a_killed_run_leaves_main_and_the_next_one_takes_its_work_catalog(
    store, project, trino_lake
):
    project.environment |= {
        "PHLO_TRINO_WORK_CATALOGS": "made-1=lake_made",
        "PHLO_TRINO_WORK_CATALOG_FILE": str(trino_lake.catalog_file),
    }
    load(store, FIRST, Replace())
    project.run("dbt", "build")
    load(store, SECOND, Append())
    before, place = contents(store), rows_of(store, "lake")
    project.write("models/gold/slow.sql", SLOW)
    running = (
        "SELECT count(*) FROM system.runtime.queries WHERE state = 'RUNNING' "
        "AND strpos(query, '.slow') > 0 AND strpos(query, 'system.runtime.queries') = 0"
    ).replace("'.slow'", "'\"slow\"'")
    process = project.start("dbt", "build")
    wait_for(lambda: trino_lake.execute(running) == [[1]] or process.poll() is not None)
    assert process.poll() is None, process.communicate()[0]
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert rows_of(store, "lake") == place
    assert rows_of(store, "lake@made-1")
    assert ["lake_made"] in trino_lake.execute("SHOW CATALOGS")
    (project.folder / "workflows/transforms/dbt/models/gold/slow.sql").unlink()
    project.run("dbt", "build")
    assert trino_lake.execute(running) == [[0]]
    assert rows_of(store, "lake@made-1") == ()
    assert ["lake_made"] not in trino_lake.execute("SHOW CATALOGS")
    after = contents(store)
    assert len(after["gold.daily"]) == len(after["silver.events_clean"]) == 4
    assert after["bronze.events"] == before["bronze.events"]
    assert is_whole(store)
