"""Say of a table that the catalog does not have which asset would make it."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from phlo.config import get_settings
from phlo.errors import TableNotFoundError, nearest, one_of

from phlo_cli.project_index import load_index

if TYPE_CHECKING:
    from phlo_cli.project_index import IndexedAsset, ProjectIndex


def explain_missing_table(error: TableNotFoundError) -> TableNotFoundError:
    """Return the error in the words of the project: a table not loaded yet, or the nearest names.

    The error comes back as it is where the project does not know better, or cannot be read.
    """
    table = str(error.parts.get("table", ""))
    if f"There is no table {table!r}." != error.message:  # of a branch or a snapshot, say
        return error
    assets = _assets_by_table()
    if table in assets:
        return _not_loaded(table, assets[table])
    near = nearest(table, assets)
    if not near:
        return error
    return TableNotFoundError(
        error.message,
        got=error.got,
        expected=one_of(sorted(assets), near),
        hint=f"Did you mean {near[0]!r}?",
        table=table,
    )


def _not_loaded(table: str, asset: IndexedAsset) -> TableNotFoundError:
    name = asset.names[0] if asset.names else asset.key
    return TableNotFoundError(
        f"{table} has no load yet.", hint=f"phlo materialize {name}", table=table
    )


def _assets_by_table() -> dict[str, IndexedAsset]:
    index = None
    with suppress(Exception):  # the error that is being told counts
        index = _read_index()
    return {asset.table: asset for asset in index.assets if asset.table} if index else {}


def _read_index() -> ProjectIndex | None:
    """Load the index; where there is none, or an old one, load the project."""
    settings = get_settings()
    index = load_index(settings)
    if index is None or not index.is_current(settings):
        from phlo_cli.location import open_location

        open_location(settings).instance.dispose()
    return load_index(settings)
