"""dbt's manifest: parsed once per change of the project, then held.

Two forms are kept: the JSON that Dagster's assets are made of, which a warm start reads without
importing dbt, and dbt's own object, which a run hands back to dbt so that it need not parse.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from phlo.errors import AssetNotFoundError, ConfigurationError, nearest
from phlo.interrupts import interrupts_as_keyboard_interrupt
from phlo.names import TableName
from phlo.specs import relative_path
from phlo.sql import quote_identifier, quote_table
from phlo.values import TableAsset

from phlo_dbt.folders import DATABASE, DbtWorkspace
from phlo_dbt.translator import CustomDbtTranslator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from dbt.cli.main import dbtRunnerResult
    from dbt.contracts.graph.manifest import Manifest
    from phlo.project import Project

_CONFIG_OF_THE_DAY = re.compile(
    r"\{\{\s*config\((?:(?!\}\}).)*?\bvar\(\s*['\"](partition_date|min_date|max_date)\b", re.DOTALL
)
_THIS = re.compile(r"\bthis\b")
_ADDING = ("incremental", "snapshot")
_TABLE_KINDS = ("model", "seed", "snapshot")


@dataclass(frozen=True)
class DbtProject:
    """A project's dbt, as a run needs it.

    Attributes:
        workspace: Its folders.
        manifest: The manifest as JSON, sources pointing at the tables they read.
        sources: The table each source reads, by unique id.
    """

    workspace: DbtWorkspace
    manifest: Mapping[str, Any]
    sources: Mapping[str, TableName]

    @classmethod
    def load(cls, project: Project) -> DbtProject | None:
        """The dbt project of a phlo project; ``None`` where it has none.

        Raises:
            ConfigurationError: dbt cannot parse it.
            AssetNotFoundError: A source maps to no table.
        """
        workspace = DbtWorkspace.of(project.settings)
        if not workspace.exists:
            return None
        manifest = manifest_json(workspace)
        sources = resolve_sources(manifest, project.tables)
        point_sources_json(manifest, sources)
        return cls(workspace, manifest, sources)

    @property
    def tables(self) -> dict[str, TableName]:
        """The table of every model, seed and source, by unique id."""
        made = {node["unique_id"]: table_of(node) for node in table_nodes(self.manifest)}
        return {**made, **self.sources}

    def tables_read_by(self, chosen: Iterable[str] | None) -> set[TableName]:
        """The tables that a run has to find as they are published.

        What the run builds anew need not be there before, unless a model reads itself.

        Args:
            chosen: Unique ids of the models and tests run; ``None``: all.
        """
        nodes, tables = self.manifest["nodes"], self.tables
        running = set(nodes) if chosen is None else set(chosen)
        above = {parent for uid in running for parent in _parents(uid, nodes)} - running
        own = {uid for uid in running if _THIS.search(nodes[uid].get("raw_code") or "")}
        own |= {u for u in running if nodes[u]["config"].get("materialized") in _ADDING}
        return {tables[uid] for uid in above | own if uid in tables}


def manifest_json(workspace: DbtWorkspace) -> dict[str, Any]:
    """The manifest as JSON, parsed anew when a file of the project has changed.

    Raises:
        ConfigurationError: dbt cannot parse the project; the message is dbt's.
    """
    file, key = workspace.manifest_file, workspace.state_dir / "manifest.key"
    with workspace.lock():
        if not (file.exists() and key.exists() and key.read_text() == workspace.fingerprint):
            parse_manifest(workspace)
            (workspace.parse_dir / "manifest.json").replace(file)
            key.write_text(workspace.fingerprint)
        return json.loads(file.read_text())


@cache
def held_manifest(workspace: DbtWorkspace, fingerprint: str) -> Manifest:
    """The manifest as dbt holds it, parsed once per process and state of the project.

    Callers hand dbt a copy of it: dbt writes compiled code into what it is given.
    """
    with workspace.lock():
        return parse_manifest(workspace)


def invoke_dbt(
    arguments: Sequence[str],
    *,
    manifest: Manifest | None = None,
    callbacks: Sequence[Callable[[Any], None]] = (),
    stop: Callable[[], object] = lambda: None,
) -> dbtRunnerResult:
    """Run a dbt command in this process, so that a signal cancels it as it cancels dbt itself.

    Args:
        arguments: The command and its options.
        manifest: The parsed project; ``None``: dbt parses it.
        callbacks: Told every event of dbt.
        stop: Called on a signal, to end queries that dbt does not know of.
    """
    from dbt.cli.main import dbtRunner

    with interrupts_as_keyboard_interrupt(stop):  # dbt cancels its queries on that alone
        result = dbtRunner(manifest=manifest, callbacks=list(callbacks)).invoke(list(arguments))
    if result.exception is not None and not isinstance(result.exception, Exception):
        raise result.exception  # an interrupt is not dbt's to swallow
    return result


def parse_manifest(workspace: DbtWorkspace) -> Manifest:
    """Have dbt parse the project; unchanged files come from its own partial parse."""
    workspace.prepare()
    folder = workspace.parse_dir
    options = workspace.arguments(profile_dir=folder, target_dir=folder)
    result = invoke_dbt(["--log-level", "none", "parse", *options])
    if not result.success:
        reason = str(result.exception).replace(
            str(workspace.project_dir), str(workspace.source_dir)
        )
        raise ConfigurationError(
            f"dbt cannot parse {workspace.source_dir}: {reason}",
            hint="Correct the file that dbt names.",
        ) from result.exception
    manifest: Manifest = result.result  # pyright: ignore[reportAssignmentType] - of a parse
    for node in manifest.nodes.values():
        _refuse_config_of_the_day(node.name, node.original_file_path, node.raw_code)
    return manifest


def _refuse_config_of_the_day(name: str, file: str, code: str) -> None:
    """A model's config is read once, when it is parsed; what changes with the run is not there."""
    found = _CONFIG_OF_THE_DAY.search(code)
    if found:
        raise ConfigurationError(
            f"The config of the model {name} ({file}) reads the variable {found[1]!r}, which "
            "changes with every run.",
            hint="Read it in the model's SQL instead.",
            variable=found[1],
        )


