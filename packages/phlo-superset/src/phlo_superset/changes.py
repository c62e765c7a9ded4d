"""What a sync does to the objects of Superset, or would do."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Action = Literal["create", "update", "unchanged", "keep", "unpublished"]


@dataclass(frozen=True)
class Change:
    """What happens to one object.

    Attributes:
        kind: ``database``, ``dataset``, ``chart`` or ``dashboard``.
        name: Its name.
        action: ``create`` and ``update`` write. ``keep``: phlo would write something else, but
            people changed or removed it. ``unpublished``: its mart is no longer there.
        written: What is written.
        kept: What people changed, and phlo leaves.
    """

    kind: str
    name: str
    action: Action
    written: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the change for JSON."""
        return asdict(self)

    def line(self) -> str:
        """Write the change as a line of text."""
        parts = [f"{self.action:<11} {self.kind} {self.name}"]
        if self.action == "update" and self.written:
            parts.append(f"writes {', '.join(self.written)}")
        if self.kept:
            parts.append(f"keeps what people changed: {', '.join(self.kept)}")
        return "; ".join(parts)
