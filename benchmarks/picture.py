"""A picture of a benchmark's ratios, on a logarithmic scale with the peer at 1."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def ratio_column(rows: Sequence[dict[str, Any]]) -> str:
    """The column that compares with the peer: ``ratio``, or ``x_`` and the peer's name."""
    return next(name for name in rows[0] if name == "ratio" or name.startswith("x_"))


def draw(title: str, rows: Sequence[dict[str, Any]], file: Path) -> None:
    """Draw one bar per row that has a ratio.

    Args:
        title: Stands above.
        rows: As a benchmark gives them.
        file: Written; its name says in which format.
    """
    column = ratio_column(rows)
    compared = [row for row in reversed(rows) if column in row]
    figure = Figure(figsize=(9, 1.2 + 0.35 * len(compared)), layout="constrained")
    axes = figure.subplots()
    lengths = [row[column] - 1 for row in compared]
    bars = axes.barh([_label(row) for row in compared], lengths, left=1)
    axes.bar_label(bars, [f" {as_ratio(row[column])} " for row in compared])
    axes.axvline(1, color="black")
    axes.set(title=title, xlabel=column.replace("_", " "), xscale="log")
    axes.margins(x=0.2, y=0.02)
    figure.savefig(file)


def as_ratio(value: float) -> str:
    """``3.2``, and ``1/3.2`` below 1."""
    return f"{value:.3g}" if value >= 1 else f"1/{1 / value:.3g}"


def _label(row: dict[str, Any]) -> str:
    return ", ".join(v for name, v in row.items() if isinstance(v, str) and name != "goal")