def _parents(unique_id: str, nodes: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """What a node reads, through ephemeral models, which are part of its own SQL."""
    found: set[str] = set()
    for parent in nodes[unique_id]["depends_on"].get("nodes", []):
        found.add(parent)
        if parent in nodes and nodes[parent]["config"].get("materialized") == "ephemeral":
            found |= _parents(parent, nodes)
    return found


def table_of(node: Mapping[str, Any]) -> TableName:
    """The table that a model makes, or a source reads."""
    return TableName(node["schema"], node.get("identifier") or node["alias"])


def table_nodes(manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The nodes that make a table: models, seeds and snapshots, ephemeral ones apart."""
    return [
        node
        for node in manifest["nodes"].values()
        if node["resource_type"] in _TABLE_KINDS and node["config"]["materialized"] != "ephemeral"
    ]


def table_assets(workspace: DbtWorkspace, *, audits: bool) -> list[TableAsset]:
    """Which asset makes the table of which model.

    Args:
        workspace: The project's folders.
        audits: Whether the assets judge blocking suites themselves.
    """
    translator = CustomDbtTranslator()
    return [
        TableAsset(
            table=table_of(node),
            asset_key=tuple(translator.get_asset_key(node).path),
            audits=audits,
            names=(node["name"],) if _is_latest(node) else (),
            defined_at=relative_path(workspace.source_dir / node["original_file_path"]),
        )
        for node in table_nodes(manifest_json(workspace))
    ]


def _is_latest(node: Mapping[str, Any]) -> bool:
    """Whether the model's bare name means this node: the latest version does, as in ``ref``."""
    return node.get("version") is None or node["version"] == node.get("latest_version")


def resolve_sources(
    manifest: Mapping[str, Any], tables: Mapping[TableName, TableAsset]
) -> dict[str, TableName]:
    """The table that each source reads.

    Args:
        manifest: The manifest as JSON.
        tables: Which asset makes which table.

    Returns:
        By unique id: the table of the asset the source maps to, or for a source with a
        ``schema:`` of its own, that very table. Sources that no model reads are left out.

    Raises:
        AssetNotFoundError: A source without ``schema:`` maps to an asset that makes no table.
    """
    translator = CustomDbtTranslator()
    used = {u for n in manifest["nodes"].values() for u in n["depends_on"].get("nodes", [])}
    resolved: dict[str, TableName] = {}
    for unique_id, source in manifest["sources"].items():
        if unique_id not in used:
            continue
        key = tuple(translator.get_asset_key(source).path)
        made = {asset.table for asset in tables.values() if asset.asset_key == key}
        if source["schema"] != source["source_name"]:
            resolved[unique_id] = table_of(source)
        elif made:
            same = {table for table in made if table.name == source["identifier"]}
            resolved[unique_id] = min(same or made)
        else:
            raise _unmapped(source, key, tables.values())
    return resolved


def _unmapped(
    source: Mapping[str, Any], key: tuple[str, ...], assets: Iterable[TableAsset]
) -> AssetNotFoundError:
    name, known = "/".join(key), ["/".join(asset.asset_key) for asset in assets]
    near = nearest(name, known)
    call = f"source('{source['source_name']}', '{source['name']}')"
    return AssetNotFoundError(
        f"{call} in {source['original_file_path']} maps to {name!r}, an asset that makes no table.",
        got=repr(name),
        expected=f"one of {near or sorted(known)}",
        hint="Set `meta: {dagster_asset_key: <asset>}` on the source's table, or `schema:` on the "
        "source for a table that no asset makes.",
        name=name,
    )


def point_sources(manifest: Manifest, sources: Mapping[str, TableName]) -> None:
    """Make a manifest's sources name the tables they read."""
    for unique_id, table in sources.items():
        source = manifest.sources[unique_id]
        source.schema, source.identifier = table.namespace, table.name
        source.relation_name = relation_name(table)


def point_sources_json(manifest: Mapping[str, Any], sources: Mapping[str, TableName]) -> None:
    """The same for a manifest as JSON, so that Dagster shows the real tables."""
    for unique_id, table in sources.items():
        manifest["sources"][unique_id].update(
            schema=table.namespace, identifier=table.name, relation_name=relation_name(table)
        )


def relation_name(table: TableName) -> str:
    """A table as dbt writes it for the scratch database."""
    return f"{quote_identifier(DATABASE)}.{quote_table(table)}"
