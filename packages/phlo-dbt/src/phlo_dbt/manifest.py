"""dbt's manifest: parsed once per change of the project, then held.

Two forms are kept: the JSON that Dagster's assets are made of, which a warm start reads without
importing dbt, and dbt's own object, which a run hands back to dbt so that it need not parse.
"""

from __future__ import annotations

import json
import logging
import re
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from phlo.errors import AssetNotFoundError, ConfigurationError, nearest, one_of
from phlo.interrupts import interrupts_as_keyboard_interrupt
from phlo.names import TableName
from phlo.specs import relative_path
from phlo.sql import quote_identifier, quote_table
from phlo.values import ProjectQuery, TableAsset

from phlo_dbt.folders import DATABASE, DbtWorkspace
from phlo_dbt.running import current_session
from phlo_dbt.translator import CustomDbtTranslator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from dbt.cli.main import dbtRunnerResult
    from dbt.contracts.graph.manifest import Manifest
    from phlo.project import Project

logger = logging.getLogger(__name__)

_CONFIG_OF_THE_DAY = re.compile(
    r"\{\{\s*config\((?:(?!\}\}).)*?\bvar\(\s*['\"](partition_date|min_date|max_date)\b", re.DOTALL
)
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
        """Load the dbt project of a phlo project; ``None`` where it has none that dbt ever parsed.

        Raises:
            AssetNotFoundError: A source maps to no table.
        """
        workspace = DbtWorkspace.of(project.settings)
        manifest = known_manifest(workspace) if workspace.exists else None
        if manifest is None:
            return None
        sources = resolve_sources(manifest, lambda: project.tables)
        point_sources_json(manifest, sources)
        return cls(workspace, manifest, sources)

    @cached_property
    def tables(self) -> dict[str, TableName]:
        """The table of every model, seed, snapshot and source, by unique id."""
        made = {node["unique_id"]: table_of(node) for node in table_nodes(self.manifest)}
        return {**made, **self.sources}


def manifest_json(workspace: DbtWorkspace) -> dict[str, Any]:
    """Return the manifest as JSON, parsed anew when a file of the project has changed.

    Raises:
        ConfigurationError: dbt cannot parse the project; the message is dbt's.
    """
    file, key = workspace.manifest_file, workspace.state_dir / "manifest.key"
    with workspace.lock():
        if not (file.exists() and key.exists() and key.read_text() == workspace.fingerprint):
            manifest = parse_manifest(workspace)
            (workspace.parse_dir / "manifest.json").replace(file)
            workspace.record_variables(manifest.env_vars)
            key.write_text(workspace.fingerprint)
            _hold(workspace, manifest)
        return json.loads(file.read_text())


def known_manifest(workspace: DbtWorkspace) -> dict[str, Any] | None:
    """Return the manifest, or that of the last parse that succeeded, with an error in the log.

    A dbt project that dbt cannot parse stops the runs of its models, which say why, and nothing
    else: ingestion and commands that have nothing to do with dbt go on.
    """
    running = current_session()
    if running is not None and running.manifest is not None:
        manifest = running.manifest_json  # dbt cannot parse while it runs
    else:
        manifest = _last_manifest(workspace)
    if manifest is not None:
        give_models_keys_of_their_own(manifest)
    return manifest


def _last_manifest(workspace: DbtWorkspace) -> dict[str, Any] | None:
    try:
        return manifest_json(workspace)
    except ConfigurationError as exc:
        logger.error("%s", exc)  # noqa: TRY400 - the message says it all
        file = workspace.manifest_file
        return json.loads(file.read_text()) if file.exists() else None


_held: dict[tuple[DbtWorkspace, str], Manifest] = {}


def _hold(workspace: DbtWorkspace, manifest: Manifest) -> None:
    _held.clear()  # an earlier state of the project is of no more use
    _held[workspace, workspace.fingerprint] = manifest


def held_manifest(workspace: DbtWorkspace) -> Manifest:
    """Return the manifest as dbt holds it, parsed once per process and state of the project.

    Callers hand dbt a copy of it: dbt writes compiled code into what it is given.
    """
    with workspace.lock():
        if (workspace, workspace.fingerprint) not in _held:
            _hold(workspace, parse_manifest(workspace))
        return _held[workspace, workspace.fingerprint]


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
    options = workspace.arguments(target_dir=workspace.parse_dir)
    result = invoke_dbt(["--log-level", "none", "parse", *options, *workspace.options])
    if not result.success:
        raise ConfigurationError(
            f"dbt cannot parse {workspace.source_dir}: {result.exception}",
            hint="Correct the file that dbt names.",
        ) from result.exception
    manifest: Manifest = result.result  # pyright: ignore[reportAssignmentType] - of a parse
    for node in manifest.nodes.values():
        _refuse_config_of_the_day(node.name, node.original_file_path, node.raw_code)
    return manifest


