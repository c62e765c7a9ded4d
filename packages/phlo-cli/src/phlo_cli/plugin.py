"""The built-in commands, through the same door as everybody else's."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from phlo.plugins import hookimpl

if TYPE_CHECKING:
    from collections.abc import Sequence

    import click
    from dagster import Definitions
    from phlo.project import Project
    from phlo.protocols import ProjectRunner
    from phlo.values import ProjectTemplate
    from pydantic_settings import BaseSettings

    from phlo_cli.main import LazyGroup


@hookimpl
def phlo_register_commands(group: click.Group) -> None:
    """Add the commands that phlo-cli brings."""
    lazy = cast("LazyGroup", group)
    for name, short_help in _COMMANDS.items():
        lazy.add_lazy(name, f"phlo_cli.commands.{name}:{name}", short_help)


@hookimpl
def phlo_register_templates() -> Sequence[ProjectTemplate]:
    """Register the projects that `phlo init` writes; ``basic`` is the default."""
    from phlo_cli.templates import TEMPLATES

    return TEMPLATES


@hookimpl
def phlo_provide_runner() -> ProjectRunner:
    """Run assets for ``phlo.lake`` as the commands do."""
    from phlo_cli.runner import CommandRunner

    return CommandRunner()


@hookimpl
def phlo_register_settings() -> type[BaseSettings]:
    """Hand over the settings ``PHLO_ALERTS_*``."""
    from phlo_cli.alerts.settings import AlertSettings

    return AlertSettings


@hookimpl
def phlo_register_definitions(project: Project) -> Definitions:
    """Add the sensor that looks for alerts while `phlo dev` runs, where alerts are configured."""
    from dagster import Definitions

    from phlo_cli.alerts.settings import has_alerts

    if not has_alerts():
        return Definitions()
    from phlo_cli.alerts.sensor import build_sensor

    return Definitions(sensors=[build_sensor(project)])


_COMMANDS = {
    "alerts": "Tell people of failures, and try whether they would be told.",
    "apply": "Publish exactly what a plan made.",
    "backfill": "Make many partitions, one run each; can be resumed.",
    "branch": "Try changes on a branch of the whole lake, and publish them together.",
    "catalog": "See the project's tables.",
    "config": "See the settings in force, and whether they are right.",
    "dev": "Serve Dagster's pages and run the schedules of this project.",
    "diff": "Compare the tables of two branches, runs, snapshots or times.",
    "doctor": "Find out whether this project can work, and what to do where it cannot.",
    "init": "Write a new project.",
    "lineage": "See what tables and columns are made of, and what a change touches.",
    "logs": "Show what runs logged.",
    "maintain": "Join small files, drop old states, remove orphans.",
    "materialize": "Make assets: load, check, model, publish.",
    "new": "Add a source, check, model or mart to this project.",
    "plan": "Run a selection on a branch, and say what it would change.",
    "plugin": "See what plugins are installed.",
    "quarantine": "See the rows that were not loaded, and why.",
    "query": "Ask the project's tables in SQL.",
    "report": "Write one HTML page that shows tables, checks, runs and lineage.",
    "test": "Run the project's tests: pytest with phlo's fixtures.",
    "undo": "Return the tables that a run published to what they were.",
    "status": "Show how the assets are: last run, freshness, rows, checks.",
}
