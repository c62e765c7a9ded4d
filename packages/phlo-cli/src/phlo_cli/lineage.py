"""Lineage of tables and columns, from source field to published mart, as the last runs wrote it.

Every run records in Dagster's event log which columns each column of a model was made of, which
fields a load read and which tables were published where. That log is a local file of the project,
so reading it imports no code and asks no service.
"""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from dagster import AssetKey
from phlo.errors import AssetNotFoundError, PhloError, nearest, one_of
from phlo.lake import open_lake
from phlo.names import TableName

from phlo_cli.known_names import find_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from dagster import AssetMaterialization, DagsterInstance

    from phlo_cli.project_index import IndexedAsset, ProjectIndex

NodeType = Literal["source", "table", "asset", "published"]
SOURCE_FIELDS = "source_fields"
"""Metadata of a load: the field of the source that each column was read from."""


class Column(NamedTuple):
    """A column of a node."""

    node: str
    name: str

    def __str__(self) -> str:
        return f"{self.node}.{self.name}"


@dataclass(frozen=True)
class Node:
    """A table, or what a table comes from or goes to.

    Attributes:
        name: The table; ``source:TABLE`` for what a load reads, ``postgres:SCHEMA.TABLE`` for a
            published mart, the asset's key where it makes no table.
        type: What it is.
        key: The asset that makes it, as text.
        parents: Names of the nodes it is made of.
        columns: The columns that each column is made of; ``None`` where no run has recorded it.
    """

    name: str
    type: NodeType
    key: str
    parents: tuple[str, ...] = ()
    columns: Mapping[str, tuple[Column, ...]] | None = None


class PublishedTable(NamedTuple):
    """A mart as it was published last.

    Attributes:
        key: The asset that published it, as text.
        source: The table that was read.
        target: The published table, with its schema.
        rows: Its rows.
        at: When, in UTC.
    """

    key: str
    source: str
    target: str
    rows: int
    at: datetime


@dataclass(frozen=True)
class Lineage:
    """The nodes of a project by name, each after what it is made of."""

    nodes: Mapping[str, Node]
    _children: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self) -> None:
        for node in self.nodes.values():
            for parent in node.parents:
                self._children[parent].append(node.name)

    def children(self, name: str) -> list[str]:
        """Return the names of the nodes that are made of this one."""
        return self._children.get(name, [])

    def above(self, name: str) -> list[str]:
        """Return what a node is made of, nearest first."""
        return _reachable(name, lambda one: self.nodes[one].parents if one in self.nodes else ())

    def below(self, name: str) -> list[str]:
        """Return what is made of a node, nearest first."""
        return _reachable(name, self.children)

    def columns_above(self, column: Column) -> list[Column]:
        """Return the columns that a column is made of, nearest first, those of sources too."""
        return _reachable(column, self._parents_of_column)

    def columns_below(self, column: Column) -> list[Column]:
        """Return the columns that are made of a column, nearest first."""
        return _reachable(column, self._children_of_column)

    def unknown_below(self, column: Column) -> list[str]:
        """Return tables that read a touched table and whose column lineage no run recorded."""
        touched = {column.node, *(one.node for one in self.columns_below(column))}
        unknown = [
            child
            for name in touched
            for child in self.children(name)
            if self.nodes[child].columns is None
        ]
        return sorted({*unknown, *(name for one in unknown for name in self.below(one))} - touched)

    def find(self, text: str) -> str | None:
        """Find the node that a name means: exactly, by the asset's key, or by bare table name."""
        for names_of in (_full_name, _asset_key, _bare_name):
            names = [n.name for n in self.nodes.values() if names_of(n) == text]
            tables = [n for n in names if self.nodes[n].type in ("table", "asset")] or names
            if len(tables) == 1:
                return tables[0]
        return None

    def _parents_of_column(self, column: Column) -> tuple[Column, ...]:
        node = self.nodes.get(column.node)
        return tuple((node.columns or {}).get(column.name, ())) if node else ()

    def _children_of_column(self, column: Column) -> list[Column]:
        return [
            Column(child, name)
            for child in self.children(column.node)
            for name, sources in (self.nodes[child].columns or {}).items()
            if column in sources
        ]