def _refuse_config_of_the_day(name: str, file: str, code: str) -> None:
    """Refuse what changes with the run in a config: it is read once, when it is parsed."""
    found = _CONFIG_OF_THE_DAY.search(code)
    if found:
        raise ConfigurationError(
            f"The config of the model {name} ({file}) reads the variable {found[1]!r}, which "
            "changes with every run.",
            hint="Read it in the model's SQL instead.",
            variable=found[1],
        )


def table_of(node: Mapping[str, Any]) -> TableName:
    """Return the table that a model makes, or a source reads."""
    return TableName(node["schema"], node.get("identifier") or node["alias"])


def table_nodes(manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the nodes that make a table: models, seeds and snapshots, ephemeral ones apart."""
    return [
        node
        for node in manifest["nodes"].values()
        if node["resource_type"] in _TABLE_KINDS and node["config"]["materialized"] != "ephemeral"
    ]


_JINJA = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", re.S)


def written_queries(workspace: DbtWorkspace) -> list[ProjectQuery]:
    """Return the SQL of the models as their authors wrote it, with a name where Jinja stands."""
    manifest = known_manifest(workspace) or {"nodes": {}}
    return [
        ProjectQuery(f"model {node['name']}", _JINJA.sub(" jinja ", node["raw_code"]), "duckdb")
        for node in table_nodes(manifest)
        if node.get("language") == "sql" and node["resource_type"] != "seed"
    ]


def table_assets(workspace: DbtWorkspace, *, audits: bool) -> list[TableAsset]:
    """Return which asset makes the table of which model.

    Args:
        workspace: The project's folders.
        audits: Whether the assets judge blocking suites themselves.
    """
    translator = CustomDbtTranslator()
    manifest = known_manifest(workspace) or {"nodes": {}}
    return [
        TableAsset(
            table=table_of(node),
            asset_key=tuple(translator.get_asset_key(node).path),
            audits=audits,
            names=(node["name"],) if _is_latest(node) else (),
            defined_at=relative_path(workspace.source_dir / node["original_file_path"]),
            key=key_of(node, manifest),
            meta=node.get("meta", {}).get("phlo") or {},
        )
        for node in table_nodes(manifest)
    ]


def key_of(node: Mapping[str, Any], manifest: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the columns that identify a row of a model; none where nothing declares them.

    A primary key in the model's contract does, and else a column with the tests ``unique`` and
    ``not_null``, both of severity error and without condition.
    """
    constraints = [*node.get("constraints", []), *_column_constraints(node)]
    for constraint in constraints:
        if constraint["type"] == "primary_key" and constraint.get("columns"):
            return tuple(constraint["columns"])
    tested = {name: _tested_columns(node, manifest, name) for name in ("unique", "not_null")}
    keys = [column for column in tested["unique"] if column in tested["not_null"]]
    return (keys[0],) if keys else ()


def _column_constraints(node: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {**constraint, "columns": [name]}
        for name, column in node.get("columns", {}).items()
        for constraint in column.get("constraints") or []
    ]


def _tested_columns(node: Mapping[str, Any], manifest: Mapping[str, Any], test: str) -> list[str]:
    """List the columns of a model that a generic test of dbt's own judges."""
    return [
        tested["column_name"]
        for tested in manifest["nodes"].values()
        if tested["resource_type"] == "test"
        and tested.get("attached_node") == node["unique_id"]
        and (tested.get("test_metadata") or {}).get("name") == test
        and not (tested.get("test_metadata") or {}).get("namespace")
        and tested.get("column_name")
        and tested["config"].get("severity", "ERROR").upper() == "ERROR"
        and not tested["config"].get("where")
    ]


def _is_latest(node: Mapping[str, Any]) -> bool:
    """Return whether the model's bare name means this node, the latest version, as in ``ref``."""
    return node.get("version") is None or node["version"] == node.get("latest_version")


def resolve_sources(
    manifest: Mapping[str, Any], assets: Callable[[], Mapping[TableName, TableAsset]]
) -> dict[str, TableName]:
    """Return the table that each source reads.

    Args:
        manifest: The manifest as JSON.
        assets: Tells which asset makes which table; asked where a source names no schema.

    Returns:
        By unique id: the table of the asset the source maps to, or for a source with a
        ``schema:`` of its own, that very table. Sources that nothing reads are left out.

    Raises:
        AssetNotFoundError: A source without ``schema:`` maps to an asset that makes no table, and
            no asset makes the table of the source's name.
    """
    used = {u for n in manifest["nodes"].values() for u in n["depends_on"].get("nodes", [])}
    return {
        unique_id: table_of(source) if _has_schema(source) else _mapped_table(source, assets())
        for unique_id, source in manifest["sources"].items()
        if unique_id in used
    }


def _has_schema(source: Mapping[str, Any]) -> bool:
    """Return whether the source names its schema; without one, dbt takes the source's own name."""
    return bool(source.get("unrendered_schema")) or source["schema"] != source["source_name"]


def _mapped_table(source: Mapping[str, Any], assets: Mapping[TableName, TableAsset]) -> TableName:
    """Return the table of the asset that a source maps to, else the one that dbt would read."""
    key = tuple(CustomDbtTranslator().get_asset_key(source).path)
    made = {asset.table for asset in assets.values() if asset.asset_key == key}
    if not made and table_of(source) in assets:
        return table_of(source)
    if not made:
        raise _unmapped(source, key, assets.values())
    return min({table for table in made if table.name == source["identifier"]} or made)


def _unmapped(
    source: Mapping[str, Any], key: tuple[str, ...], assets: Iterable[TableAsset]
) -> AssetNotFoundError:
    name, known = "/".join(key), ["/".join(asset.asset_key) for asset in assets]
    near = nearest(name, known)
    call = f"source('{source['source_name']}', '{source['name']}')"
    return AssetNotFoundError(
        f"{call} in {source['original_file_path']} maps to {name!r}, an asset that makes no table.",
        got=repr(name),
        expected=one_of(sorted(known), near),
        hint="Set `meta: {dagster_asset_key: <asset>}` on the source's table, or `schema:` on the "
        "source for a table that no asset makes.",
        name=name,
    )


def point_sources(manifest: Manifest, sources: Mapping[str, TableName]) -> None:
    """Make a manifest's sources name the tables they read; its file goes on as dbt parsed it."""
    from phlo_dbt.dbt_private import freeze_resource

    for unique_id, table in sources.items():
        source = manifest.sources[unique_id]
        freeze_resource(source)
        source.schema, source.identifier = table.namespace, table.name
        source.relation_name = relation_name(table)


def point_sources_json(manifest: Mapping[str, Any], sources: Mapping[str, TableName]) -> None:
    """Do the same for a manifest as JSON, so that Dagster shows the real tables."""
    for unique_id, table in sources.items():
        manifest["sources"][unique_id].update(
            schema=table.namespace, identifier=table.name, relation_name=relation_name(table)
        )


def give_models_keys_of_their_own(manifest: Mapping[str, Any]) -> None:
    """Put the package before the asset key of a package's model, where another model has its key.

    dbt tells models of one name by their packages. The project's own model keeps its name.

    Args:
        manifest: The manifest; the key is written into the meta of its models.
    """
    root, get_key = manifest["metadata"]["project_name"], CustomDbtTranslator().get_asset_key
    keys = {node["unique_id"]: get_key(node) for node in table_nodes(manifest)}
    times = Counter(keys.values())
    for node in table_nodes(manifest):
        key, package = keys[node["unique_id"]], node["package_name"]
        if times[key] > 1 and package != root:
            meta = node["config"].get("meta") or {}
            dagster = {**(meta.get("dagster") or {}), "asset_key": [package, *key.path]}
            node["config"]["meta"] = {**meta, "dagster": dagster}


def give_tests_names_of_their_own(
    manifest: Mapping[str, Any], taken: Iterable[tuple[str, str]] = ()
) -> None:
    """Add the column, else the end of dbt's id, to the name of tests of one name and one parent.

    dbt tells such tests apart by their ids. Dagster knows a check by its asset and name alone, and
    has fewer letters for it.

    Args:
        manifest: The manifest; its tests are renamed in place.
        taken: Names of other checks, each with the unique id of its model.
    """
    tests = [n for n in manifest["nodes"].values() if n["resource_type"] == "test"]
    for test in tests:
        test["name"] = re.sub(r"[^A-Za-z0-9_]", "_", test["name"])
    others = Counter[tuple[str, ...]](taken)
    for to_name in (_by_column, _by_id):
        shared = others + Counter(_name_on_parents(test) for test in tests)
        for test in [t for t in tests if shared[_name_on_parents(t)] > 1]:
            test["name"] = to_name(test)


def _name_on_parents(test: Mapping[str, Any]) -> tuple[str, ...]:
    parent = test.get("attached_node")
    return (test["name"], *([parent] if parent else sorted(test["depends_on"]["nodes"])))


def _by_column(test: Mapping[str, Any]) -> str:
    column = re.sub(r"[^A-Za-z0-9_]", "_", test.get("column_name") or "")
    return f"{test['name']}_{column}" if column else test["name"]


def _by_id(test: Mapping[str, Any]) -> str:
    return f"{test['name']}_{test['unique_id'].rpartition('.')[2]}"


def relation_name(table: TableName) -> str:
    """Return a table as dbt writes it for the scratch database."""
    return f"{quote_identifier(DATABASE)}.{quote_table(table)}"
