"""The variables that every run of dbt has."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from phlo.config import get_settings


def default_variables() -> dict[str, str]:
    """Return today as ``partition_date``, ``min_date`` and ``max_date``.

    A run of Dagster's names its own partition instead.
    """
    today = datetime.now(ZoneInfo(get_settings().timezone)).date().isoformat()
    return dict.fromkeys(("partition_date", "min_date", "max_date"), today)
