"""Look for events and send what is new: one message each, never in quiet hours, never too many."""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from phlo.folders import ALERTS, make_folder
from phlo.locks import locked
from phlo.redaction import redact

from phlo_cli.alerts.channels import channels_of
from phlo_cli.alerts.settings import alert_settings, is_quiet
from phlo_cli.alerts.values import Journal
from phlo_cli.alerts.watch import find_alerts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dagster import DagsterInstance
    from phlo.config import Settings

    from phlo_cli.alerts.settings import AlertSettings
    from phlo_cli.alerts.values import Alert
    from phlo_cli.project_index import ProjectIndex

logger = logging.getLogger(__name__)

KEEP_SEEN = timedelta(days=90)
"""How long an event is remembered, so that it is not told twice."""

KEEP_WAITING = timedelta(days=2)
"""How long a message is tried that no channel takes."""

_HOUR = 3600.0
_LOCK_SECONDS = 30.0


def check_alerts(
    settings: Settings, index: ProjectIndex | None, instance: DagsterInstance
) -> int | None:
    """Look for events and send those that nobody was told of; raises nothing.

    Returns:
        How many alerts were handed to some channel; ``None`` where alerts are not configured,
        belong to a branch, or could not be looked for, which is logged.
    """
    try:
        wishes = alert_settings()
        if settings.is_on_branch or not wishes.is_configured:
            return None
        return _check(settings, wishes, index, instance)
    except Exception as error:  # noqa: BLE001 - an alert that cannot be sent fails no run
        logger.warning("Alerts could not be looked for: %s", redact(f"{error}"))
        return None


def _check(
    settings: Settings,
    wishes: AlertSettings,
    index: ProjectIndex | None,
    instance: DagsterInstance,
) -> int:
    path, channels = ALERTS.path(settings.state_dir), channels_of(wishes)
    make_folder(path.parent)
    with locked(path.with_suffix(".lock"), timeout_seconds=_LOCK_SECONDS):
        journal = Journal.load(path)
        for alert in find_alerts(
            settings, index, instance, journal, quarantine_rows=wishes.quarantine_rows
        ):
            journal.add(alert, list(channels))
        _forget(journal)
        journal.save(path)  # before anything is sent: a kill sends twice rather than never
        if is_quiet(wishes.quiet_hours, datetime.now(ZoneInfo(settings.timezone)).time()):
            return 0
        sent = send_waiting(journal, channels, settings.project_dir.name, wishes.max_per_hour)
        journal.save(path)
    return sent


def _forget(journal: Journal) -> None:
    now = datetime.now(UTC)
    journal.seen = {
        key: at for key, at in journal.seen.items() if now - datetime.fromisoformat(at) < KEEP_SEEN
    }
    journal.waiting = [
        one for one in journal.waiting if now - datetime.fromisoformat(one.alert.at) < KEEP_WAITING
    ]


def send_waiting(
    journal: Journal,
    channels: dict[str, Callable[[str, Sequence[Alert]], None]],
    project: str,
    max_per_hour: int,
) -> int:
    """Send what waits, and keep what a channel did not take for the next time.

    Returns:
        How many alerts some channel took.
    """
    taken: set[str] = set()
    for name, send in channels.items():
        waiting = [one for one in journal.waiting if name in one.channels]
        now = time.time()
        recent = [at for at in journal.sent_at.get(name, []) if now - at < _HOUR]
        for group in _messages([one.alert for one in waiting], max_per_hour - len(recent)):
            if not _is_sent(name, send, project, group):
                break
            recent.append(now)
            keys = {alert.key for alert in group}
            taken |= keys
            for one in waiting:
                if one.alert.key in keys:
                    one.channels.remove(name)
        journal.sent_at[name] = recent
    journal.waiting = [one for one in journal.waiting if set(one.channels) & set(channels)]
    return len(taken)


def _messages(alerts: Sequence[Alert], room: int) -> list[Sequence[Alert]]:
    """Group alerts into at most ``room`` messages: one each, the last has all that are left.

    >>> [len(group) for group in _messages([1, 2, 3, 4], 2)], _messages([1], 0)
    ([1, 3], [])
    """
    if room <= 0 or not alerts:
        return []
    alone = alerts[:room] if len(alerts) <= room else alerts[: room - 1]
    rest = alerts[len(alone) :]
    return [*([alert] for alert in alone), *([rest] if rest else [])]


def _is_sent(
    name: str,
    send: Callable[[str, Sequence[Alert]], None],
    project: str,
    alerts: Sequence[Alert],
) -> bool:
    try:
        send(project, alerts)
    except Exception as error:  # noqa: BLE001 - whatever a server does, the run goes on
        logger.warning(
            "The %s did not take an alert; it is sent with the next ones: %s",
            name,
            redact(f"{type(error).__name__}: {error}"),
        )
        return False
    return True
