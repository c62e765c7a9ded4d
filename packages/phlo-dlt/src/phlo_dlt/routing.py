"""Rows that a dlt resource routes to tables by a function, as ``table_name=lambda row: ...``."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, ClassVar

from dlt.common.data_writers.writers import count_rows_in_items
from dlt.common.normalizers.naming.snake_case import NamingConvention
from dlt.extract.items_transform import ItemTransform
from phlo.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

_NAMING = NamingConvention()


class RouteStep(ItemTransform):
    """Lets only the rows of one table pass, as dlt itself would store them.

    Args:
        table: The table loaded.
        table_of: Names the table of an item: of a row, or of a whole frame or Arrow table.

    Attributes:
        elsewhere: Rows that belong to other tables, by table.
    """

    placement_affinity: ClassVar[float] = 1.4  # after dlt's incremental and limits

    def __init__(self, table: str, table_of: Callable[[Any], str]) -> None:
        super().__init__(lambda item: item)
        self._table, self._table_of = _NAMING.normalize_identifier(table), table_of
        self.elsewhere: Counter[str] = Counter()

    def __call__(self, item: Any, meta: Any = None) -> Any:
        """Hand on what of an item belongs to the table."""
        if isinstance(item, list):
            return [row for row in item if self._is_here(row)] or None
        return item if self._is_here(item) else None

    def _is_here(self, item: Any) -> bool:
        name = self._table_of(item)
        if not isinstance(item, dict) and not isinstance(name, str):
            raise ConfigurationError(
                f"table_name= of the resource names no table for a whole {type(item).__name__}.",
                got=repr(name)[:80],
                expected="one name, to which all rows of a frame or Arrow table go",
                hint="Yield dicts, or filter the frame in the ingestion function.",
            )
        table = str(name)
        if _NAMING.normalize_identifier(table) == self._table:
            return True
        self.elsewhere[table] += count_rows_in_items(item)
        return False
