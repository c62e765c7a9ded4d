"""Parts of dagster-dbt, and of Dagster, that they do not publish, all that phlo-dbt uses of them.

Each stands here with what it does, why no public way will do, and since which version it is so; a
test of its name says what it must do. dbt itself is imported by nothing here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dagster._utils.tags import is_valid_tag_key
from dagster_dbt.asset_utils import (
    DAGSTER_DBT_MANIFEST_METADATA_KEY,
    DAGSTER_DBT_UNIQUE_ID_METADATA_KEY,
)
from dagster_dbt.core.dbt_cli_event import DbtCoreCliEventMessage

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from dagster import AssetExecutionContext
    from dagster_dbt import DagsterDbtTranslator

__all__ = [
    "MANIFEST_KEY",
    "UNIQUE_ID_KEY",
    # Dagster refuses an asset whose tag has another key, and publishes no test for it. Since 1.7.
    "is_valid_tag_key",
    "translate_test_result",
]

MANIFEST_KEY = DAGSTER_DBT_MANIFEST_METADATA_KEY
"""Metadata entry of what ``@dbt_assets`` makes; nothing public does. Since 0.21."""

UNIQUE_ID_KEY = DAGSTER_DBT_UNIQUE_ID_METADATA_KEY
"""Metadata entry with an asset's dbt node, to which nothing else leads. Since 0.26."""


def translate_test_result(
    event: Mapping[str, Any],
    manifest: Mapping[str, Any],
    translator: DagsterDbtTranslator,
    context: AssetExecutionContext,
) -> Iterator[Any]:
    """Translate dbt's event of a test's end to the check results that dagster-dbt makes of it.

    Publicly dagster-dbt translates only what the dbt processes print that it starts itself; phlo
    runs dbt in its own process (dagster-dbt 0.29).
    """
    message = DbtCoreCliEventMessage(raw_event=dict(event), event_history_metadata={})
    yield from message.to_default_asset_events(manifest, translator, context)
