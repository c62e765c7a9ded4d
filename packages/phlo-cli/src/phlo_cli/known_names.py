"""Names of assets, groups and jobs, found in the project's index."""

from __future__ import annotations

from typing import TYPE_CHECKING

from phlo.errors import AssetNotFoundError, nearest, one_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from phlo_cli.project_index import IndexedAsset, ProjectIndex


def require_known(name: str, known: Iterable[str], noun: str) -> None:
    """Refuse a name that is not among the known ones.

    Args:
        name: What was asked for.
        known: The names there are; those of Dagster's own (``__ASSET_JOB``) are not proposed.
        noun: What is named, such as ``job``.

    Raises:
        AssetNotFoundError: It is none of them; proposes the nearest.
    """
    names = sorted(set(known))
    if name in names:
        return
    shown = [n for n in names if not n.startswith("__")]
    near = nearest(name, shown)
    raise AssetNotFoundError(
        f"No {noun} is called {name!r}.",
        got=repr(name),
        expected=one_of(shown, near) if shown else f"nothing, as there is no {noun}",
        hint=f"Did you mean {near[0]!r}?" if near else None,
        name=name,
        near=near,
    )


def find_key(name: str, index: ProjectIndex) -> str | None:
    """Find the key of the one asset that a name means: its key, table or function.

    Returns:
        ``None`` where the name means nothing or several assets, or is an expression.
    """
    for names_of in (_keys, _tables, _functions, _bare_tables):
        keys = [asset.key for asset in index.assets if name in names_of(asset)]
        if keys:
            return keys[0] if len(keys) == 1 else None
    return None


def _keys(asset: IndexedAsset) -> tuple[str, ...]:
    return (asset.key,)


def _tables(asset: IndexedAsset) -> tuple[str, ...]:
    return (asset.table,) if asset.table else ()


def _functions(asset: IndexedAsset) -> tuple[str, ...]:
    return asset.names


def _bare_tables(asset: IndexedAsset) -> tuple[str, ...]:
    return (asset.table.partition(".")[2],) if asset.table else ()
