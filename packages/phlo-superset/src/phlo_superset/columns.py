"""A column of a published table."""

from __future__ import annotations

from dataclasses import dataclass

_WHOLE_NUMBERS = ("smallint", "integer", "bigint")


@dataclass(frozen=True)
class Column:
    """A column of a published table.

    Attributes:
        name: Its name.
        type: PostgreSQL's name of its type.
        description: Its comment; empty for none.
        is_key: Whether it is part of the primary key.
    """

    name: str
    type: str
    description: str
    is_key: bool

    @property
    def is_temporal(self) -> bool:
        """Whether it is a date or a moment."""
        return self.type == "date" or self.type.startswith("timestamp")

    @property
    def is_numeric(self) -> bool:
        """Whether it holds numbers."""
        return self.type.startswith(("numeric", "double", "real", *_WHOLE_NUMBERS))

    @property
    def is_whole(self) -> bool:
        """Whether it holds whole numbers."""
        return self.type in _WHOLE_NUMBERS
