"""Which tables a run of dbt has to find as they are published."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from dbt.contracts.graph.manifest import Manifest
    from phlo.names import TableName

    Nodes = Mapping[str, Mapping[str, Any]]

_ADDING = ("incremental", "snapshot")
_THIS = re.compile(r"\bthis\b")
# Code that asks the database for names may read any table.
_ASKS_DATABASE = re.compile(
    r"run_query|\bstatement\b|information_schema|get_relation|load_relation|list_relations|\bgraph\b"
)


def tables_read_by(
    nodes: Nodes, tables: Mapping[str, TableName], chosen: Collection[str]
) -> set[TableName]:
    """Return the tables that a run refers to and does not build before it reads them.

    Args:
        nodes: The manifest's nodes.
        tables: The table of every model, seed, snapshot and source, by unique id.
        chosen: Unique ids of the models and tests that run.
    """
    running = {uid for uid in chosen if uid in nodes}
    above = {parent for uid in running for parent in _parents(uid, nodes)} - running
    selves = {uid for uid in running if _THIS.search(nodes[uid].get("raw_code") or "")}
    selves |= {u for u in running if nodes[u]["config"].get("materialized") in _ADDING}
    return {tables[uid] for uid in above | selves if uid in tables}


def _parents(unique_id: str, nodes: Nodes) -> set[str]:
    """Return what a node reads, through ephemeral models, which are part of its own SQL."""
    parents: set[str] = set()
    for parent in nodes[unique_id]["depends_on"].get("nodes", []):
        parents.add(parent)
        if parent in nodes and nodes[parent]["config"].get("materialized") == "ephemeral":
            parents |= _parents(parent, nodes)
    return parents


def texts_of(manifest: Manifest, chosen: Collection[str]) -> Iterator[str]:
    """Yield the code that a run may execute: of its nodes, its hooks and the project's macros."""
    project = manifest.metadata.project_name
    for unique_id, node in manifest.nodes.items():
        if unique_id in chosen or node.resource_type == "operation":
            yield getattr(node, "raw_code", "") or ""
            config: Any = node.config
            for hooks in ("pre_hook", "post_hook"):
                yield from (hook.sql for hook in getattr(config, hooks, None) or [])
    for macro in manifest.macros.values():
        if macro.package_name == project:
            yield macro.macro_sql


def tables_named_in(texts: Iterable[str], tables: Collection[TableName]) -> set[TableName]:
    """Return the tables that code names without ``ref`` or ``source``.

    Args:
        texts: The code.
        tables: All tables there are; given back as they are where code asks the database itself.

    Example:
        >>> from phlo.names import TableName
        >>> tables = [TableName("bronze", "planes"), TableName("bronze", "crews")]
        >>> [str(t) for t in tables_named_in(["select * from Bronze.Planes"], tables)]
        ['bronze.planes']
    """
    text = "\n".join(texts)
    if _ASKS_DATABASE.search(text):
        return set(tables)
    lowered = text.lower()
    return {t for t in tables if t.name.lower() in lowered and t.namespace.lower() in lowered}
