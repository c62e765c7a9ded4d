"""Parsing a project, naming its tables, and finding what its sources read."""

import pytest
from dbt.parser.manifest import ManifestLoader
from phlo.config import get_settings
from phlo.errors import AssetNotFoundError, ConfigurationError
from phlo.names import TableName
from phlo_dbt import manifest as manifest_module
from phlo_dbt.folders import DbtWorkspace
from phlo_dbt.manifest import manifest_json, written_queries
from phlo_dbt.reads import tables_read_by


def workspace() -> DbtWorkspace:
    return DbtWorkspace.of(get_settings())


def tables_of(dbt_project) -> set[str]:
    return {str(table) for table in dbt_project.project.load().tables} - {"bronze.events"}


def test_a_project_without_dbt_has_no_models(phlo_project):
    assert phlo_project.load().tables == {}
    assert list(phlo_project.definitions().assets or []) == []


def test_a_dbt_project_without_models_has_no_assets(dbt_project):
    assert tables_of(dbt_project) == set()


def test_schemas_are_exactly_the_layers(dbt_project):
    for path in (
        "bronze/a",
        "staging/b",
        "silver/domain/c",
        "gold/d",
        "mart/e",
        "stg_f",
        "dim_g",
        "mrt_h",
        "other/i",
    ):
        dbt_project.write(f"models/{path}.sql", "select 1 as x")
    dbt_project.write("models/gold/j.sql", "{{ config(schema='finance') }} select 1 as x")
    dbt_project.write("models/gold/k.sql", "{{ config(alias='kk') }} select 1 as x")
    assert tables_of(dbt_project) == {
        "bronze.a",
        "bronze.b",
        "silver.c",
        "gold.d",
        "marts.e",
        "bronze.stg_f",
        "silver.dim_g",
        "marts.mrt_h",
        "transform.i",
        "finance.j",
        "gold.kk",
    }


def test_the_sql_of_models_is_handed_over_without_jinja(dbt_project):
    model = "{{ config(alias='b') }} select x / 2 as y {# a note #} from {{ ref('a') }}"
    dbt_project.write("models/gold/a.sql", "select 1 as x")
    dbt_project.write("models/gold/c.sql", model)
    queries = {query.owner: query for query in written_queries(workspace())}
    assert set(queries) >= {"model a", "model c"}
    assert queries["model c"].dialect == "duckdb"
    assert " ".join(queries["model c"].sql.split()) == "jinja select x / 2 as y jinja from jinja"


def test_a_projects_own_schema_names_win(dbt_project):
    dbt_project.write(
        "macros/names.sql",
        "{% macro generate_schema_name(custom_schema_name, node) %}mine{% endmacro %}",
    )
    dbt_project.write("models/gold/a.sql", "select 1 as x")
    assert tables_of(dbt_project) == {"mine.a"}


def test_an_unchanged_project_is_not_parsed_again(dbt_project, monkeypatch):
    dbt_project.write("models/gold/a.sql", "select 1 as x")
    first = manifest_json(workspace())

    def parse(_workspace):
        raise AssertionError("parsed again")

    monkeypatch.setattr(manifest_module, "parse_manifest", parse)
    assert manifest_json(workspace()) == first
    dbt_project.write("models/gold/b.sql", "select 1 as x")
    with pytest.raises(AssertionError, match="parsed again"):
        manifest_json(workspace())


def test_a_project_that_dbt_cannot_parse_names_the_users_file(dbt_project):
    dbt_project.write("models/gold/a.sql", "select * from {{ ref('nowhere') }}")
    with pytest.raises(ConfigurationError) as caught:
        manifest_json(workspace())
    assert "nowhere" in str(caught.value)
    assert "models/gold/a.sql" in str(caught.value)

    dbt_project.write("dbt_project.yml", "name: 1\n")
    with pytest.raises(ConfigurationError) as caught:
        manifest_json(workspace())
    assert str(dbt_project.dbt_dir / "dbt_project.yml") in str(caught.value)


def test_a_config_that_changes_with_the_run_is_refused(dbt_project):
    dbt_project.write(
        "models/gold/a.sql", "{{ config(alias='a' ~ var('partition_date', 'x')) }} select 1 as x"
    )
    with pytest.raises(ConfigurationError, match="'partition_date', which changes") as caught:
        manifest_json(workspace())
    assert caught.value.variable == "partition_date"


def test_a_source_reads_the_table_of_its_asset(dbt_project):
    dbt_project.write_guide()
    from phlo_dbt.manifest import DbtProject

    project = DbtProject.load(dbt_project.project.load())
    assert project.sources == {"source.shop.raw.events": TableName("bronze", "events")}
    assert project.manifest["sources"]["source.shop.raw.events"]["relation_name"] == (
        '"lake"."bronze"."events"'
    )


def test_a_source_with_a_schema_reads_that_table(dbt_project):
    dbt_project.write(
        "models/sources.yml",
        "sources: [{name: legacy, schema: old, tables: [{name: t, identifier: t2}]}]",
    )
    dbt_project.write("models/gold/a.sql", "select * from {{ source('legacy', 't') }}")
    from phlo_dbt.manifest import DbtProject

    project = DbtProject.load(dbt_project.project.load())
    assert list(project.sources.values()) == [TableName("old", "t2")]


