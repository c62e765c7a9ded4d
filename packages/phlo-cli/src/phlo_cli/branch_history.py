"""Keep the run history of a branch's source true: what was published there counts as made."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from phlo.folders import DAGSTER, UNDONE_RUNS, make_folder
from phlo.locks import write_whole

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from dagster import AssetKey
    from phlo.config import Settings
    from phlo.names import TableName

    from phlo_cli.output import Output


def copy_runs_to_source(name: str, source: str, output: Output) -> None:
    """Let the history of a branch's source have the runs of the branch, which was published.

    The tables have moved already, so a failure is told as a warning and never raised.
    """
    from phlo.redaction import redact

    try:
        _copy(name, source)
    except Exception as error:  # noqa: BLE001 - the tables have moved, whatever fails now
        output.warn(
            f"The tables have moved, but the history of {source} may not count what was published "
            f"as made: {redact(f'{type(error).__name__}: {error}')}"
        )


def _copy(name: str, source: str) -> None:
    from phlo.config import get_settings

    settings = get_settings()
    of_branch, of_source = (settings.model_copy(update={"branch": one}) for one in (name, source))
    _note_undone(of_branch, of_source)
    if not DAGSTER.path(of_branch.state_dir).is_dir():
        return
    from phlo.orchestration.branch_runs import copy_branch_runs
    from phlo.orchestration.instance import open_instance

    from phlo_cli.liveness import marked_alive

    with open_instance(of_branch) as branch, open_instance(of_source) as target:
        copy_branch_runs(
            branch,
            target,
            _keys_of_tables(of_branch),
            name,
            hold=lambda run_id: marked_alive(of_source, run_id),
        )


def _note_undone(of_branch: Settings, of_source: Settings) -> None:
    runs = _read_undone(of_branch)
    if runs:
        mark_undone_on(of_source, runs, is_undone=True)


def mark_undone_on(settings: Settings, runs: Sequence[str], *, is_undone: bool) -> None:
    """Note in the history of runs of a branch, or of main, whether runs were undone.

    A branch remembers them beside its history: runs of its source are not in it, and count as
    undone there only once the branch is published.
    """
    from phlo.orchestration.instance import open_instance
    from phlo.orchestration.undone import mark_undone

    if settings.is_on_branch:
        kept = set(_read_undone(settings))
        changed = kept | set(runs) if is_undone else kept - set(runs)
        file = make_folder(settings.state_dir) / UNDONE_RUNS.name
        write_whole(file, json.dumps(sorted(changed)))
    with open_instance(settings) as instance:
        mark_undone(instance, runs, is_undone=is_undone)


def _read_undone(settings: Settings) -> list[str]:
    try:
        return json.loads(UNDONE_RUNS.path(settings.state_dir).read_text())
    except FileNotFoundError:
        return []


def forget_materializations(name: str, tables: Collection[TableName]) -> None:
    """Remove from a branch's history that it made tables which it took from its source."""
    from phlo.config import get_settings

    settings = get_settings().model_copy(update={"branch": name})
    if not tables or not DAGSTER.path(settings.state_dir).is_dir():
        return
    from phlo.orchestration.instance import open_instance

    with open_instance(settings) as instance:
        instance.wipe_assets(_keys_of_tables(settings, tables))


def _keys_of_tables(
    settings: Settings, tables: Collection[TableName] | None = None
) -> list[AssetKey]:
    """Return the keys of the assets that make tables, or these tables."""
    from dagster import AssetKey

    keys = _keys_by_table(settings)
    wanted = keys.keys() if tables is None else {str(table) for table in tables}
    return [AssetKey.from_user_string(key) for table, key in keys.items() if table in wanted]


def _keys_by_table(settings: Settings) -> dict[str, str]:
    """Return the key of the asset that makes each table, by the index where there is one.

    A branch that only Dagster's pages ran on has none.
    """
    from phlo_cli.project_index import load_index

    if index := load_index(settings):
        return {asset.table: asset.key for asset in index.assets if asset.table}
    from phlo.project import load_project

    tables = load_project().tables
    return {str(table): "/".join(asset.asset_key) for table, asset in tables.items()}
