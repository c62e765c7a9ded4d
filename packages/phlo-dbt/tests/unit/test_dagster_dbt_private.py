"""What phlo-dbt needs of dagster-dbt's private parts, one test by the name of each."""

import json

import pytest
from dagster import asset
from dagster_dbt import dbt_assets
from phlo.config import get_settings
from phlo_dbt import dagster_dbt_private
from phlo_dbt.folders import DbtWorkspace
from phlo_dbt.manifest import manifest_json


@pytest.fixture
def model(dbt_project):
    """The assets that ``@dbt_assets`` makes of a project with one model."""
    dbt_project.write("models/gold/one.sql", "select 1 as a")
    manifest = manifest_json(DbtWorkspace.of(get_settings()))

    @dbt_assets(manifest=json.loads(json.dumps(manifest)))
    def models(context): ...

    return models


def test_manifest_key_tells_assets_of_dbt_from_others(model):
    @asset
    def other(): ...

    def has_key(assets):
        entries = assets.metadata_by_key.values()
        return [dagster_dbt_private.MANIFEST_KEY in entry for entry in entries]

    assert has_key(model) == [True]
    assert has_key(other) == [False]


def test_unique_id_key_holds_the_node_of_an_asset(model):
    (spec,) = model.specs
    assert spec.metadata[dagster_dbt_private.UNIQUE_ID_KEY] == "model.shop.one"


@pytest.mark.parametrize(
    ("key", "is_valid"),
    [("dbt", True), ("team/growth", True), ("with space", False), ("", False)],
)
def test_is_valid_tag_key_says_what_an_asset_takes(key, is_valid):
    assert dagster_dbt_private.is_valid_tag_key(key) is is_valid
