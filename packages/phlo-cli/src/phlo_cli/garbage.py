"""Let Python look for garbage seldom: what a command imports is none, and looking through it costs.

With Python's own thresholds (700 or 2,000 objects) it takes a fifth of a short command's time.
"""

from __future__ import annotations

import gc

OBJECTS_UNTIL_FIRST = 1_000_000
"""Objects made until the first collection; imports and one small load make fewer."""

OBJECTS_PER_COLLECTION = 50_000
"""Objects made until Python looks among the young ones again, once a process makes many runs."""


def collect_rarely() -> None:
    """Put off the first collection, in a process that is phlo's own."""
    gc.set_threshold(OBJECTS_UNTIL_FIRST)


def collect_between_runs() -> None:
    """Collect more often from now on, but not among what is there already: mostly modules.

    Where a process is not phlo's own (a notebook, say), this changes nothing.
    """
    if gc.get_threshold()[0] == OBJECTS_UNTIL_FIRST:
        gc.collect()
        gc.freeze()
        gc.set_threshold(OBJECTS_PER_COLLECTION)