def _reachable(start: Any, neighbours: Any) -> list[Any]:
    reached, queue = dict[Any, None](), deque([start])
    while queue:
        for one in neighbours(queue.popleft()):
            if one not in reached and one != start:
                reached[one] = None
                queue.append(one)
    return list(reached)


def _full_name(node: Node) -> str:
    return node.name


def _asset_key(node: Node) -> str | None:
    return node.key if node.type in ("table", "asset") else None


def _bare_name(node: Node) -> str:
    return node.name.rpartition(".")[2]


def read_lineage(index: ProjectIndex, instance: DagsterInstance) -> Lineage:
    """Read the lineage of a project from its index and from what its last runs recorded."""
    keys = [AssetKey.from_user_string(asset.key) for asset in index.assets]
    records = {r.asset_entry.asset_key: r.asset_entry for r in instance.get_asset_records(keys)}
    made: dict[str, AssetMaterialization | None] = {}
    for asset, key in zip(index.assets, keys, strict=True):
        entry = records[key].last_materialization if key in records else None
        made[asset.key] = entry.asset_materialization if entry else None
    labels = {asset.key: asset.table or asset.key for asset in index.assets}
    nodes = [n for asset in index.assets for n in _nodes_of(asset, made[asset.key], labels)]
    return Lineage({node.name: node for node in _in_order(nodes)})


def _nodes_of(
    asset: IndexedAsset, made: AssetMaterialization | None, labels: Mapping[str, str]
) -> list[Node]:
    metadata = _values(made)
    parents = tuple(labels.get(key, key) for key in asset.parents)
    published = published_records(metadata)
    if asset.table is None and published:
        return [_published_node(asset, record) for record in published]
    if asset.table is None:
        return [Node(asset.key, "asset", asset.key, parents)]
    if SOURCE_FIELDS in metadata or not parents:
        return _load_nodes(asset, asset.table, parents, metadata.get(SOURCE_FIELDS))
    recorded = metadata.get("dagster/column_lineage")
    columns = None if recorded is None else _recorded_columns(recorded.deps_by_column, labels)
    return [Node(asset.table, "table", asset.key, parents, columns)]


def _recorded_columns(
    deps_by_column: Mapping[str, Iterable[Any]], labels: Mapping[str, str]
) -> dict[str, tuple[Column, ...]]:
    return {
        name: tuple(
            Column(labels.get(key := dep.asset_key.to_user_string(), key), dep.column_name)
            for dep in dependencies
        )
        for name, dependencies in deps_by_column.items()
    }


def _load_nodes(
    asset: IndexedAsset, table: str, parents: tuple[str, ...], fields: Mapping[str, str] | None
) -> list[Node]:
    """Build the node of a loaded table and that of its source, whose fields runs record."""
    source = f"source:{table}"
    columns = None
    if fields is not None:
        loaded = {name: (Column(source, read),) for name, read in fields.items()}
        columns = dict.fromkeys(_column_names(table), ()) | loaded
    own_fields = dict.fromkeys((fields or {}).values(), ())
    return [
        Node(source, "source", asset.key, (), own_fields),
        Node(table, "table", asset.key, (source, *parents), columns),
    ]


