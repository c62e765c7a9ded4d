"""How dbt's models and sources appear in Dagster."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from dagster import AssetKey
from dagster_dbt import DagsterDbtTranslator, default_group_from_dbt_resource_props

from phlo_dbt.dagster_dbt_private import is_valid_tag_key

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dagster import AutomationCondition

    Props = Mapping[str, Any]

# The same rules name schemas in macros/phlo_names.sql.
LAYERS = {
    "bronze": "bronze",
    "staging": "bronze",
    "stg": "bronze",
    "silver": "silver",
    "gold": "gold",
    "marts": "marts",
    "mart": "marts",
}
_PREFIXES = {"stg_": "bronze", "dim_": "silver", "fct_": "silver", "mrt_": "marts"}
DEFAULT_LAYER = "transform"


class CustomDbtTranslator(DagsterDbtTranslator):
    """Asset keys, groups and tags of dbt resources, by phlo's conventions.

    A model's key is its name, a version's its alias (``m_v1``). A source's key is
    ``meta.dagster_asset_key``, else dagster-dbt's own ``meta.dagster.asset_key``, else
    ``dlt_<table>``. A group is ``meta.group`` or the configured one, else the layer.
    """

    def get_asset_key(self, dbt_resource_props: Props) -> AssetKey:
        """Return the key of the asset that a dbt resource is or reads."""
        meta = _meta(dbt_resource_props)
        is_source = dbt_resource_props["resource_type"] == "source"
        if is_source and meta.get("dagster_asset_key"):
            return _parse_key(meta["dagster_asset_key"])
        if (meta.get("dagster") or {}).get("asset_key"):
            return AssetKey(meta["dagster"]["asset_key"])
        if is_source:
            return AssetKey(_dagster_name(f"dlt_{dbt_resource_props['name']}"))
        # Versions of a model differ by alias alone.
        is_version = dbt_resource_props.get("version") is not None
        return AssetKey(_dagster_name(dbt_resource_props["alias" if is_version else "name"]))

    def get_group_name(self, dbt_resource_props: Props) -> str | None:
        """Return ``meta.group`` or the configured group, else the layer."""
        named = _meta(dbt_resource_props).get("group")
        return (
            named
            or default_group_from_dbt_resource_props(dbt_resource_props)
            or layer_of(dbt_resource_props)
        )

    def get_tags(self, dbt_resource_props: Props) -> Mapping[str, str]:
        """Return the tag ``dbt``, the model's own tags and its folders, all without values."""
        names = ["dbt", *_folders(dbt_resource_props), *(dbt_resource_props.get("tags") or [])]
        return {name: "" for name in names if is_valid_tag_key(name)}

    def get_automation_condition(self, dbt_resource_props: Props) -> AutomationCondition | None:
        """Return the condition of ``PHLO_DBT_AUTOMATION`` for all models, or for one tag."""
        from phlo_dbt.automation import automation_of

        return automation_of(dbt_resource_props.get("tags") or ())


def layer_of(props: Props) -> str:
    """Return the layer of a model: its nearest layer folder, else its name's prefix.

    Example:
        >>> layer_of({"name": "stg_events", "fqn": ["shop", "stg_events"]})
        'bronze'
    """
    for folder in _folders(props):
        if folder.lower() in LAYERS:
            return LAYERS[folder.lower()]
    prefixes = [layer for prefix, layer in _PREFIXES.items() if props["name"].startswith(prefix)]
    return prefixes[0] if prefixes else DEFAULT_LAYER


def _dagster_name(name: str) -> str:
    """Write a name in the letters that Dagster has for outputs; its table keeps the name.

    >>> _dagster_name("café-2.1")
    'caf_-2.1'
    """
    return re.sub(r"[^A-Za-z0-9_.-]", "_", name)


def _folders(props: Props) -> Sequence[str]:
    return (props.get("fqn") or [])[1:-1]


def _meta(props: Props) -> Mapping[str, Any]:
    return {**(props.get("meta") or {}), **((props.get("config") or {}).get("meta") or {})}


def _parse_key(text: str | Sequence[str]) -> AssetKey:
    return AssetKey.from_user_string(text) if isinstance(text, str) else AssetKey(list(text))
