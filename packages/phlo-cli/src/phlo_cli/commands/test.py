"""`phlo test`: run the project's tests."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec

import click
from phlo.errors import ConfigurationError
from phlo.installing import install_command

from phlo_cli.main import DONE, FAILED, USAGE

_FAILED_CODES = (1, 2, 3, 5)
"""Exit codes of pytest: tests failed, were interrupted, broke pytest, or there are none."""


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def test(ctx: click.Context, arguments: tuple[str, ...]) -> None:
    """Run pytest over the project, with the project importable, `.env` set and phlo's fixtures.

    Everything that follows is pytest's: `phlo test -k orders -x`; `phlo test -- --help` shows it.
    """
    from phlo_cli.project_settings import require_project

    settings = require_project()
    if find_spec("pytest") is None:
        raise ConfigurationError("pytest is not installed.", hint=install_command("phlo-testing"))
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", *arguments],  # -m puts the folder on the path
        cwd=settings.project_dir,
        env=os.environ | {"PHLO_PROJECT_DIR": str(settings.project_dir)},
        check=False,
    )
    code = ended.returncode
    ctx.exit(DONE if code == 0 else FAILED if code in _FAILED_CODES else USAGE)
