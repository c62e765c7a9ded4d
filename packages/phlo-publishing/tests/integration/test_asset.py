"""The guide's publishing asset, as a project has it."""

import pytest
from dagster import AssetKey, AssetMaterialization, DagsterInstance
from phlo.errors import InvalidArgumentError, WorkflowImportError
from phlo.plugins import list_plugins

pytestmark = pytest.mark.integration

ASSET = """
from dagster import ResourceParam, asset
from phlo.protocols import QueryEngine
from phlo.publishing import PostgresResource, publish_marts_to_postgres


@asset(deps=["marts__daily_aggregates"], group_name="publishing")
def publish_daily_aggregates(
    context, trino: ResourceParam[QueryEngine], postgres: PostgresResource
):
    return publish_marts_to_postgres(
        context=context,
        trino=trino,
        postgres=postgres,
        tables_to_publish={"daily_aggregates": "marts.daily_aggregates"},
        data_source="events",
    )
"""
BARE = ASSET.replace(
    "trino: ResourceParam[QueryEngine], postgres: PostgresResource", "trino, postgres"
)


@pytest.fixture
def project(postgres_database, phlo_project):
    """A project whose dbt model ``daily_aggregates`` stands in ``gold``, as in the guide."""
    dbt = "workflows/transforms/dbt"
    phlo_project.write(f"{dbt}/dbt_project.yml", "name: shop\nversion: '1.0'\nconfig-version: 2\n")
    phlo_project.write(
        f"{dbt}/models/gold/daily_aggregates.sql",
        "{{ config(materialized='table') }} SELECT 'a' AS category, 3 AS event_count",
    )
    return phlo_project


def test_the_guides_asset_publishes_what_the_dbt_model_made(project, database, caplog):
    project.write("workflows/publishing/events.py", ASSET)
    definitions = project.definitions()
    assert "marts.daily_aggregates" in caplog.text
    assert "gold.daily_aggregates" in caplog.text
    key = AssetKey("publish_daily_aggregates")
    node = definitions.resolve_asset_graph().get(key)
    assert node.parent_keys == {AssetKey("daily_aggregates")}
    assert node.group_name == "publishing"
    job = definitions.resolve_implicit_global_asset_job_def()
    with DagsterInstance.ephemeral() as instance:
        result = job.execute_in_process(
            asset_selection=[AssetKey("daily_aggregates"), key], instance=instance
        )
    assert result.success
    assert database.execute("SELECT * FROM marts.daily_aggregates").fetchall() == [("a", 3)]
    (event,) = [e for e in result.get_asset_materialization_events() if e.asset_key == key]
    assert isinstance(event.materialization, AssetMaterialization)
    (record,) = event.materialization.metadata["published"].records
    assert record.data["source"] == "gold.daily_aggregates"
    assert record.data["rows"] == 1


def test_bare_resource_arguments_are_an_error_that_shows_the_annotations(project):
    project.write("workflows/publishing/events.py", BARE)
    with pytest.raises(InvalidArgumentError, match="'publish_daily_aggregates'") as caught:
        project.definitions()
    assert caught.value.names == ["postgres", "trino"]
    assert "`trino: ResourceParam[QueryEngine]`" in str(caught.value)
    assert "from phlo.protocols import QueryEngine" in str(caught.value)
    assert "`postgres: PostgresResource`" in str(caught.value)


def test_the_guides_group_argument_is_an_error_that_names_dagsters(project):
    text = ASSET.replace("group_name=", "group=")
    project.write("workflows/publishing/events.py", text)
    with pytest.raises(WorkflowImportError, match=r"publishing/events\.py:6") as caught:
        project.definitions()
    assert "group_name" in str(caught.value)


def test_the_plugin_brings_its_resource_and_settings():
    (plugin,) = [plugin for plugin in list_plugins() if plugin.name == "publishing"]
    assert plugin.hooks == (
        "phlo_on_branch",
        "phlo_provide_named_table",
        "phlo_register_commands",
        "phlo_register_definitions",
        "phlo_register_publish_plans",
        "phlo_register_resources",
        "phlo_register_settings",
    )
