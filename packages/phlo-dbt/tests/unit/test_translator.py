import pytest
from dagster import AssetKey, AssetSelection, AssetSpec, Definitions, multi_asset
from phlo_dbt.translator import CustomDbtTranslator, layer_of


def model(name: str, *folders: str, **props):
    return {
        "resource_type": "model",
        "name": name,
        "fqn": ["shop", *folders, name],
        "config": {},
        **props,
    }


def source(name: str, **props):
    return {
        "resource_type": "source",
        "source_name": "raw",
        "name": name,
        "fqn": ["shop", "bronze", "raw", name],
        "config": {},
        **props,
    }


def test_the_key_of_a_model_is_its_name_whatever_its_schema():
    props = model("stg_events", "bronze", config={"schema": "other"})
    assert CustomDbtTranslator().get_asset_key(props) == AssetKey("stg_events")


def test_the_key_of_a_source_is_what_its_meta_names():
    key = CustomDbtTranslator().get_asset_key
    assert key(source("events", meta={"dagster_asset_key": "dlt_all_events"})) == AssetKey(
        "dlt_all_events"
    )
    assert key(source("events", meta={"dagster_asset_key": "a/b"})) == AssetKey(["a", "b"])
    assert key(source("e", config={"meta": {"dagster_asset_key": "x"}})) == AssetKey("x")


def test_the_key_of_a_source_may_be_named_dagsters_way():
    props = source("events", meta={"dagster": {"asset_key": ["raw", "events"]}})
    assert CustomDbtTranslator().get_asset_key(props) == AssetKey(["raw", "events"])


def test_the_key_of_a_source_is_otherwise_its_ingestion():
    assert CustomDbtTranslator().get_asset_key(source("events")) == AssetKey("dlt_events")


@pytest.mark.parametrize(
    ("props", "group"),
    [
        (model("x", "bronze"), "bronze"),
        (model("x", "staging"), "bronze"),
        (model("x", "stg"), "bronze"),
        (model("x", "silver", "nightscout"), "silver"),
        (model("x", "nightscout", "gold"), "gold"),
        (model("x", "mart"), "marts"),
        (model("x", "Marts"), "marts"),
        (model("stg_x"), "bronze"),
        (model("dim_x"), "silver"),
        (model("fct_x", "finance"), "silver"),
        (model("mrt_x"), "marts"),
        (model("stg_x", "silver"), "silver"),
        (model("x"), "transform"),
        (model("x", "silver", meta={"group": "health"}), "health"),
        (model("x", "silver", config={"meta": {"group": "health"}}), "health"),
        (model("x", "silver", config={"group": "finance"}), "finance"),
        (model("x", "silver", meta={"dagster": {"group": "own"}}), "own"),
    ],
)
def test_the_group_is_named_or_follows_from_folder_and_prefix(props, group):
    assert CustomDbtTranslator().get_group_name(props) == group


def test_the_layer_does_not_follow_the_group():
    assert layer_of(model("x", "silver", meta={"group": "health"})) == "silver"


def test_tags_select_all_models_and_those_of_a_domain():
    translator = CustomDbtTranslator()
    models = {
        "fct_a": model("fct_a", "silver", "nightscout", tags=["nightly"]),
        "fct_b": model("fct_b", "silver"),
    }
    specs = [AssetSpec(n, tags=translator.get_tags(p)) for n, p in models.items()]
    assets = multi_asset(name="models", specs=[*specs, AssetSpec("other")])(lambda: None)
    graph = Definitions(assets=[assets]).resolve_asset_graph()

    def selected(tag: str) -> set[str]:
        # What "tag:<tag>" is read as.
        keys = AssetSelection.tag(tag, "").resolve(graph)
        return {key.to_user_string() for key in keys}

    assert selected("dbt") == {"fct_a", "fct_b"}
    assert selected("nightscout") == {"fct_a"}
    assert selected("nightly") == {"fct_a"}


def test_a_tag_that_dagster_cannot_take_is_left_out():
    props = model("x", "silver", tags=["a b c!", "ok"])
    assert CustomDbtTranslator().get_tags(props) == {"dbt": "", "silver": "", "ok": ""}
