"""What phlo-quality contributes through phlo's hooks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from phlo.plugins import hookimpl

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import click
    import pyarrow as pa
    from dagster import Definitions
    from phlo.names import TableName
    from phlo.project import Project
    from phlo.protocols import Check
    from phlo.values import ProjectProblem, ProjectQuery
    from pydantic_settings import BaseSettings


@hookimpl
def phlo_register_definitions(project: Project) -> Definitions:
    """Return asset checks of all suites but those that an asset judges before it publishes."""
    from phlo_quality.asset_checks import build_definitions

    return build_definitions(project)


@hookimpl
def phlo_register_checks() -> Sequence[type[Check]]:
    """Hand over the built-in check classes."""
    import phlo_quality

    exported = [getattr(phlo_quality, name) for name in phlo_quality.__all__]
    return [kind for kind in exported if _is_check(kind)]


@hookimpl
def phlo_register_queries(project: Project) -> Sequence[ProjectQuery]:
    """Return the SQL that is written in checks and reconciliations."""
    from phlo_quality.asset_checks import queries_of

    return queries_of(project)


@hookimpl
def phlo_register_problems(
    project: Project, columns_of: Callable[[TableName], pa.Schema | None]
) -> Sequence[ProjectProblem]:
    """Find checks that cannot run over the columns that their table will have."""
    from phlo_quality.problems import find_problems

    return list(find_problems(project, columns_of))


@hookimpl
def phlo_register_commands(group: click.Group) -> None:
    """Add the command `phlo check`."""
    group.add_lazy(  # pyright: ignore[reportAttributeAccessIssue] - the root group's own
        "check", "phlo_quality.commands:check", "Judge a table by its checks, or propose some."
    )


@hookimpl
def phlo_register_settings() -> type[BaseSettings]:
    """Hand over the settings of phlo-quality."""
    from phlo_quality.settings import QualitySettings

    return QualitySettings


def _is_check(kind: object) -> bool:
    from phlo_quality.checks import QualityCheck, QueryCheck, RowCheck, SqlCheck

    bases = (QualityCheck, QueryCheck, RowCheck, SqlCheck)
    return isinstance(kind, type) and issubclass(kind, QualityCheck) and kind not in bases