def test_a_source_named_as_its_schema_reads_the_table_that_dbt_would(dbt_project):
    dbt_project.write("models/sources.yml", "sources: [{name: silver, tables: [{name: a}]}]")
    dbt_project.write("models/silver/a.sql", "select 1 as n")
    dbt_project.write("models/gold/b.sql", "select * from {{ source('silver', 'a') }}")
    from phlo_dbt.manifest import DbtProject

    project = DbtProject.load(dbt_project.project.load())
    assert list(project.sources.values()) == [TableName("silver", "a")]


def test_a_source_that_maps_to_nothing_suggests_assets(dbt_project):
    dbt_project.write("models/sources.yml", "sources: [{name: raw, tables: [{name: event}]}]")
    dbt_project.write("models/gold/a.sql", "select * from {{ source('raw', 'event') }}")
    with pytest.raises(AssetNotFoundError) as caught:
        dbt_project.project.definitions()
    message = str(caught.value)
    assert "source('raw', 'event') in models/sources.yml maps to 'dlt_event'" in message
    assert "one of ['dlt_events']" in message
    assert "dagster_asset_key" in message


def test_a_source_that_nobody_reads_may_map_to_nothing(dbt_project):
    dbt_project.write("models/sources.yml", "sources: [{name: raw, tables: [{name: event}]}]")
    dbt_project.write("models/gold/a.sql", "select 1 as x")
    assert dbt_project.project.definitions().assets


def test_ephemeral_models_make_no_table(dbt_project):
    dbt_project.write("models/silver/e.sql", "{{ config(materialized='ephemeral') }} select 1 as x")
    dbt_project.write("models/gold/a.sql", "select * from {{ ref('e') }}")
    assert tables_of(dbt_project) == {"gold.a"}
    assert dbt_project.materialize().success
    assert dbt_project.rows("gold.a") == [(1,)]


def test_the_options_speak_to_nobody_outside(dbt_project):
    assert {"--no-version-check", "--no-send-anonymous-usage-stats"} <= set(workspace().arguments())


def test_a_profile_of_the_project_is_used_if_it_is_one_of_phlos(dbt_project):
    assert workspace().profile == (workspace().state_dir, "phlo")
    dbt_project.write("dbt_project.yml", "name: shop\nversion: '1.0'\nprofile: mine\n")
    dbt_project.write("profiles.yml", "mine: {target: a, outputs: {a: {type: postgres}}}")
    assert workspace().profile == (workspace().state_dir, "phlo")
    dbt_project.write("profiles.yml", "mine: {target: a, outputs: {a: {type: phlo}}}")
    assert workspace().profile == (dbt_project.dbt_dir, "mine")


def test_marts_x_is_the_model_x_wherever_it_stands(dbt_project):
    dbt_project.write("models/gold/daily.sql", "select 1 as x")
    dbt_project.project.write(
        "workflows/publishing/daily.py",
        """
        from dagster import asset


        @asset(deps=["marts__daily"])
        def published() -> None: ...


        @asset(deps=["gold__daily"])
        def published_too() -> None: ...
        """,
    )
    definitions = dbt_project.project.definitions()
    graph = definitions.resolve_asset_graph()
    parents = {
        key.to_user_string(): [p.to_user_string() for p in graph.get(key).parent_keys]
        for key in graph.get_all_asset_keys()
    }
    assert parents["published"] == ["daily"]
    assert parents["published_too"] == ["daily"]


def test_a_run_finds_what_it_does_not_build_and_what_reads_itself(dbt_project):
    from phlo_dbt.manifest import DbtProject

    dbt_project.write_guide()
    dbt_project.write(
        "models/silver/e.sql",
        "{{ config(materialized='ephemeral') }} select * from {{ ref('events_cleaned') }}",
    )
    dbt_project.write("models/gold/a.sql", "select * from {{ ref('e') }}")
    project = DbtProject.load(dbt_project.project.load())

    def read_by(*names: str) -> set[str]:
        chosen = [f"model.shop.{n}" for n in names]
        return {str(t) for t in tables_read_by(project.manifest["nodes"], project.tables, chosen)}

    assert read_by("daily_aggregates") == {"silver.events_cleaned"}
    assert read_by("a") == {"silver.events_cleaned"}
    assert read_by("stg_events") == {"bronze.events", "bronze.stg_events"}
    assert read_by("events_cleaned", "daily_aggregates") == {
        "bronze.stg_events",
        "silver.events_cleaned",
    }


@pytest.mark.parametrize("count", [3, pytest.param(500, marks=pytest.mark.slow)])
def test_models_are_parsed_once_for_assets_and_all_runs(dbt_project, monkeypatch, count):
    parses, load = [], ManifestLoader.load
    monkeypatch.setattr(ManifestLoader, "load", lambda self: parses.append(self) or load(self))
    for number in range(count):
        dbt_project.write(f"models/gold/m_{number}.sql", f"select {number} as n")
    assert dbt_project.materialize("m_0").success
    assert dbt_project.materialize("m_1", "m_2").success
    assert len(parses) == 1
    dbt_project.write("models/gold/m_1.sql", "select 7 as n, 'longer' as text")
    assert dbt_project.materialize("m_1").success
    assert dbt_project.rows("gold.m_1") == [(7, "longer")]
    assert len(parses) == 2