def published_records(metadata: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Read which tables a materialization published, and as what: one mapping per table."""
    records = getattr(metadata.get("published"), "records", ())
    return [record.data for record in records if {"table", "source"} <= record.data.keys()]


def last_published(index: ProjectIndex, instance: DagsterInstance) -> list[PublishedTable]:
    """Read what the publishing assets published last."""
    keys = [AssetKey.from_user_string(asset.key) for asset in index.assets]
    entries = [record.asset_entry for record in instance.get_asset_records(keys)]
    return [
        PublishedTable(
            entry.asset_key.to_user_string(),
            str(record["source"]),
            str(record["table"]),
            int(record.get("rows") or 0),
            datetime.fromtimestamp(made.timestamp, UTC),
        )
        for entry in entries
        if (made := entry.last_materialization) is not None
        for record in published_records(_values(made.asset_materialization))
    ]


def _values(made: AssetMaterialization | None) -> dict[str, Any]:
    return {name: value.value for name, value in made.metadata.items()} if made else {}


def _published_node(asset: IndexedAsset, record: Mapping[str, Any]) -> Node:
    source, target = str(record["source"]), str(record["table"])
    columns = {name: (Column(source, name),) for name in _column_names(source)}
    return Node(f"postgres:{target}", "published", asset.key, (source,), columns or None)


def _column_names(table: str) -> list[str]:
    try:
        return open_lake().store.load(TableName.parse(table)).schema.names
    except PhloError:
        return []


def _in_order(nodes: list[Node]) -> list[Node]:
    """Sort nodes so that each stands after its parents; the order is kept otherwise."""
    by_name, ordered = {node.name: node for node in nodes}, dict[str, Node]()

    def place(node: Node, above: frozenset[str]) -> None:
        for parent in node.parents:
            if parent in by_name and parent not in ordered and parent not in above:
                place(by_name[parent], above | {node.name})
        ordered.setdefault(node.name, node)

    for node in nodes:
        place(node, frozenset())
    for name in dict.fromkeys(p for node in nodes for p in node.parents if p not in by_name):
        ordered[name] = Node(name, "asset", name)
    return list(ordered.values())


def find_place(text: str, lineage: Lineage, index: ProjectIndex) -> tuple[str, str | None]:
    """Return the node, and the column if one is named, that ``TABLE[.COLUMN]`` means.

    Raises:
        AssetNotFoundError: It names no table, or no column of one; proposes the nearest.
    """
    name = _find_node(text, lineage, index)
    if name is not None:
        return name, None
    table, _, column = text.rpartition(".")
    name = _find_node(table, lineage, index)
    if name is None:
        raise _unknown(text, [*lineage.nodes], "table")
    columns = list(lineage.nodes[name].columns or {}) or _column_names(name)
    if column not in columns:
        raise _unknown(column, columns, f"column of {name}")
    return name, column


def _find_node(text: str, lineage: Lineage, index: ProjectIndex) -> str | None:
    key = find_key(text, index)
    labels = {asset.key: asset.table or asset.key for asset in index.assets}
    meant = labels.get(key) if key else None
    return meant if meant in lineage.nodes else lineage.find(text)


def _unknown(name: str, known: list[str], noun: str) -> AssetNotFoundError:
    near = nearest(name, known)
    return AssetNotFoundError(
        f"No {noun} is called {name!r}.",
        got=repr(name),
        expected=one_of(sorted(known), near),
        hint=f"Did you mean {near[0]!r}?" if near else "`phlo lineage show` lists the tables.",
        name=name,
        near=near,
    )


def sensitive_columns(lineage: Lineage, index: ProjectIndex) -> dict[str, frozenset[str] | None]:
    """Return the columns of each table that hold sensitive values, or are made of such.

    Returns:
        By table; ``None`` where all columns must be taken for sensitive: the table is made of
        one with sensitive columns, and no run recorded which of its columns come from them.
    """
    masked: dict[str, set[str] | None] = defaultdict(set)
    for asset in index.assets:
        for name in asset.sensitive if asset.table else ():
            origin = Column(asset.table or "", name)
            _mask(masked, origin)
            for column in lineage.columns_below(origin):
                _mask(masked, column)
            for table in lineage.unknown_below(origin):
                masked[table] = None
    return {t: None if names is None else frozenset(names) for t, names in masked.items()}


def _mask(masked: dict[str, set[str] | None], column: Column) -> None:
    names = masked[column.node]
    if names is not None:
        names.add(column.name)
