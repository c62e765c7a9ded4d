"""A project that defines its dbt assets itself, as the guide does."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from phlo.errors import WorkflowImportError

GUIDE = """
from pathlib import Path

from dagster import DailyPartitionsDefinition
from dagster_dbt import DbtCliResource, dbt_assets
from phlo_dbt.translator import CustomDbtTranslator

DBT_PROJECT_DIR = Path(__file__).parent.parent / "transforms" / "dbt"
daily_partition = DailyPartitionsDefinition(start_date="2025-01-01")


@dbt_assets(
    manifest=DBT_PROJECT_DIR / "target" / "manifest.json",
    dagster_dbt_translator=CustomDbtTranslator(),
    partitions_def=daily_partition,
)
def all_dbt_assets(context, dbt: DbtCliResource):
    yield from dbt.cli(["build"], context=context).stream()
"""
COMMAND = str(Path(sys.executable).parent / "phlo-dbt")


@pytest.fixture
def own(dbt_project):
    """The guide's models over a table outside of the project, and the guide's module."""
    dbt_project.write_guide()
    dbt_project.write(
        "models/bronze/sources.yml",
        """
        sources:
          - name: raw
            schema: bronze
            tables: [{name: events, meta: {dagster_asset_key: dlt_events}}]
        """,
    )
    dbt_project.load_events(("a", 1, 10.0, "x"), ("b", 2, 20.0, "y"))
    return dbt_project


def run(project, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COMMAND, *arguments], cwd=project.root, capture_output=True, text=True, check=False
    )


@pytest.mark.filterwarnings("ignore:AssetExecutionContext.op is deprecated")  # by dagster-dbt
def test_the_guides_module_replaces_the_automatic_assets_and_publishes(own):
    assert run(own, "parse").returncode == 0
    manifest = json.loads((own.dbt_dir / "target/manifest.json").read_text())
    assert "model.shop.stg_events" in manifest["nodes"]
    own.project.write("workflows/transform/dbt.py", GUIDE)
    definitions = own.project.definitions()
    [assets] = [a for a in definitions.assets if a.is_executable]
    assert assets.node_def.name == "all_dbt_assets"

    job = definitions.resolve_implicit_global_asset_job_def()
    result = job.execute_in_process(instance=own.instance, partition_key="2025-01-02")

    assert result.success
    keys = {e.asset_key.to_user_string() for e in result.get_asset_materialization_events()}
    assert keys == {"stg_events", "events_cleaned", "daily_aggregates"}
    assert own.rows("silver.events_cleaned", "id", "value") == [("a", 10.0), ("b", 20.0)]


def test_a_missing_manifest_names_the_command_that_writes_it(own):
    own.project.write("workflows/transform/dbt.py", GUIDE)
    with pytest.raises(WorkflowImportError, match="`phlo dbt parse` writes target/manifest.json"):
        own.project.load()


def test_a_broken_model_stops_nothing_but_the_runs_of_models(own, caplog):
    assert {str(t) for t in own.project.load().tables} >= {"bronze.stg_events"}
    own.write("models/gold/broken.sql", "select * from {{ ref('nobody') }}")

    assert {str(t) for t in own.project.load().tables} >= {"bronze.stg_events"}
    assert "nobody" in caplog.text
    result = own.materialize("stg_events")
    assert not result.success
    description = result.failure_data_for_node("dbt_models").user_failure_data.description
    assert "dbt cannot parse" in description
    assert "nobody" in description


def test_a_project_that_dbt_never_parsed_has_no_models_and_the_rest(own, caplog):
    own.write("models/gold/broken.sql", "select * from {{ ref('nobody') }}")
    assert {str(t) for t in own.project.load().tables} == {"bronze.events"}
    assert "nobody" in caplog.text
