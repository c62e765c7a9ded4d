"""Ingestion for phlo: :func:`phlo_ingestion`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from phlo_dlt.decorator import phlo_ingestion

__all__ = ["phlo_ingestion"]


def __getattr__(name: str) -> Any:
    # Loaded on first use: the command line imports this package's plugin for its help.
    if name == "phlo_ingestion":
        from phlo_dlt.decorator import phlo_ingestion

        return phlo_ingestion
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
