"""Load the project's ``.env`` into the environment of the process; the environment wins."""

from __future__ import annotations

import os
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from phlo.errors import ConfigurationError
from phlo.folders import ENV_FILE

if TYPE_CHECKING:
    from collections.abc import Mapping

_loaded: dict[str, str] = {}
_loaded_files: set[Path] = set()


def find_project_dir() -> Path:
    """Find the project's folder: ``PHLO_PROJECT_DIR``, else the nearest with ``workflows/``.

    The search goes from the current folder upwards; where none has it, the current one is it.
    """
    named = os.environ.get("PHLO_PROJECT_DIR")
    if named:
        return Path(named).expanduser().resolve()
    here = Path.cwd()
    return next((d for d in (here, *here.parents) if (d / "workflows").is_dir()), here)


def load_env_file() -> None:
    """Set the variables of the project's ``.env`` that the environment does not have.

    Everything that reads settings or loads plugins calls this first, so code of the project, dlt,
    dbt, Dagster and child processes see one environment. Each file is read once per process.

    Raises:
        ConfigurationError: The file cannot be read.
    """
    file = find_project_dir() / ENV_FILE
    if file in _loaded_files or not file.is_file():
        return
    _loaded_files.add(file)
    for name, value in _read(file).items():
        if value is not None and not _is_set(name):
            os.environ[name] = _loaded[name] = value


def restore_environment(before: Mapping[str, str]) -> None:
    """Take out of the environment what another program put there from the project's ``.env``.

    Dagster's command line loads the file too, and lets it win over the environment.

    Args:
        before: The environment that the other program was started with.
    """
    file = find_project_dir() / ENV_FILE
    for name in _read(file) if file.is_file() else ():
        os.environ.pop(name, None)
        if name in before:
            os.environ[name] = before[name]


def unset_variable(error: BaseException) -> str | None:
    """Return the variable whose lack in ``os.environ`` raised an error; ``None`` for any other.

    >>> try:
    ...     os.environ["NOWHERE_SET"]
    ... except KeyError as error:
    ...     print(unset_variable(error), unset_variable(KeyError("NOWHERE_SET")))
    NOWHERE_SET None
    """
    if not isinstance(error, KeyError):
        return None
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    is_of_environment = bool(frames) and frames[-1].f_code is os.environ.__getitem__.__code__
    return str(error.args[0]) if is_of_environment else None


def is_from_env_file(name: str) -> bool:
    """Return whether the value of a variable came from ``.env``."""
    return name in _loaded and os.environ.get(name) == _loaded[name]


def forget_env_file() -> None:
    """Take out of the environment what `.env` put there; tests use it between projects."""
    for name in [name for name in _loaded if is_from_env_file(name)]:
        del os.environ[name]
    _loaded.clear()
    _loaded_files.clear()


def _read(file: Path) -> dict[str, str | None]:
    from dotenv import dotenv_values

    try:
        return dotenv_values(file)
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "it is no UTF-8 text"
        raise ConfigurationError(
            f"{file} cannot be read: {reason}.", hint="Correct the file, or remove it."
        ) from exc


def _is_set(name: str) -> bool:
    """Return whether the environment has a variable; settings of phlo are found in any case."""
    if not name.upper().startswith("PHLO_"):
        return name in os.environ
    return name.upper() in {known.upper() for known in os.environ}
