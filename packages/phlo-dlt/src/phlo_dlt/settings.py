"""Settings of phlo-dlt, read from ``PHLO_DLT_*``."""

from __future__ import annotations

from phlo.config import load_settings
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class DltSettings(BaseSettings):
    """How loads are worked on."""

    model_config = SettingsConfigDict(env_prefix="PHLO_DLT_", extra="ignore", frozen=True)

    memory_limit_mb: int = Field(
        256,
        ge=64,
        description="Memory, in megabytes, in which a load is judged before it spills to disk.",
    )
    publish_attempts: int = Field(
        10,
        ge=1,
        description="How often a load is staged and audited anew when its table moved meanwhile.",
    )
    catch_up_partitions: int = Field(
        31,
        ge=1,
        description="How many partitions that were not loaded since they ended a tick loads "
        "at most, the newest first; the next ticks load the others.",
    )


def get_dlt_settings() -> DltSettings:
    """Return the settings, read on first use."""
    return load_settings(DltSettings)
