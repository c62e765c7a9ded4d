"""The table store of phlo, and its embedded DuckDB engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from phlo_iceberg.schema import pandera_to_iceberg

__all__ = ["pandera_to_iceberg"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from phlo_iceberg import schema

        return getattr(schema, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
