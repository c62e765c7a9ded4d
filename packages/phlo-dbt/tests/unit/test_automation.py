import pytest
from dagster import AssetKey, AssetMaterialization, evaluate_automation_conditions
from phlo.errors import InvalidArgumentError
from phlo_dbt.automation import automation_of

MODELS = ("stg_events", "events_cleaned", "daily_aggregates")


@pytest.mark.filterwarnings("ignore::dagster_shared.utils.warnings.BetaWarning")  # by Dagster
def test_eager_models_follow_their_sources(dbt_project):
    dbt_project.write_guide()
    dbt_project.project.set(PHLO_DBT_AUTOMATION="eager")
    definitions, instance = dbt_project.project.definitions(), dbt_project.instance
    for name in MODELS:
        instance.report_runless_asset_event(AssetMaterialization(name))
    before = evaluate_automation_conditions(definitions, instance)
    instance.report_runless_asset_event(AssetMaterialization("dlt_events"))

    after = evaluate_automation_conditions(definitions, instance, cursor=before.cursor)

    assert {name for name in MODELS if after.get_num_requested(AssetKey(name))} == set(MODELS)


def test_a_tag_chooses_the_models(phlo_environment, monkeypatch):
    monkeypatch.setenv("PHLO_DBT_AUTOMATION", '{"hourly": "0 * * * *", "live": "eager"}')
    hourly, live = automation_of(["x", "hourly"]), automation_of(["live"])
    assert "0 * * * *" in str(hourly)
    assert live is not None
    assert live.get_label() == "eager"
    assert automation_of(["x"]) is None


def test_what_is_neither_eager_nor_a_cron_is_refused(phlo_environment, monkeypatch):
    monkeypatch.setenv("PHLO_DBT_AUTOMATION", "sometimes")
    with pytest.raises(InvalidArgumentError, match="neither 'eager' nor a cron"):
        automation_of(["x"])
