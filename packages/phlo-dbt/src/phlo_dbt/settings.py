"""Settings of phlo-dbt, read from ``PHLO_DBT_*``."""

from __future__ import annotations

from typing import Any

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class DbtSettings(BaseSettings):
    """What every run of dbt that phlo starts is given."""

    model_config = SettingsConfigDict(env_prefix="PHLO_DBT_", extra="ignore", frozen=True)

    vars: dict[str, Any] = Field(
        default_factory=dict, description='Variables, as dbt\'s --vars: {"name": value}.'
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
