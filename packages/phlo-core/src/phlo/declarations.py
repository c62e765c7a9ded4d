"""What the modules of a project declare, and which asset makes which table."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from phlo.errors import AssetNotFoundError, DuplicateAssetError, nearest, one_of
from phlo.protocols import CheckSuite
from phlo.specs import spec_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from types import ModuleType

    from phlo.config import Settings
    from phlo.names import TableName
    from phlo.values import TableAsset
    from pluggy import HookRelay

T = TypeVar("T")


@dataclass(frozen=True)
class Project:
    """A project whose workflows are imported.

    Attributes:
        settings: Its settings.
        modules: The modules under ``workflows/``, by name.
        hooks: The hooks of the loaded plugins.
    """

    settings: Settings
    modules: Mapping[str, ModuleType]
    hooks: HookRelay = field(repr=False)

    @property
    def root(self) -> Path:
        """Return the project's folder."""
        return self.settings.project_dir

    def objects(self) -> Iterator[tuple[str, str, Any]]:
        """Yield every object of the modules once: module name, attribute name, object."""
        seen: set[int] = set()
        for module_name, module in self.modules.items():
            for name, value in list(vars(module).items()):
                if id(value) not in seen and not name.startswith("__"):
                    seen.add(id(value))
                    yield module_name, name, value

    def specs(self, spec_type: type[T]) -> list[T]:
        """Return the specs of a type that decorators attached, by file and line.

        What stands in a list or a dict counts too, each once.
        """
        values = [one for _, _, value in self.objects() for one in (value, *members(value))]
        specs = {id(spec): spec for spec in map(spec_of, values)}
        return [spec for spec in specs.values() if isinstance(spec, spec_type)]

    @cached_property
    def suites(self) -> tuple[CheckSuite, ...]:
        """Return all suites of checks, of whichever plugin."""
        return tuple(self.specs(CheckSuite))  # pyright: ignore[reportAbstractUsage]

    def suites_for(self, table: TableName) -> tuple[CheckSuite, ...]:
        """Return the suites that judge a table."""
        return tuple(suite for suite in self.suites if suite.table == table)

    @cached_property
    def tables(self) -> Mapping[TableName, TableAsset]:
        """Return the asset that makes each table, from all plugins.

        Raises:
            DuplicateAssetError: Two assets make one table.
        """
        tables: dict[TableName, TableAsset] = {}
        for assets in self.hooks.phlo_register_tables(project=self):
            for asset in assets:
                _refuse_second(tables.get(asset.table), asset)
                tables[asset.table] = asset
        return tables

    def asset_for(self, table: TableName, *, asked_by: str) -> TableAsset:
        """Return the asset that makes a table.

        Args:
            table: The table.
            asked_by: Who asks, with file and line, for the message.

        Raises:
            AssetNotFoundError: No asset makes it; the message suggests the nearest tables.
        """
        if table in self.tables:
            return self.tables[table]
        known = [str(t) for t in self.tables]
        near = nearest(str(table), known)
        raise AssetNotFoundError(
            f"No asset makes the table {str(table)!r} ({asked_by}).",
            got=repr(str(table)),
            expected=one_of(sorted(known), near),
            hint=f"Did you mean {near[0]!r}?" if near else "Name a table that an asset makes.",
            table=table,
        )


def _refuse_second(first: TableAsset | None, second: TableAsset) -> None:
    if first is not None:
        raise DuplicateAssetError(
            f"Two assets make the table {str(second.table)!r}: "
            f"{'/'.join(first.asset_key)} ({first.defined_at}) and "
            f"{'/'.join(second.asset_key)} ({second.defined_at}).",
            hint="Give one of them another table_name or namespace.",
            table=second.table,
        )


def members(value: Any) -> list[Any]:
    """List what a list, tuple, set or dict of a module holds, nested ones too."""
    if isinstance(value, dict):
        value = list(value.values())
    if not isinstance(value, (list, tuple, set, frozenset)) or hasattr(value, "_fields"):
        return []
    return [one for member in value for one in (members(member) or [member])]
