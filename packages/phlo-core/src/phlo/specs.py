"""Specs travel on the objects they describe: there is no registry."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

_ATTRIBUTE = "__phlo_spec__"
F = TypeVar("F")


def attach_spec(target: F, spec: object) -> F:
    """Attach a spec to a decorated function, which is returned.

    ``phlo.project`` finds it there; a function carries one spec.
    """
    setattr(target, _ATTRIBUTE, spec)
    return target


def spec_of(target: object) -> Any | None:
    """Return the spec attached to an object, or ``None``."""
    return vars(target).get(_ATTRIBUTE) if hasattr(target, "__dict__") else None


def defined_at(function: Callable[..., object]) -> str:
    """Return a function's ``file:line``, the file relative to the current folder."""
    code = inspect.unwrap(function).__code__
    return f"{relative_path(code.co_filename)}:{code.co_firstlineno}"


def relative_path(file: str | Path) -> str:
    """Return a path as people write it: relative to the current folder where it is below it."""
    path = Path(file)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
