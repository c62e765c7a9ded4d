"""The project's own Dagster instance: where runs, events and schedules are kept."""

from __future__ import annotations

import logging
import os
import re
import shlex
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING

from dagster import DagsterInstance
from phlo.errors import ConfigurationError
from phlo.folders import DAGSTER, make_folder
from phlo.locks import locked, write_whole
from phlo.orchestration.dagster_private import instance_reference, redact_recorded_errors
from phlo.plugins import ENTRY_POINT_GROUP

if TYPE_CHECKING:
    from phlo.config import Settings

logger = logging.getLogger(__name__)

_TEMPORARY_HOME = ".tmp_dagster_home_"
"""How the folders begin that ``dagster dev`` makes where ``DAGSTER_HOME`` is not set."""

_WARNED = "PHLO_WARNED_OF_TEMPORARY_HISTORY"
"""Set in the environment of a process that has warned, which its children inherit."""

_SETTINGS = """\
# Dagster's instance of this project; yours to edit, phlo writes it once.
telemetry:
  enabled: false
nux:
  enabled: false
freshness:
  enabled: true
# Days for which ticks of schedules and sensors are kept.
retention:
  schedule: {purge_after_days: 90}
  sensor: {purge_after_days: 90}
  auto_materialize: {purge_after_days: 90}
# What plugins and workflows log in a run belongs to its events, where `phlo logs` finds it. phlo
# keeps this list as the installed plugins are; a list of your own stays as you write it.
python_logs:
  managed_python_loggers: [LOGGERS]
  python_log_level: DEBUG
"""

# A run in this process prints where its user looks; nothing is captured into files.
_NO_CAPTURE = {
    "compute_logs": {
        "module": "dagster._core.storage.noop_compute_log_manager",
        "class": "NoOpComputeLogManager",
    }
}


def dagster_home(settings: Settings) -> Path:
    """Return the folder of the instance: ``DAGSTER_HOME`` where it is set, else ``.phlo/dagster``.

    A branch always has a folder of its own, so that its runs are no part of main's history.
    """
    named = None if settings.is_on_branch else os.environ.get("DAGSTER_HOME")
    return Path(named).expanduser().resolve() if named else DAGSTER.path(settings.state_dir)


def open_instance(settings: Settings) -> DagsterInstance:
    """Open the project's Dagster instance; the first call on a project makes it.

    Any number of processes may do so at once: one makes the databases, under a file lock.
    Use the instance as a context manager, or call its ``dispose``.

    Raises:
        ConfigurationError: ``DAGSTER_HOME`` names a folder that is not there.
    """
    redact_recorded_errors()
    home = prepare_home(settings)
    with locked(home / ".lock"):
        return DagsterInstance.from_ref(instance_reference(home, _NO_CAPTURE))


def prepare_home(settings: Settings) -> Path:
    """Make the instance's folder and its ``dagster.yaml`` where they are missing.

    A folder that ``DAGSTER_HOME`` names is its owner's: nothing is written into it.

    Returns:
        The folder, for the ``DAGSTER_HOME`` of child processes.
    """
    home = dagster_home(settings)
    if os.environ.get("DAGSTER_HOME") and not settings.is_on_branch:
        _require_folder(home)
        return home
    return _make_home(home)


def _make_home(home: Path) -> Path:
    make_folder(home)
    with locked(home / ".lock"):
        _write_settings(home / "dagster.yaml")
    return home


def warn_of_temporary_history(settings: Settings) -> None:
    """Warn, once for a process and its children, that plain ``dagster`` keeps no history.

    Without ``DAGSTER_HOME`` Dagster's own command line keeps runs in a folder that it removes.
    """
    named = os.environ.get("DAGSTER_HOME")
    if named and not Path(named).name.startswith(_TEMPORARY_HOME):
        return
    if os.environ.get(_WARNED):
        return
    os.environ[_WARNED] = "1"
    home = _make_home(DAGSTER.path(settings.state_dir))
    logger.warning(
        "DAGSTER_HOME is not set, so Dagster keeps these runs in a temporary folder: `phlo logs` "
        "and `phlo status` will not know them. Hint: export DAGSTER_HOME=%s, or use `phlo dev` and "
        "`phlo materialize`.",
        shlex.quote(str(home)),
    )


def _write_settings(file: Path) -> None:
    """Write ``dagster.yaml`` where it is missing, or still as phlo wrote it for other plugins."""
    settings = _SETTINGS.replace("LOGGERS", ", ".join(_loggers()))
    if file.exists():
        before, after = map(re.escape, _SETTINGS.split("LOGGERS"))
        if not re.fullmatch(before + r"[\w, ]*" + after, file.read_text()):
            return
        if file.read_text() == settings:
            return
    write_whole(file, settings)


def _loggers() -> list[str]:
    """Name the loggers of phlo, of all plugins, and of the project's own modules."""
    plugins = (entry.value.partition(":")[0] for entry in entry_points(group=ENTRY_POINT_GROUP))
    return sorted({"phlo", "workflows", *(module.partition(".")[0] for module in plugins)})


def _require_folder(home: Path) -> None:
    if not home.is_dir():
        raise ConfigurationError(
            f"DAGSTER_HOME names {str(home)!r}, which is no folder.",
            hint="Make the folder, or unset DAGSTER_HOME to use the project's own .phlo/dagster.",
        )
