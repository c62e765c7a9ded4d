"""dbt by hand: any command, in the project's folders; what passes its tests is published."""

from __future__ import annotations

import logging
import os
import sys
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import click
from phlo.config import get_settings
from phlo.errors import ConfigurationError, PhloError

from phlo_dbt.folders import PROFILE, PROFILES_FILE, PROJECT_FILE, DbtWorkspace, profile_text

if TYPE_CHECKING:
    from collections.abc import Sequence

# Commands of dbt that take no folder for artifacts: they look at the project's files alone.
_ABOUT_FILES = ("clean", "debug", "deps")
_FAILED, _NOT_RUN = 1, 2

logger = logging.getLogger(__name__)


@click.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def dbt(arguments: tuple[str, ...]) -> None:
    """Run any dbt command: `phlo dbt build --select stg_events`.

    Models land in the project's tables, and those that passed their tests are published.
    `phlo dbt init` writes a profiles.yml, with which plain `dbt` does the same.
    `phlo dbt parse` writes target/manifest.json, for `@dbt_assets` of your own.
    """
    sys.exit(run_command(arguments))


def run_command(arguments: Sequence[str]) -> int:
    """Run one dbt command.

    Args:
        arguments: What would follow ``dbt`` on the command line.

    Returns:
        dbt's exit code; 1 where something was built and not published.

    Raises:
        ConfigurationError: There is no dbt project.
    """
    workspace = DbtWorkspace.of(get_settings())
    if list(arguments) == ["init"]:
        return write_profile(workspace)
    if not workspace.exists and not {"--version", "-v", "--help", "-h"} & set(arguments):
        raise ConfigurationError(
            f"There is no dbt project in {workspace.source_dir}.",
            hint="`phlo dbt init` writes one.",
        )
    return _invoke([*arguments, *_without(_folders(workspace, arguments), arguments)])


def _without(options: Sequence[str], arguments: Sequence[str]) -> list[str]:
    """Leave out options that the user names too: of two, dbt takes the last.

    >>> _without(["--profile", "phlo", "--log-path", "logs", "--quiet"], ["ls", "--log-path=x"])
    ['--profile', 'phlo', '--quiet']
    >>> _without([], ["--help"])
    []
    """
    named = {word.split("=", 1)[0] for word in arguments if word.startswith("--")}
    if "--profiles-dir" in named:
        named.add("--profile")  # the profile that dbt_project.yml names
    starts = [n for n, word in enumerate(options) if word.startswith("--")]
    parts = [options[start:end] for start, end in pairwise([*starts, len(options)])]
    return [word for part in parts if part[0] not in named for word in part]


def _folders(workspace: DbtWorkspace, arguments: Sequence[str]) -> list[str]:
    if not workspace.exists:
        return []
    if any(word in arguments for word in ("--version", "-v", "--help", "-h")):
        return []
    if any(word in arguments for word in _ABOUT_FILES):
        return workspace.project_arguments
    if list(arguments) == ["parse"]:  # @dbt_assets look for it there
        return workspace.arguments(target_dir=workspace.source_dir / "target")
    target_dir = os.environ.get("DBT_TARGET_PATH")
    return [
        *workspace.arguments(target_dir=Path(target_dir).absolute() if target_dir else None),
        *([] if "-t" in arguments else workspace.target_option),
    ]


def _invoke(arguments: Sequence[str]) -> int:
    from phlo_dbt.manifest import invoke_dbt
    from phlo_dbt.running import interrupt_current_session

    if not sys.stdout.isatty():  # escape sequences are for terminals
        os.environ.setdefault("DBT_USE_COLORS", "false")
    result = invoke_dbt(arguments, stop=interrupt_current_session)
    if result.exception is None:
        return 0 if result.success else _FAILED
    if isinstance(result.exception, PhloError):
        return _FAILED  # told already
    if type(result.exception).__name__ == "DbtUsageException":  # dbt has written nothing yet
        click.echo(str(result.exception), err=True)
    logger.debug("dbt ended with an exception", exc_info=result.exception)
    return _NOT_RUN


def write_profile(workspace: DbtWorkspace) -> int:
    """Write what plain ``dbt`` needs in the project's folder; no file that is there is changed."""
    files = {
        PROJECT_FILE: f'name: {_project_name(workspace)}\nversion: "1.0"\nconfig-version: 2\n'
        f"profile: {PROFILE}\n",
        PROFILES_FILE: profile_text(PROFILE),
        ".gitignore": "target/\nlogs/\ndbt_packages/\n.user.yml\n",
    }
    workspace.source_dir.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        file = workspace.source_dir / name
        if not file.exists():
            file.write_text(text)
            click.echo(f"Wrote {file}.")
    _name_profile(workspace)
    return 0


def _name_profile(workspace: DbtWorkspace) -> None:
    """Add the profile's name to a ``dbt_project.yml`` that names none."""
    import yaml

    file = workspace.source_dir / PROJECT_FILE
    text = file.read_text()
    if not (yaml.safe_load(text) or {}).get("profile"):
        file.write_text(f"{text.rstrip()}\nprofile: {PROFILE}\n")
        click.echo(f"Added `profile: {PROFILE}` to {file}.")


def _project_name(workspace: DbtWorkspace) -> str:
    folder = get_settings().project_dir.name
    name = "".join(c if c.isascii() and (c.isalnum() or c == "_") else "_" for c in folder)
    return name if name[:1].isalpha() else f"dbt_{name}"


def main() -> None:
    """Run the command ``phlo-dbt``, which dagster-dbt calls in place of dbt."""
    if sys.argv[1:] == ["--version"]:  # dagster-dbt asks before every run
        click.echo(f"Core:\n  - installed: {version('dbt-core')}")
        return
    try:
        sys.exit(run_command(sys.argv[1:]))
    except PhloError as exc:
        click.echo(str(exc), err=True)
        sys.exit(_FAILED)
