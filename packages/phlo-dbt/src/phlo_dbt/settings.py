"""Settings of phlo-dbt, read from ``PHLO_DBT_*``."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any

import yaml
from pydantic import BeforeValidator, Field
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

if TYPE_CHECKING:
    from collections.abc import Mapping


def _read_variables(value: Any) -> Any:
    """Read a mapping as dbt reads ``--vars``: YAML, of which JSON is a part.

    >>> _read_variables("{region: eu, days: 3}")
    {'region': 'eu', 'days': 3}
    """
    if not isinstance(value, str):
        return value
    try:
        return yaml.safe_load(value) or {}
    except yaml.YAMLError as exc:
        raise ValueError(f"no YAML: {exc}") from exc


def vars_option(variables: Mapping[str, Any]) -> list[str]:
    """Build dbt's option for variables; dates stay dates, which JSON has not.

    >>> vars_option({"days": [1, 2]})
    ['--vars', '{days: [1, 2]}']
    """
    text = yaml.safe_dump(dict(variables), default_flow_style=True, width=math.inf)
    return ["--vars", text.strip()]


class DbtSettings(BaseSettings):
    """What every run of dbt that phlo starts is given."""

    model_config = SettingsConfigDict(env_prefix="PHLO_DBT_", extra="ignore", frozen=True)

    vars: Annotated[dict[str, Any], NoDecode, BeforeValidator(_read_variables)] = Field(
        default_factory=dict, description="Variables, as dbt's --vars: `{name: value}`."
    )
    full_refresh: bool = Field(
        False, description="Whether incremental models are built from scratch."
    )
    target: str | None = Field(
        None, description="Target of the project's profiles.yml; unset: the profile's own default."
    )
    automation: str | dict[str, str] | None = Field(
        None,
        description='When models are built anew by `phlo dev`: "eager" after what they read was '
        'made, or a cron; for all, or by tag: {"hourly": "0 * * * *"}.',
    )
