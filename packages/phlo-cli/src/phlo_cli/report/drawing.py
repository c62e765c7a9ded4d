"""Shapes of the page's pictures, as numbers of SVG paths; the page's template writes them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from phlo_cli.lineage import Lineage
    from phlo_cli.report.values import PartitionRows

WIDTH, HEIGHT = 720, 100
"""Size of a chart in its own units; the page stretches it."""

MOST_BARS = 120
"""Bars of a chart; more partitions than this share bars."""


@dataclass(frozen=True)
class Bar:
    """One bar: a partition, or several that follow one another.

    Attributes:
        label: The partition, or first and last of them.
        rows: Rows.
        quarantined: Rows in quarantine.
        gaps: Partitions among them that were never made and have no rows.
        empty: Partitions among them that were made and have no rows.
    """

    label: str
    rows: int
    quarantined: int
    gaps: int
    empty: int


@dataclass(frozen=True)
class BarChart:
    """Rows by partition, as paths.

    Attributes:
        bars: What each bar holds, in order.
        rows_path: All bars of rows.
        quarantine_path: The rows in quarantine, on top of them.
        gaps_path: Marks at the foot where a partition is missing.
        most: Rows that the whole height stands for.
        per_bar: Partitions that share a bar.
        gap_ranges: First and last partition of each gap, as text.
    """

    bars: Sequence[Bar]
    rows_path: str
    quarantine_path: str
    gaps_path: str
    most: int
    per_bar: int
    gap_ranges: Sequence[str]


def bar_chart(partitions: Sequence[PartitionRows], most_bars: int = MOST_BARS) -> BarChart:
    """Draw rows by partition; rows in quarantine stand on top of them."""
    per_bar = -(-len(partitions) // most_bars)
    bars = [_bar(partitions[i : i + per_bar]) for i in range(0, len(partitions), per_bar)]
    most = max((bar.rows + bar.quarantined for bar in bars), default=0) or 1
    step = WIDTH / max(len(bars), 1)
    rows, quarantined, gaps = [], [], []
    for i, bar in enumerate(bars):
        left, width = round(i * step, 1), round(max(step - min(2.0, step / 4), 0.5), 1)
        height = _height(bar.rows, most)
        rows.append(_box(left, HEIGHT - height, width, height) if height else "")
        on_top = _height(bar.quarantined, most)
        quarantined.append(_box(left, HEIGHT - height - on_top, width, on_top) if on_top else "")
        gaps.append(_box(left, HEIGHT + 3, width, 6) if bar.gaps else "")
    return BarChart(
        bars, "".join(rows), "".join(quarantined), "".join(gaps), most, per_bar, _ranges(partitions)
    )


def _bar(partitions: Sequence[PartitionRows]) -> Bar:
    first, last = partitions[0].day.isoformat(), partitions[-1].day.isoformat()
    return Bar(
        label=first if first == last else f"{first} to {last}",
        rows=sum(one.rows for one in partitions),
        quarantined=sum(one.quarantined for one in partitions),
        gaps=sum(one.is_gap for one in partitions),
        empty=sum(one.is_made and not one.rows for one in partitions),
    )


def _height(rows: int, most: int) -> float:
    """Return a bar's height; what is there at all can be seen."""
    return max(1.5, round(rows / most * HEIGHT, 1)) if rows else 0.0


def _box(left: float, top: float, width: float, height: float) -> str:
    return f"M{left:g} {round(top, 1):g}h{width:g}v{height:g}h-{width:g}z"


def _ranges(partitions: Sequence[PartitionRows]) -> list[str]:
    ranges: list[list[str]] = []
    before_is_gap = False
    for one in partitions:
        day = one.day.isoformat()
        if one.is_gap and before_is_gap:
            ranges[-1][1] = day
        elif one.is_gap:
            ranges.append([day, day])
        before_is_gap = one.is_gap
    return [first if first == last else f"{first} to {last}" for first, last in ranges]


def line_path(values: Sequence[float]) -> tuple[str, float, float]:
    """Draw two values or more from left to right.

    Returns:
        The path, and the values that its foot and its top stand for; zero is in between.
    """
    low, high = min(0.0, *values), max(0.0, *values)
    span = (high - low) or 1.0
    step = WIDTH / (len(values) - 1)
    points = [
        f"{round(i * step, 1):g} {round(HEIGHT - (v - low) / span * HEIGHT, 1):g}"
        for i, v in enumerate(values)
    ]
    return "M" + "L".join(points), low, high


@dataclass(frozen=True)
class Box:
    """A node of the lineage graph, placed.

    Attributes:
        name: The node.
        left: Its left edge.
        top: Its top edge.
    """

    name: str
    left: int
    top: int


@dataclass(frozen=True)
class Graph:
    """The lineage graph, placed.

    Attributes:
        boxes: All nodes.
        edges: A path from each node to each that is made of it, with the names of both.
        width: Of the whole.
        height: Of the whole.
    """

    boxes: Sequence[Box]
    edges: Sequence[tuple[str, str, str]]
    width: int
    height: int


BOX_WIDTH, BOX_HEIGHT, GAP_X, GAP_Y = 210, 30, 44, 12


def lay_out(lineage: Lineage) -> Graph:
    """Place nodes in columns: each to the right of all that it is made of."""
    layers = _sorted_layers(lineage)
    boxes = {
        name: Box(name, x * (BOX_WIDTH + GAP_X), y * (BOX_HEIGHT + GAP_Y))
        for x, names in enumerate(layers)
        for y, name in enumerate(names)
    }
    edges = [
        (parent, node.name, _curve(boxes[parent], boxes[node.name]))
        for node in lineage.nodes.values()
        for parent in node.parents
        if parent in boxes
    ]
    width = len(layers) * (BOX_WIDTH + GAP_X) - GAP_X
    height = max((len(names) for names in layers), default=0) * (BOX_HEIGHT + GAP_Y) - GAP_Y
    return Graph(list(boxes.values()), edges, max(width, 0), max(height, 0))


def _sorted_layers(lineage: Lineage) -> list[list[str]]:
    """Sort each column of nodes by where their neighbours stand, to cross few lines."""
    depth: dict[str, int] = {}
    for name, node in lineage.nodes.items():
        depth[name] = 1 + max((depth.get(parent, -1) for parent in node.parents), default=-1)
    layers: list[list[str]] = [[] for _ in range(max(depth.values(), default=-1) + 1)]
    for name, x in depth.items():
        layers[x].append(name)
    for _ in range(2):
        for before, layer in pairwise(layers):
            _sort_by_neighbours(layer, before, lambda n: list(lineage.nodes[n].parents))
        for layer, after in reversed(list(pairwise(layers))):
            _sort_by_neighbours(layer, after, lineage.children)
    return layers


def _sort_by_neighbours(
    layer: list[str], other: list[str], neighbours: Callable[[str], Sequence[str]]
) -> None:
    place = {name: y for y, name in enumerate(other)}

    def middle(name: str) -> float:
        found = [place[one] for one in neighbours(name) if one in place]
        return sum(found) / len(found) if found else float(layer.index(name))

    middles = {name: middle(name) for name in layer}
    layer.sort(key=lambda name: middles[name])


def _curve(parent: Box, child: Box) -> str:
    start, end = parent.left + BOX_WIDTH, child.left
    y, z = parent.top + BOX_HEIGHT // 2, child.top + BOX_HEIGHT // 2
    middle = (start + end) // 2
    return f"M{start} {y}C{middle} {y} {middle} {z} {end} {z}"
