"""Load plugins from one entry-point group; a plugin that cannot load is an error."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import pluggy
from phlo import hookspecs
from phlo.env_file import load_env_file
from phlo.errors import PluginError
from phlo.redaction import redact

logger = logging.getLogger(__name__)

ENTRY_POINT_GROUP = "phlo"
hookimpl = pluggy.HookimplMarker("phlo")


@dataclass(frozen=True, slots=True)
class PluginInfo:
    """One installed plugin.

    Attributes:
        name: Name of its entry point, as ``PHLO_DISABLED_PLUGINS`` takes it.
        distribution: The package that brings it.
        version: That package's version.
        module: What is imported.
        hooks: Names of the hooks it answers; empty while it is disabled.
        is_enabled: Whether it is loaded.
        checks: Names of the check classes it registers, sorted; empty while it is disabled.
    """

    name: str
    distribution: str
    version: str
    module: str
    hooks: tuple[str, ...]
    is_enabled: bool
    checks: tuple[str, ...] = ()


@cache
def plugin_manager() -> pluggy.PluginManager:
    """Return the plugin manager with all enabled plugins loaded; it is made once per process.

    Raises:
        PluginError: A plugin cannot be imported, has an unknown hook or a name taken already.
    """
    load_env_file()
    manager = pluggy.PluginManager("phlo")
    manager.add_hookspecs(hookspecs)
    for entry in _enabled_entries():
        _register(manager, entry)
    return manager


def reset_plugins() -> None:
    """Forget loaded plugins; tests use it after changing which are enabled."""
    plugin_manager.cache_clear()


def list_plugins() -> list[PluginInfo]:
    """List all installed plugins by name, disabled ones too.

    Raises:
        PluginError: A plugin cannot be loaded, or cannot hand over its check classes.
    """
    manager = plugin_manager()
    return [
        PluginInfo(
            name=entry.name,
            distribution=_distribution(entry),
            version=_version(entry),
            module=entry.value,
            hooks=_hooks(manager, entry.name),
            is_enabled=manager.has_plugin(entry.name),
            checks=_checks(manager, entry),
        )
        for entry in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda e: e.name)
    ]


def notify(hook: str, event: object) -> None:
    """Notify observers; one that raises is reported and breaks nothing.

    Args:
        hook: Name of a ``phlo_on_*`` hook.
        event: Its event.
    """
    event = _without_secrets(event)
    for implementation in getattr(plugin_manager().hook, hook).get_hookimpls():
        try:
            implementation.function(event)
        except Exception:
            logger.warning(
                "Observer %s of plugin %s failed; the run goes on.",
                hook,
                implementation.plugin_name,
                exc_info=True,
            )


def _without_secrets(event: object) -> object:
    error = getattr(event, "error", None)
    if not isinstance(error, str):
        return event
    return replace(event, error=redact(error))  # pyright: ignore[reportArgumentType] - a dataclass


def _enabled_entries() -> list[EntryPoint]:
    disabled = _disabled_names()
    return [e for e in entry_points(group=ENTRY_POINT_GROUP) if e.name not in disabled]


def _disabled_names() -> set[str]:
    # Not read through Settings: `phlo --help` must not pay for pydantic.
    text = os.environ.get("PHLO_DISABLED_PLUGINS") or ""
    return {name.strip() for name in text.split(",") if name.strip()}


def _register(manager: pluggy.PluginManager, entry: EntryPoint) -> None:
    where = f"Plugin {entry.name!r} of {_distribution(entry)} {_version(entry)}"
    if manager.has_plugin(entry.name):
        raise PluginError(
            f"{where} has the name of a plugin that is loaded already.",
            hint=f"Uninstall one of them, or set PHLO_DISABLED_PLUGINS={entry.name}.",
            plugin=entry.name,
        )
    try:
        module: Any = entry.load()
    except Exception as exc:  # an import may fail in any way, and each is reported as one error
        raise PluginError(
            f"{where} cannot be imported: {type(exc).__name__}: {exc}",
            hint=f"Repair it with `pip install --upgrade {_distribution(entry)}`, "
            f"or switch it off with PHLO_DISABLED_PLUGINS={entry.name}.",
            plugin=entry.name,
        ) from exc
    try:
        manager.register(module, name=entry.name)
        manager.check_pending()
    except (pluggy.PluginValidationError, ValueError) as exc:
        raise PluginError(
            f"{where} does not fit this version of phlo-core: {exc}",
            hint=f"Upgrade phlo-core or {_distribution(entry)} so that their versions match.",
            plugin=entry.name,
        ) from exc


def _hooks(manager: pluggy.PluginManager, name: str) -> tuple[str, ...]:
    plugin = manager.get_plugin(name)
    callers = (manager.get_hookcallers(plugin) if plugin else None) or []
    return tuple(sorted(caller.name for caller in callers))


def _checks(manager: pluggy.PluginManager, entry: EntryPoint) -> tuple[str, ...]:
    registered: list[Any] = [
        implementation.function
        for implementation in manager.hook.phlo_register_checks.get_hookimpls()
        if implementation.plugin_name == entry.name
    ]
    try:
        return tuple(sorted(kind.__name__ for register in registered for kind in register()))
    except Exception as exc:  # a third party's code may fail in any way
        raise PluginError(
            f"Plugin {entry.name!r} of {_distribution(entry)} {_version(entry)} cannot hand over "
            f"its checks: {type(exc).__name__}: {exc}",
            hint=f"Repair it with `pip install --upgrade {_distribution(entry)}`, "
            f"or switch it off with PHLO_DISABLED_PLUGINS={entry.name}.",
            plugin=entry.name,
        ) from exc


def _distribution(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist else "an unknown distribution"


def _version(entry: EntryPoint) -> str:
    return entry.dist.version if entry.dist else "?"
