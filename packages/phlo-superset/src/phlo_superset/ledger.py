"""Tell what people changed in Superset from what phlo wrote there.

With each object phlo keeps a fingerprint of every value that it wrote, in the JSON ``extra`` of
the database or of the dataset. A value that still has that fingerprint is phlo's to change. Any
other was changed by people, and stays; so does what they removed.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_KEY = "phlo"


@dataclass
class Ledger:
    """Fingerprints of the values that phlo wrote last, by name of the value.

    Attributes:
        extra: The other keys of the object's ``extra``, which belong to Superset and to people.
        fingerprints: By name.
    """

    extra: dict[str, Any]
    fingerprints: dict[str, str]

    @classmethod
    def read(cls, extra: str | None) -> Ledger:
        """Read the ledger from the ``extra`` of an object; one that cannot be read is empty."""
        try:
            values = json.loads(extra or "{}")
        except ValueError:
            values = {}
        values = dict(values) if isinstance(values, dict) else {}
        own = values.pop(_KEY, None)
        known = own.get("written") if isinstance(own, dict) else None
        return cls(values, dict(known) if isinstance(known, dict) else {})

    def written(self) -> str:
        """Return the ``extra`` that holds this ledger."""
        own = {_KEY: {"written": dict(sorted(self.fingerprints.items()))}}
        return json.dumps(self.extra | own, ensure_ascii=False)

    def compare(self, current: Mapping[str, Any], wanted: Mapping[str, Any]) -> Comparison:
        """Find out which wanted values may be written.

        Args:
            current: What Superset holds; a value that is missing there is not in it.
            wanted: What phlo would write.
        """
        comparison = Comparison()
        for name, value in wanted.items():
            if name in current and current[name] == value:
                comparison.same.append(name)
            elif self._may_write(name, current.get(name)):
                comparison.to_write[name] = value
            else:
                comparison.kept.append(name)
        return comparison

    def _may_write(self, name: str, current: Any) -> bool:
        known = self.fingerprints.get(name)
        if known is None:
            return current in (None, "", {})
        return current is not None and known == fingerprint(current)

    def note(self, comparison: Comparison, wanted: Mapping[str, Any]) -> bool:
        """Note what Superset holds of phlo; return whether that changes the ledger."""
        before = dict(self.fingerprints)
        for name in [*comparison.same, *comparison.to_write]:
            self.fingerprints[name] = fingerprint(wanted[name])
        return self.fingerprints != before


@dataclass
class Comparison:
    """What phlo would write, and what is there.

    Attributes:
        to_write: Values that are missing, or are still as phlo wrote them.
        kept: Names of values that people changed or removed.
        same: Names of values that are there already.
    """

    to_write: dict[str, Any] = field(default_factory=dict)
    kept: list[str] = field(default_factory=list)
    same: list[str] = field(default_factory=list)


def fingerprint(value: Any) -> str:
    """Return a short hash of a JSON value, the same whatever the order of its keys."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
