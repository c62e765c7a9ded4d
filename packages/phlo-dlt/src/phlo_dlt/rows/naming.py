"""Which column of a contract a field of the source is."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from dlt.common.normalizers.naming.snake_case import NamingConvention

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_NAMING = NamingConvention()


def resolve_name(name: str, columns: Sequence[str]) -> str | None:
    """Return the column that a source's field means, or ``None``.

    A field means the column of its exact name, else the one column that has the same name by dlt's
    convention, if the convention loses no letter of either.

    >>> resolve_name("dateString", ["date_string", "value"])
    'date_string'
    """
    if name in columns:
        return name
    conventional = _conventional(name)
    same = [c for c in columns if conventional is not None and _conventional(c) == conventional]
    return same[0] if len(same) == 1 else None


def match_names(names: Iterable[str], columns: Sequence[str]) -> dict[str, list[str]]:
    """Return the fields of each column that has some, the field of its exact name first."""
    matched: dict[str, list[str]] = {}
    for name in names:
        column = resolve_name(name, columns)
        if column is not None:
            matched.setdefault(column, []).append(name)
    return {column: sorted(same, key=lambda n: n != column) for column, same in matched.items()}


@cache
def _conventional(name: str) -> str | None:
    """Return a name by dlt's convention; ``None`` where letters of it would be lost."""
    if not isinstance(name, str) or not name.strip():
        return None
    normal = _NAMING.normalize_identifier(name)
    return normal if _letters(name) == _letters(normal) else None


def _letters(name: str) -> str:
    return "".join(c for c in name.casefold() if c.isalnum())
