"""What phlo-quality contributes through phlo's hooks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from phlo.plugins import hookimpl

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dagster import Definitions
    from phlo.project import Project
    from phlo.protocols import Check
    from pydantic_settings import BaseSettings


@hookimpl
def phlo_register_definitions(project: Project) -> Definitions:
    """Asset checks of all suites but those that an asset judges before it publishes."""
    from phlo_quality.asset_checks import build_definitions

    return build_definitions(project)


@hookimpl
def phlo_register_checks() -> Sequence[type[Check]]:
    """The built-in check classes."""
    from phlo_quality import checks

    found = [getattr(checks, name) for name in checks.__all__]
    return [kind for kind in found if issubclass(kind, checks.QualityCheck)]


@hookimpl
def phlo_register_settings() -> type[BaseSettings]:
    """The settings of phlo-quality."""
    from phlo_quality.settings import QualitySettings

    return QualitySettings
