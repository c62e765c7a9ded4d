"""Keep the UTC offset of Python datetimes in Arrow.

Importing Pandera sets ``PYARROW_IGNORE_TIMEZONE=1`` for PySpark, unless the variable is there
already. Arrow then drops the offset of every Python datetime that it is given, in this process and
in those it starts: 12:00-05:00 becomes 12:00Z.
"""

from __future__ import annotations

import os
import sys

VARIABLE = "PYARROW_IGNORE_TIMEZONE"
_seen: list[str] = []


def keep_offsets() -> None:
    """Set the variable to the empty text, unless the user set it.

    Pandera leaves a variable that is there, and Arrow takes the empty text for no. A value that
    was there before Pandera was imported is the user's.
    """
    value = os.environ.get(VARIABLE)
    if value and "pandera" not in sys.modules:
        _seen.append(value)
    if not _seen:
        os.environ[VARIABLE] = ""


def are_offsets_ignored() -> bool:
    """Return whether Arrow drops the offset of Python datetimes, as the user asked it to."""
    return bool(os.environ.get(VARIABLE))
