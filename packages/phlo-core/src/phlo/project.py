"""Load a project: import all modules of its ``workflows/`` folder."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
import traceback
import types
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import TYPE_CHECKING

from phlo.config import Settings, get_settings
from phlo.declarations import Project
from phlo.env_file import unset_variable
from phlo.errors import WorkflowImportError, nearest
from phlo.folders import walk_folders
from phlo.plugins import plugin_manager
from phlo.specs import relative_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import ModuleType

__all__ = ["Project", "load_project"]

_UNKNOWN_ARGUMENT = re.compile(
    r"(?P<function>[\w.]+)(?:\(\))? got an unexpected keyword argument '(?P<argument>\w+)'"
)


def load_project(settings: Settings | None = None) -> Project:
    """Import everything under ``workflows/`` but the folders that plugins exclude.

    Raises:
        WorkflowImportError: Modules fail to import; names file and line of each.
    """
    settings = settings or get_settings()
    _make_importable(settings.project_dir)
    hooks = plugin_manager().hook
    excluded = hooks.phlo_register_excluded_folders(settings=settings)
    names = _module_names(settings.workflows_dir, [f for folders in excluded for f in folders])
    modules: dict[str, ModuleType] = {}
    errors: dict[str, WorkflowImportError] = {}
    for name, path in names.items():
        try:
            modules[name] = _import(name, path)
        except WorkflowImportError as error:  # a file that others import is told once
            errors.setdefault(error.message, error)
    if errors:
        raise _joined(list(errors.values()))
    return Project(settings, modules, hooks)


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


def _module_names(folder: Path, excluded: Sequence[Path]) -> dict[str, Path]:
    modules: dict[str, Path] = {}
    for path in sorted(_python_files(folder)):
        parts = path.relative_to(folder.parent).with_suffix("").parts
        is_excluded = any(path.is_relative_to(one) for one in excluded)
        if is_excluded or any(p.startswith(".") for p in parts):
            continue
        modules[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return modules


def _python_files(folder: Path) -> Iterator[Path]:
    for place, _, names in walk_folders(folder):
        yield from (place / name for name in names if name.endswith(".py"))


def _import(name: str, path: Path) -> ModuleType:
    try:
        return importlib.import_module(name)
    except KeyboardInterrupt:
        raise
    except BaseException as exc:  # what sys.exit() and pytest.importorskip() raise is no Exception
        file, line = _failing_line(exc, path)
        raise WorkflowImportError(
            f"{relative_path(file)}:{line} fails to import: {type(exc).__name__}: {exc}"
            + _broken_code(exc),
            hint=_import_hint(exc),
            file=str(file),
            line=line,
        ) from exc


def _broken_code(exc: BaseException) -> str:
    """Return the line that is no Python, for a message that names its file and number."""
    return f": {exc.text.strip()}" if isinstance(exc, SyntaxError) and exc.text else ""


def _failing_line(exc: BaseException, path: Path) -> tuple[Path, int]:
    if isinstance(exc, SyntaxError) and exc.filename:
        return Path(exc.filename), exc.lineno or 1
    frames = traceback.extract_tb(exc.__traceback__)
    inside = [f for f in frames if Path(f.filename).is_relative_to(_workflows_of(path))]
    return (Path(inside[-1].filename), inside[-1].lineno or 1) if inside else (path, 1)


def _workflows_of(path: Path) -> Path:
    return next((p for p in path.parents if p.name == "workflows"), path.parent)


def _import_hint(exc: BaseException) -> str | None:
    if isinstance(exc, NameError) and exc.name in ("datetime", "date", "timedelta"):
        return f"Add `from datetime import {exc.name}` to the file."
    if isinstance(exc, NameError) and exc.name:
        return f"Import or define {exc.name!r} in the file."
    if variable := unset_variable(exc):
        return f"Set {variable} in the environment or in .env."
    if isinstance(exc, ModuleNotFoundError):
        return f"Install the package that brings {exc.name!r}, or correct the import."
    if isinstance(exc, TypeError) and (near := _nearest_argument(exc)):
        return f"Did you mean {near!r}?"
    if isinstance(exc, TypeError) and re.match(r"asset\b.* keyword argument 'group'", str(exc)):
        return "Dagster's @asset takes group_name=, not group=."
    if getattr(exc, "hint", None):
        return None
    hint = plugin_manager().hook.phlo_provide_import_hint(error=exc)
    return hint or "Correct the file; `phlo doctor` checks it anew."


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
