"""An alert, and the journal of those that were sent."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from phlo.locks import write_whole

if TYPE_CHECKING:
    from pathlib import Path

AlertType = Literal[
    "failed_run", "blocked_audit", "stale_table", "growing_quarantine", "failed_backfill", "test"
]


@dataclass(frozen=True)
class Alert:
    """One event that somebody must know of.

    Attributes:
        key: Names the event; one message is sent for each key, however often it is seen.
        type: What happened.
        title: One line.
        text: Why, as far as it is known; without secrets.
        command: What to type to see more.
        at: When, ISO 8601 in UTC.
    """

    key: str
    type: AlertType
    title: str
    text: str
    command: str
    at: str


@dataclass
class Waiting:
    """An alert that was not sent yet by every channel.

    Attributes:
        alert: The alert.
        channels: Names of the channels that have yet to send it.
    """

    alert: Alert
    channels: list[str]


@dataclass
class Journal:
    """What was seen and sent, kept in ``.phlo/alerts.json``.

    Attributes:
        looked_at: When runs were looked at last, ISO 8601 in UTC; empty before the first time.
        seen: When each event was seen first, by key.
        waiting: What is to be sent, oldest first.
        sent_at: When messages of the last hour were sent, by channel: seconds since 1970.
        quarantined: Rows in the quarantine of each table when it was last judged.
    """

    looked_at: str = ""
    seen: dict[str, str] = field(default_factory=dict)
    waiting: list[Waiting] = field(default_factory=list)
    sent_at: dict[str, list[float]] = field(default_factory=dict)
    quarantined: dict[str, int] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> Journal:
        """Load the journal; one that is missing or cannot be read is empty."""
        try:
            stored: dict[str, Any] = json.loads(path.read_text())
            waiting = [Waiting(Alert(**w["alert"]), w["channels"]) for w in stored.pop("waiting")]
            return cls(**stored, waiting=waiting)
        except (OSError, ValueError, KeyError, TypeError):
            return cls()

    def save(self, path: Path) -> None:
        """Write the journal, whole or not at all."""
        write_whole(path, json.dumps(asdict(self), indent=1))

    def add(self, alert: Alert, channels: list[str]) -> bool:
        """Add an event to what is to be sent, unless it was seen before."""
        if alert.key in self.seen:
            return False
        self.seen[alert.key] = alert.at
        self.waiting.append(Waiting(alert, list(channels)))
        return True
