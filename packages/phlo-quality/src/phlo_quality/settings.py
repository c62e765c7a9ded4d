"""Settings of phlo-quality, read from ``PHLO_QUALITY_*``."""

from __future__ import annotations

from phlo.config import load_settings
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class QualitySettings(BaseSettings):
    """How checks are run."""

    model_config = SettingsConfigDict(env_prefix="PHLO_QUALITY_", extra="ignore", frozen=True)

    max_frame_rows: int = Field(
        1_000_000,
        ge=1,
        description="Rows that a check on frames may be handed; with more it could not run.",
    )


def get_quality_settings() -> QualitySettings:
    """Return the settings, read on first use."""
    return load_settings(QualitySettings)
