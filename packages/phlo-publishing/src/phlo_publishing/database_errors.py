"""What PostgreSQL's errors mean to whoever publishes."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import psycopg
from phlo.errors import ConfigurationError, DataQualityError, FatalRunError, ServiceError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from phlo.errors import PhloError

# By SQLSTATE or its first two characters (PostgreSQL documentation, appendix A).
_MEANINGS: dict[str, tuple[type[PhloError], str]] = {
    "42501": (
        ConfigurationError,
        "Grant it to the publishing role: CREATE on the database and the schema, and ownership "
        "of the published tables and of the views on them.",
    ),
    "2BP01": (
        ConfigurationError,
        "Remove what depends on the table, or build it on a view over the table.",
    ),
    "42P16": (
        ConfigurationError,
        "The mart's columns changed under a view: drop the view, publish, and create it anew.",
    ),
    "42703": (
        ConfigurationError,
        "The mart lost a column that an index, a constraint or a view on its table needs: "
        "drop that, publish, and create it anew.",
    ),
    "42830": (ConfigurationError, "Correct the foreign key on the published table."),
    "22": (DataQualityError, "Mend the value in the mart's model; PostgreSQL cannot hold it."),
    "23": (
        DataQualityError,
        "Mend the mart's rows, or drop the constraint from the published table.",
    ),
    **dict.fromkeys(
        ("08", "40", "53", "55", "57"), (ServiceError, "Try again when the server is well.")
    ),
}
_UNKNOWN = (FatalRunError, "The old tables are untouched; see PostgreSQL's log for more.")


@contextmanager
def database_errors(what: str) -> Iterator[None]:
    """Raise PostgreSQL's errors as phlo's.

    Args:
        what: What was being done, as the beginning of a sentence.

    Raises:
        ConfigurationError: Rights are missing, or something hangs on a table that changed.
        DataQualityError: A row breaks a constraint, or a value cannot be held.
        ServiceError: The server went away or is overloaded.
        FatalRunError: Anything else.
    """
    try:
        yield
    except psycopg.Error as exc:
        state = exc.sqlstate or "08"
        kind, hint = _MEANINGS.get(state) or _MEANINGS.get(state[:2]) or _UNKNOWN
        raise kind(f"{what} failed: {_sentence(exc)}.", hint=hint, sqlstate=state) from exc


def _sentence(exc: psycopg.Error) -> str:
    parts = (
        exc.diag.message_primary or str(exc).strip(),
        exc.diag.message_detail,
        exc.diag.context,
    )
    return "; ".join(part.strip().rstrip(".") for part in parts if part)
