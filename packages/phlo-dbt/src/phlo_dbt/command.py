"""dbt by hand: any command, with phlo's profile; what passes its tests is published."""

from __future__ import annotations

import os
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import click
from phlo.config import get_settings
from phlo.errors import ConfigurationError, PhloError
from phlo.lake import open_lake
from phlo.project import load_project

from phlo_dbt.folders import PROJECT_FILE, DbtWorkspace
from phlo_dbt.manifest import DbtProject, manifest_json

if TYPE_CHECKING:
    from collections.abc import Sequence


@click.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def dbt(arguments: tuple[str, ...]) -> None:
    """Run any dbt command: `phlo dbt build --select stg_events`.

    Models land in the project's tables, and those that passed their tests are published.
    `phlo dbt parse` writes target/manifest.json, for `@dbt_assets` of your own.
    """
    if not run_command(arguments):
        sys.exit(1)


def run_command(arguments: Sequence[str]) -> bool:
    """Run one dbt command.

    Args:
        arguments: What would follow ``dbt`` on the command line.

    Returns:
        Whether all went well and everything built was published.

    Raises:
        ConfigurationError: There is no dbt project, or dbt cannot parse it.
    """
    workspace = DbtWorkspace.of(get_settings())
    if not workspace.exists:
        raise ConfigurationError(
            f"There is no dbt project in {workspace.source_dir}.",
            hint=f"Write {PROJECT_FILE} there.",
        )
    if list(arguments) == ["parse"]:
        return _write_manifest(workspace)
    return _run(arguments)


def _write_manifest(workspace: DbtWorkspace) -> bool:
    """Imports no workflows: they may be waiting for this very file."""
    manifest_json(workspace)
    target = workspace.source_dir / "target"
    target.mkdir(exist_ok=True)
    (target / "manifest.json").write_bytes(workspace.manifest_file.read_bytes())
    return True


def _run(arguments: Sequence[str]) -> bool:
    from phlo_dbt.run import run_dbt

    project = DbtProject.load(load_project())
    assert project is not None
    given = os.environ.get("DBT_TARGET_PATH")
    outcome = run_dbt(
        project,
        open_lake(),
        arguments,
        run_name=f"command-{os.getpid()}",
        options=(),
        target_dir=Path(given).absolute() if given else None,
    )
    for line in outcome.withheld_lines(project.manifest["nodes"]):
        click.echo(line, err=True)
    return not (outcome.failures or outcome.withheld)


def main() -> None:
    """The command ``phlo-dbt``, which dagster-dbt calls in place of dbt."""
    if sys.argv[1:] == ["--version"]:  # dagster-dbt asks before every run
        click.echo(f"Core:\n  - installed: {version('dbt-core')}")
        return
    try:
        succeeded = run_command(sys.argv[1:])
    except PhloError as exc:
        click.echo(str(exc), err=True)
        succeeded = False
    sys.exit(0 if succeeded else 1)
