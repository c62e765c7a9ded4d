"""Lineage as text that other tools draw: Mermaid, Graphviz and JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from phlo_cli.lineage import Lineage

Edge = tuple[str, str]


def draw(format_name: str, lineage: Lineage, chosen: Iterable[Any], *, with_columns: bool) -> str:
    """Return a diagram.

    Args:
        format_name: ``mermaid``, ``dot`` or ``json``.
        lineage: Of all tables.
        chosen: Names of the nodes to draw, or columns.
        with_columns: Whether the columns of the nodes are drawn instead of the nodes.
    """
    nodes, edges = _parts(lineage, set(chosen), with_columns=with_columns)
    writers = {"mermaid": _mermaid, "dot": _dot, "json": _json}
    return writers[format_name](nodes, edges)


def _parts(
    lineage: Lineage, chosen: set[Any], *, with_columns: bool
) -> tuple[list[str], list[Edge]]:
    """Return the names to draw and the lines between them, each from what is read."""
    columns = {one for one in chosen if not isinstance(one, str)}
    if with_columns and not columns:
        return _all_columns(lineage, chosen)
    if columns:
        edges = [
            (str(source), str(column))
            for column in sorted(columns)
            for source in (lineage.nodes[column.node].columns or {}).get(column.name, ())
            if source in columns
        ]
        return sorted(map(str, columns)), edges
    names = [name for name in lineage.nodes if name in chosen]
    return names, [(p, n) for n in names for p in lineage.nodes[n].parents if p in chosen]


def _all_columns(lineage: Lineage, chosen: set[str]) -> tuple[list[str], list[Edge]]:
    nodes = [node for node in lineage.nodes.values() if node.name in chosen]
    names = [f"{node.name}.{column}" for node in nodes for column in node.columns or {}]
    edges = [
        (str(source), f"{node.name}.{column}")
        for node in nodes
        for column, sources in (node.columns or {}).items()
        for source in sources
        if source.node in chosen
    ]
    return list(dict.fromkeys([*names, *(source for source, _ in edges)])), edges


def _mermaid(nodes: list[str], edges: list[Edge]) -> str:
    ids = {name: f"n{i}" for i, name in enumerate(nodes)}
    lines = [f'  {ids[name]}["{_entities(name)}"]' for name in nodes]
    return "\n".join(["flowchart LR", *lines, *(f"  {ids[a]} --> {ids[b]}" for a, b in edges)])


def _entities(text: str) -> str:
    """Write what Mermaid takes for its own as entities.

    >>> _entities('a"b<c>')
    'a#34;b#60;c#62;'
    """
    return "".join(f"#{ord(c)};" if c in '"<>#;&\n' else c for c in text)


def _dot(nodes: list[str], edges: list[Edge]) -> str:
    lines = [f"  {_quoted(name)};" for name in nodes]
    arrows = [f"  {_quoted(a)} -> {_quoted(b)};" for a, b in edges]
    head = ["digraph lineage {", "  rankdir=LR;", "  node [shape=box];"]
    return "\n".join([*head, *lines, *arrows, "}"])


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
    return f'"{escaped}"'


def _json(nodes: list[str], edges: list[Edge]) -> str:
    arrows = [{"from": a, "to": b} for a, b in edges]
    return json.dumps({"nodes": nodes, "edges": arrows}, indent=2, ensure_ascii=False)
