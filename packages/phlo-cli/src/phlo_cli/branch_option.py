"""``--branch NAME``: let a command read and write on a branch of the lake."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Iterator

VARIABLE = "PHLO_BRANCH"
WITHOUT = {"apply", "branch", "init", "new", "plan", "plugin", "test"}
"""Commands that name branches themselves, or that read no lake."""


def add_branch_option(command: click.Command) -> None:
    """Give a command, and all below it, the option ``--branch``.

    A command that has an option or argument of that name keeps its own.
    """
    if command.name in WITHOUT:
        return
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            add_branch_option(inner)
    elif not any(param.name == "branch" for param in command.params):
        command.params.append(
            click.Option(
                ["--branch"],
                metavar="NAME",
                expose_value=False,
                is_eager=True,
                callback=_use_branch,
                help="Branch of the lake to read and write, instead of PHLO_BRANCH.",
            )
        )


def _use_branch(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    if value is None or ctx.resilient_parsing:
        return
    from phlo.branches import check_branch_name
    from phlo.errors import InvalidNameError

    try:
        use_branch(ctx, check_branch_name(value))
    except InvalidNameError as error:
        raise click.BadParameter(str(error), ctx, param) from error


def use_branch(ctx: click.Context, name: str) -> None:
    """Read and write on a branch until the command ends, in this process and its children."""
    ctx.find_root().with_resource(on_branch(name))


@contextmanager
def on_branch(name: str) -> Iterator[None]:
    """Read and write on a branch within the block, in this process and its children."""
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = name
    _forget_main()
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(VARIABLE, None)
        else:
            os.environ[VARIABLE] = before
        _forget_main()


def _forget_main() -> None:
    from phlo.config import reset_settings
    from phlo.lake import reset_lake

    reset_settings()
    reset_lake()
