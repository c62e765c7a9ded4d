"""Undo what Dagster's command line does with ``.env``: there the file wins over the environment."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
from phlo.env_file import restore_environment

if TYPE_CHECKING:
    from collections.abc import Sequence

_PROGRAM = re.compile(r"dagster([-_](webserver|daemon))?|dg")


def undo_dagsters_env_file() -> None:
    """Let the environment that a ``dagster`` command was started with win over ``.env`` again.

    `dagster dev` and the like overwrite variables in themselves and in the processes below them,
    before they import a module. What the outermost of them was started with, the system knows.
    """
    try:
        process = psutil.Process()
        commands = [p for p in (process, *process.parents()) if is_dagster(p.cmdline())]
        if commands:
            restore_environment(commands[-1].environ())
    except psutil.Error:  # one of them has ended, or belongs to somebody else
        return


def is_dagster(command_line: Sequence[str]) -> bool:
    """Return whether a command line starts one of Dagster's programs.

    >>> is_dagster(["/usr/bin/python3", "/usr/bin/dagster", "dev", "-m", "phlo.definitions"])
    True
    >>> is_dagster(["python3", "-W", "ignore", "-m", "dagster", "dev"])
    True
    >>> is_dagster(["python3", "-m", "pytest", "tests/dagster"])
    False
    >>> is_dagster([])
    False
    """
    words = [*command_line, "", ""]
    is_module = words[1].startswith("-") and "-m" in words
    program = words[words.index("-m") + 1] if is_module else words[1]
    return any(_PROGRAM.fullmatch(Path(word).name) for word in (words[0], program))
