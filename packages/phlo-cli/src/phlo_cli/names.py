"""What people call assets, and what Dagster calls them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dagster import AssetKey, AssetSelection, DagsterError
from phlo.errors import AssetNotFoundError, nearest, one_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from phlo_cli.location import Location

# A name, with a plus on either side; everything else is an expression in Dagster's syntax.
_NAME = re.compile(r"(?P<up>\+?)(?P<name>[\w./-]+)(?P<down>\+?)")


def select(location: Location, names: Sequence[str]) -> frozenset[AssetKey]:
    """Find the assets that names and expressions select.

    Args:
        location: The project.
        names: Each an asset key, a table, a decorated function's name, with ``+`` before for
            all that it needs and after for all that needs it; or an expression in Dagster's
            selection syntax; or several of these, separated by commas.

    Raises:
        AssetNotFoundError: A name means nothing, or several things; an expression is wrong, or
            no asset is selected.
    """
    known = _Names.of(location)
    selected: frozenset[AssetKey] = frozenset()
    for text in names:
        for part in split_commas(text):
            selected |= _select_one(location, known, part)
    if not selected:
        raise AssetNotFoundError(
            "No asset is named.",
            got=repr(", ".join(names)),
            expected="names of assets",
            hint="Is a variable empty? `phlo status` lists the assets.",
        )
    return selected


def split_commas(text: str) -> Iterator[str]:
    """Split at commas that stand outside quotes and brackets.

    >>> list(split_commas('a, key_substring:"b,c" ,(d or e)'))
    ['a', 'key_substring:"b,c"', '(d or e)']
    """
    for part in re.findall(r'(?:"[^"]*"|\([^()]*\)|[^,"(]|[("])+', text):
        if part.strip():
            yield part.strip()


def _select_one(location: Location, known: _Names, text: str) -> frozenset[AssetKey]:
    match = _NAME.fullmatch(text)
    if match is None:
        return _resolve(location, text, text)
    key = known.find(match["name"])
    quoted = key.to_user_string().replace('"', '\\"')
    return _resolve(location, f'{match["up"]}key:"{quoted}"{match["down"]}', text)


def _resolve(location: Location, expression: str, asked: str) -> frozenset[AssetKey]:
    try:
        keys = AssetSelection.from_string(expression).resolve(location.graph)
    except DagsterError as exc:
        raise AssetNotFoundError(
            f"The selection {asked!r} cannot be read: {exc}",
            hint='Write names, or Dagster\'s syntax such as "tag:dbt", "group:api", "key:a*".',
            selection=asked,
        ) from exc
    runnable = frozenset(keys) & location.graph.materializable_asset_keys
    if not runnable:
        raise AssetNotFoundError(
            f"The selection {asked!r} has no asset that can be made.",
            hint="`phlo status` lists the assets.",
            selection=asked,
        )
    return runnable


@dataclass(frozen=True)
class _Names:
    """Every name of every asset, in the order in which they are tried."""

    levels: tuple[Mapping[str, frozenset[AssetKey]], ...]

    @classmethod
    def of(cls, location: Location) -> _Names:
        keys: dict[str, set[AssetKey]] = {}
        for key in location.graph.materializable_asset_keys:
            keys.setdefault(key.to_user_string(), set()).add(key)
        tables: dict[str, set[AssetKey]] = {}
        functions: dict[str, set[AssetKey]] = {}
        bare: dict[str, set[AssetKey]] = {}
        for made in location.project.tables.values():
            key = AssetKey(list(made.asset_key))
            tables.setdefault(str(made.table), set()).add(key)
            bare.setdefault(made.table.name, set()).add(key)
            for name in made.names:
                functions.setdefault(name, set()).add(key)
        return cls(tuple(map(_frozen, (keys, tables, functions, bare))))

    def find(self, name: str) -> AssetKey:
        for level in self.levels:
            found = level.get(name, frozenset())
            if len(found) == 1:
                return next(iter(found))
            if found:
                raise _ambiguous(name, found)
        raise self._unknown(name)

    def _unknown(self, name: str) -> AssetNotFoundError:
        known = sorted({n for level in self.levels for n in level})
        near = nearest(name, known)
        return AssetNotFoundError(
            f"No asset is called {name!r}.",
            got=repr(name),
            expected=one_of(known, near) if known else "a project with assets",
            hint=f"Did you mean {near[0]!r}?" if near else "`phlo status` lists the assets.",
            name=name,
            near=near,
        )


def _frozen(names: Mapping[str, set[AssetKey]]) -> Mapping[str, frozenset[AssetKey]]:
    return {name: frozenset(keys) for name, keys in names.items()}


def _ambiguous(name: str, found: frozenset[AssetKey]) -> AssetNotFoundError:
    keys = sorted(key.to_user_string() for key in found)
    return AssetNotFoundError(
        f"{name!r} means {len(keys)} assets.",
        got=repr(name),
        expected=f"one of {keys}",
        hint=f"Write the asset's key, such as {keys[0]!r}, or the table with its namespace.",
        name=name,
        near=keys,
    )
