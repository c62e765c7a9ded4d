"""Deprecated name of :mod:`phlo.orchestration.assembly`; it goes away in 1.2."""

import warnings

from phlo.orchestration.assembly import build_definitions, build_resources, resolve_table

__all__ = ["build_definitions", "build_resources", "resolve_table"]

warnings.warn(
    "phlo.assembly is called phlo.orchestration.assembly now; the old name goes away in 1.2.",
    DeprecationWarning,
    stacklevel=2,
)
