"""Parts of Dagster that it does not publish, all that phlo uses of them.

Each stands here with what it does, why no public way will do, and since which version of Dagster
it is so; a test of its name holds what it must do, so that an upgrade that breaks it is seen.
"""

from __future__ import annotations

from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG as RANGE_END_TAG,
)
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_START_TAG as RANGE_START_TAG,
)
from dagster._core.storage.tags import PARTITION_NAME_TAG as PARTITION_TAG

__all__ = ["PARTITION_TAG", "RANGE_END_TAG", "RANGE_START_TAG"]
