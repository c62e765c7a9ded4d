"""Results that read well wherever they are shown: plain text, a terminal, a notebook."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from phlo_cli.output import cell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType


@dataclass(frozen=True)
class ShownTable:
    """A title, rows of values and lines below them.

    Attributes:
        title: One line.
        headers: Names of the columns.
        rows: Values, one per column.
        lines: What else there is to say, such as errors.
    """

    title: str
    headers: tuple[str, ...]
    rows: Sequence[Sequence[Any]]
    lines: Sequence[str] = ()

    def as_text(self) -> str:
        """Format as plain text, columns aligned."""
        cells = [self.headers, *([cell(value) for value in row] for row in self.rows)]
        widths = [max(len(row[n]) for row in cells) for n in range(len(self.headers))]
        lines = ["  ".join(f"{t:<{w}}" for t, w in zip(row, widths, strict=True)) for row in cells]
        table = [f"  {line}".rstrip() for line in lines] if self.rows else []
        return "\n".join([self.title, *table, *self.lines])

    def as_rich(self) -> RenderableType:
        """Format for rich."""
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        table = Table()
        for header in self.headers:
            table.add_column(Text(header))
        for row in self.rows:
            table.add_row(*(Text(cell(value)) for value in row))
        return Group(Text(self.title), *([table] if self.rows else []), *map(Text, self.lines))

    def as_html(self) -> str:
        """Format as HTML; every value is escaped."""
        head = "".join(f"<th>{escape(name)}</th>" for name in self.headers)
        body = "".join(
            f"<tr>{''.join(f'<td>{escape(cell(value))}</td>' for value in row)}</tr>"
            for row in self.rows
        )
        table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        lines = "".join(f"<pre>{escape(line)}</pre>" for line in self.lines)
        return f"<p>{escape(self.title)}</p>{table if self.rows else ''}{lines}"


class Shown(ABC):
    """A result that Python, rich and notebooks show as the same table."""

    @abstractmethod
    def shown(self) -> ShownTable:
        """Return what to show."""

    def __repr__(self) -> str:
        return self.shown().as_text()

    def __rich__(self) -> RenderableType:
        return self.shown().as_rich()

    def _repr_html_(self) -> str:
        return self.shown().as_html()
