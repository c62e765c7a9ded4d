"""Ingestion for phlo: :func:`phlo_ingestion`, and :func:`read_files` for files of other kinds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from phlo_dlt.decorator import phlo_ingestion
    from phlo_dlt.files import read_files

__all__ = ["phlo_ingestion", "read_files"]


def __getattr__(name: str) -> Any:
    # Loaded on first use: the command line imports this package's plugin for its help.
    if name == "phlo_ingestion":
        from phlo_dlt.decorator import phlo_ingestion

        return phlo_ingestion
    if name == "read_files":
        from phlo_dlt.files import read_files

        return read_files
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
