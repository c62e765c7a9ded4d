"""Marts that are declared to be published, by a line of Python or of YAML."""

import json

import pyarrow as pa
import pytest
from dagster import AssetKey
from phlo.errors import AssetNotFoundError, ConfigurationError, InvalidArgumentError
from phlo.project import load_project
from phlo.publishing import publishing_asset
from phlo_cli.main import build_cli
from phlo_publishing.commands import select_specs
from phlo_publishing.declaration import declared_specs, keys_of

pytestmark = pytest.mark.integration

DBT = "workflows/transforms/dbt"
MODEL = "{{ config(materialized='table') }} SELECT 1 AS \"ID\", 'a' AS name"
SCHEMA = """
models:
  - name: people
    config:
      meta: {phlo: {publish: {table: folk, mode: merge, max_age_hours: 26}}}
    columns:
      - name: ID
        data_tests: [unique, not_null]
"""


@pytest.fixture
def project(postgres_database, phlo_project):
    """A project with the dbt model ``gold.people``, which says that it is published."""
    phlo_project.write(f"{DBT}/dbt_project.yml", "name: shop\nversion: '1.0'\nconfig-version: 2\n")
    phlo_project.write(f"{DBT}/models/gold/people.sql", MODEL)
    phlo_project.write(f"{DBT}/models/gold/schema.yml", SCHEMA)
    return phlo_project


@pytest.fixture
def phlo(capsys):
    """Run a phlo command; returns its exit code and output."""

    def call(*arguments):
        with pytest.raises(SystemExit) as caught:
            build_cli().main(list(arguments))
        return caught.value.code or 0, capsys.readouterr().out

    return call


def test_a_dbt_model_that_says_so_is_planned_published_and_fresh(project, database, phlo):
    node = project.definitions().resolve_asset_graph().get(AssetKey("publish_folk"))
    assert node.parent_keys == {AssetKey("people")}
    assert phlo("materialize", "people")[0] == 0
    code, out = phlo("publish", "people", "--dry-run", "--json")
    (plan,) = json.loads(out)
    assert (code, plan["action"], plan["target"]) == (0, "create", "marts.folk")
    assert plan["columns"] == ["+ id integer", "+ name text"]
    assert database.execute("SELECT to_regclass('marts.folk')").fetchone() == (None,)
    assert phlo("publish", "folk")[0] == 0
    assert database.execute("SELECT id, name FROM marts.folk").fetchall() == [(1, "a")]
    key = "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'p'"
    keys = database.execute(f"{key} AND conrelid = 'marts.folk'::regclass").fetchall()
    assert keys == [("PRIMARY KEY (id)",)]
    states = json.loads(phlo("status", "--json")[1])
    assert {s["key"]: s["freshness"] for s in states}["publish_folk"] == "fresh"


def test_a_plan_tells_what_it_would_change_in_published_tables(project, database, phlo):
    assert phlo("materialize", "people+")[0] == 0
    project.write(f"{DBT}/models/gold/people.sql", MODEL + " UNION ALL SELECT 2, 'b'")
    code, out = phlo("plan", "people", "--json")
    plan = json.loads(out)
    (mart,) = plan["marts"]
    assert (code, mart["target"], mart["action"]) == (0, "marts.folk", "merge")
    assert (mart["added"], mart["removed"], mart["changed"]) == (1, 0, 0)
    (lock,) = mart["locks"]
    assert lock.startswith("SHARE ROW EXCLUSIVE on marts.folk while changed rows are written")
    assert database.execute("SELECT id FROM marts.folk").fetchall() == [(1,)]
    shown = phlo("plan", "show", plan["plan_id"], "--markdown")[1]
    assert "| marts.folk | merge | 1 | 0 | 0 | - |" in shown
    assert f"- lock {lock}" in shown
    assert phlo("apply", plan["plan_id"])[0] == 0
    assert database.execute("SELECT id FROM marts.folk ORDER BY id").fetchall() == [(1,), (2,)]


def test_one_line_of_python_declares_an_asset(project):
    project.write(
        "workflows/publishing/people.py",
        "from phlo.publishing import publishing_asset\n"
        "people = publishing_asset('marts.people', key='ID', max_shrink=0.1)\n",
    )
    node = project.definitions().resolve_asset_graph().get(AssetKey("publish_people"))
    assert node.parent_keys == {AssetKey("people")}
    specs = declared_specs(load_project())
    assert [spec.name for spec in specs] == ["publish_people", "publish_folk"]
    assert keys_of(specs[0], load_project()) == {"people": ("ID",)}
    assert select_specs(specs, ["marts.people", "publish_people"]) == [specs[0]]
    with pytest.raises(AssetNotFoundError, match="'peple'.*") as caught:
        select_specs(specs, ["peple"])
    assert "Did you mean 'people'" in str(caught.value)


@pytest.mark.parametrize(
    ("declared", "word"), [("{mod: merge}", "'mode'"), ("[merge]", "publish: true")]
)
def test_a_declaration_that_cannot_be_read_names_model_and_remedy(project, declared, word):
    path = f"{DBT}/models/gold/schema.yml"
    text = SCHEMA.replace("{table: folk, mode: merge, max_age_hours: 26}", declared)
    project.write(path, text)
    with pytest.raises(ConfigurationError, match=r"gold\.people.*people\.sql") as caught:
        project.definitions()
    assert word in str(caught.value)


def test_an_asset_without_marts_is_refused():
    with pytest.raises(InvalidArgumentError, match="no mart"):
        publishing_asset()


def test_a_plan_says_what_changes_what_is_locked_carried_and_refused(
    publish, write_mart, database, phlo_project, phlo
):
    write_mart("marts.m", pa.table({"id": [1, 2, 3, 4], "old": ["x"] * 4, "same": [1.5] * 4}))
    publish({"m": "marts.m"})
    database.execute(
        """
        ALTER TABLE marts.m ADD PRIMARY KEY (id);
        CREATE VIEW marts.v AS SELECT id FROM marts.m;
        CREATE TABLE marts.child (m bigint REFERENCES marts.m (id));
        GRANT SELECT ON marts.m TO PUBLIC;
        """
    )
    write_mart("gold.m", pa.table({"id": [1]}))
    phlo_project.write(
        "workflows/publishing/m.py",
        "from phlo.publishing import publishing_asset\n"
        "m = publishing_asset(tables={'m': 'gold.m'})\n",
    )
    database.execute("CREATE TABLE marts.heir () INHERITS (marts.m)")
    code, out = phlo("publish", "--dry-run")
    assert code == 1
    assert "refuse marts.m from gold.m: 4 rows -> 1 row" in out
    for line in (
        "columns: - old text",
        "columns: - same double precision",
        "locks: ACCESS EXCLUSIVE on marts.m, marts.v, marts.child for the swap",
        "carried: index m_pkey",
        "carried: grants to PUBLIC",
        "carried: view marts.v",
        "carried: foreign key child_m_fkey of marts.child",
        "refused: table marts.heir",
        "refused: a loss of 3 of 4 rows",
    ):
        assert f"  {line}\n" in out
    assert database.execute("SELECT count(*) FROM marts.m").fetchone() == (4,)
