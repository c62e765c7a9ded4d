"""Parts of Dagster that it does not publish, all that phlo-cli uses of them beyond phlo-core.

Each stands here with what it does, why no public way will do, and since which version of Dagster
it is so; a test of its name says what it must do, so that an upgrade that breaks it is seen.
"""

from __future__ import annotations

from dagster._utils.interrupts import check_captured_interrupt

__all__ = ["check_captured_interrupt"]
