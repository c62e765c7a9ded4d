"""A project: what its ``workflows/`` folder declares, and which asset makes which table."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
import traceback
import types
from dataclasses import dataclass
from functools import cached_property
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from phlo.config import Settings, get_settings
from phlo.errors import AssetNotFoundError, DuplicateAssetError, WorkflowImportError, nearest
from phlo.plugins import plugin_manager
from phlo.protocols import CheckSuite
from phlo.specs import relative_path, spec_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import ModuleType

    from phlo.names import TableName
    from phlo.values import TableAsset

T = TypeVar("T")
_UNKNOWN_ARGUMENT = re.compile(
    r"(?P<function>[\w.]+)(?:\(\))? got an unexpected keyword argument '(?P<argument>\w+)'"
)
_DBT_FOLDER = ("transforms", "dbt")


@dataclass(frozen=True)
class Project:
    """A project whose workflows are imported.

    Attributes:
        settings: Its settings.
        modules: The modules under ``workflows/``, by name.
    """

    settings: Settings
    modules: Mapping[str, ModuleType]

    @property
    def root(self) -> Path:
        """The project's folder."""
        return self.settings.project_dir

    @property
    def dbt_dir(self) -> Path:
        """Where a dbt project stands, if the project has one."""
        return self.settings.workflows_dir.joinpath(*_DBT_FOLDER)

    def objects(self) -> Iterator[tuple[str, str, Any]]:
        """Every object in a module's attributes once: module name, attribute name, object."""
        seen: set[int] = set()
        for module_name, module in self.modules.items():
            for name, value in list(vars(module).items()):
                if id(value) not in seen and not name.startswith("__"):
                    seen.add(id(value))
                    yield module_name, name, value

    def specs(self, kind: type[T]) -> list[T]:
        """Specs of a kind that decorators attached, in the order of files and lines."""
        found = (spec_of(value) for _, _, value in self.objects())
        return [spec for spec in found if isinstance(spec, kind)]

    @cached_property
    def suites(self) -> tuple[CheckSuite, ...]:
        """All suites of checks, from whichever plugin."""
        return tuple(self.specs(CheckSuite))  # pyright: ignore[reportAbstractUsage]

    def suites_for(self, table: TableName) -> tuple[CheckSuite, ...]:
        """The suites that judge a table."""
        return tuple(suite for suite in self.suites if suite.table == table)

    @cached_property
    def tables(self) -> Mapping[TableName, TableAsset]:
        """Which asset makes which table, from all plugins.

        Raises:
            DuplicateAssetError: Two assets make one table.
        """
        found: dict[TableName, TableAsset] = {}
        for assets in plugin_manager().hook.phlo_register_tables(project=self):
            for asset in assets:
                _refuse_second(found.get(asset.table), asset)
                found[asset.table] = asset
        return found

    def asset_for(self, table: TableName, *, asked_by: str) -> TableAsset:
        """The asset that makes a table.

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
            expected=f"one of {near or sorted(known)}",
            hint=f"Did you mean {near[0]!r}?" if near else "Name a table that an asset makes.",
            table=table,
        )


def load_project(settings: Settings | None = None) -> Project:
    """Import everything under ``workflows/``; the dbt project is never imported.

    Raises:
        WorkflowImportError: Modules fail to import; names file and line of each.
    """
    settings = settings or get_settings()
    _make_importable(settings.project_dir)
    modules: dict[str, ModuleType] = {}
    errors: dict[str, WorkflowImportError] = {}
    for name, path in _module_names(settings.workflows_dir).items():
        try:
            modules[name] = _import(name, path)
        except WorkflowImportError as error:  # a file that others import is told once
            errors.setdefault(error.message, error)
    if errors:
        raise _joined(list(errors.values()))
    return Project(settings, modules)


def _joined(errors: Sequence[WorkflowImportError]) -> WorkflowImportError:
    """Return one error that tells all of them; file and line are those of the first."""
    first, *others = errors
    if not others:
        return first
    told = [error.message + (f"\n  Hint: {error.hint}" if error.hint else "") for error in errors]
    joined = WorkflowImportError(
        f"{len(errors)} places under workflows/ fail to import.\n\n" + "\n\n".join(told),
        file=first.parts["file"],
        line=first.parts["line"],
    )
    joined.__cause__ = first.__cause__
    return joined


def _make_importable(root: Path) -> None:
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    loaded = sys.modules.get("workflows")
    paths = [Path(p) for p in getattr(loaded, "__path__", [])]
    if loaded is not None and root / "workflows" not in paths:
        # Another project was imported by this process before (tests do that).
        for name in [n for n in sys.modules if n.split(".")[0] == "workflows"]:
            del sys.modules[name]
        importlib.invalidate_caches()
    if not (root / "workflows" / "__init__.py").exists():
        _bind_folder(root / "workflows")


def _bind_folder(folder: Path) -> None:
    """Let ``workflows`` be this folder, even where an installed package is called so.

    Python takes a package anywhere on its path before a folder without ``__init__.py``.
    """
    if "workflows" not in sys.modules:
        module = types.ModuleType("workflows")
        module.__path__ = [str(folder)]
        module.__spec__ = ModuleSpec("workflows", None, is_package=True)
        module.__spec__.submodule_search_locations = [str(folder)]
        sys.modules["workflows"] = module


def _module_names(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder.parent).with_suffix("").parts
        if parts[1:3] == _DBT_FOLDER or any(p.startswith(".") for p in parts):
            continue
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def _import(name: str, path: Path) -> ModuleType:
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as exc:  # a file that calls sys.exit() would end phlo
        file, line = _failing_line(exc, path)
        raise WorkflowImportError(
            f"{relative_path(file)}:{line} fails to import: {type(exc).__name__}: {exc}",
            hint=_import_hint(exc),
            file=str(file),
            line=line,
        ) from exc


def _failing_line(exc: Exception | SystemExit, path: Path) -> tuple[Path, int]:
    if isinstance(exc, SyntaxError) and exc.filename:
        return Path(exc.filename), exc.lineno or 1
    frames = traceback.extract_tb(exc.__traceback__)
    inside = [f for f in frames if Path(f.filename).is_relative_to(_workflows_of(path))]
    return (Path(inside[-1].filename), inside[-1].lineno or 1) if inside else (path, 1)


def _workflows_of(path: Path) -> Path:
    return next((p for p in path.parents if p.name == "workflows"), path.parent)


def _import_hint(exc: Exception | SystemExit) -> str | None:
    if isinstance(exc, NameError) and exc.name in ("datetime", "date", "timedelta"):
        return f"Add `from datetime import {exc.name}` to the file."
    if isinstance(exc, NameError) and exc.name:
        return f"Import or define {exc.name!r} in the file."
    if isinstance(exc, ModuleNotFoundError):
        return f"Install the package that brings {exc.name!r}, or correct the import."
    if isinstance(exc, TypeError) and (near := _nearest_argument(exc)):
        return f"Did you mean {near!r}?"
    if type(exc).__name__ == "DagsterDbtManifestNotFoundError":
        return "`phlo dbt parse` writes target/manifest.json."
    if isinstance(exc, TypeError) and re.match(r"asset\b.* keyword argument 'group'", str(exc)):
        return "Dagster's @asset takes group_name=, not group=."
    return None if getattr(exc, "hint", None) else "Correct the file; `phlo doctor` checks it anew."


def _nearest_argument(exc: TypeError) -> str | None:
    """Return the argument that was probably meant where a call has one that does not exist."""
    match = _UNKNOWN_ARGUMENT.match(str(exc))
    if match is None:
        return None
    function = match["function"].split(".")[0]
    for frame, _ in reversed(list(traceback.walk_tb(exc.__traceback__))):
        names = frame.f_globals | frame.f_locals
        modules = [value for value in names.values() if isinstance(value, types.ModuleType)]
        for called in (names.get(function), *(vars(m).get(function) for m in modules)):
            if callable(called) and (near := nearest(match["argument"], _parameters(called))):
                return near[0]
    return None


def _parameters(called: Callable[..., object]) -> list[str]:
    try:
        return list(inspect.signature(called).parameters)
    except ValueError:  # written in C
        return []


def _refuse_second(first: TableAsset | None, second: TableAsset) -> None:
    if first is not None:
        raise DuplicateAssetError(
            f"Two assets make the table {str(second.table)!r}: "
            f"{'/'.join(first.asset_key)} ({first.defined_at}) and "
            f"{'/'.join(second.asset_key)} ({second.defined_at}).",
            hint="Give one of them another table_name or namespace.",
            table=second.table,
        )
