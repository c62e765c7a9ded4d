"""What examinations of a project find."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """What one examination found.

    Attributes:
        subject: What was examined.
        status: ``note`` is something that could be better and hinders nothing.
        message: What was found.
        hint: What to do; empty where all is well.
    """

    subject: str
    status: Literal["ok", "note", "failed"]
    message: str
    hint: str = ""
