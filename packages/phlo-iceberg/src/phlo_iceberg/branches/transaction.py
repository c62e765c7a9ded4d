"""Send a transaction on branches to the catalog's database until its outcome is known."""

from __future__ import annotations

import logging
import time
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING

from phlo.errors import MovedHeadError, UnknownCommitError
from phlo.interrupts import uninterrupted
from sqlalchemy import insert
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.orm import Session
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt

from phlo_iceberg.branches.records import TRANSACTIONS
from phlo_iceberg.commit.settle import ATTEMPTS, WAIT, NotSentError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pyiceberg.catalog.sql import SqlCatalog

logger = logging.getLogger(__name__)


class RefusedError(Exception):
    """The database is not as the transaction needs it: nothing of it landed."""


NOTHING_LANDED = (RefusedError, MovedHeadError)
"""Errors of a transaction after which no catalog names the files that were written for it."""


@contextmanager
def discarding(
    discard: Callable[[], None], errors: type[BaseException] | tuple[type[BaseException], ...]
) -> Iterator[None]:
    """Discard files where the block fails by one of these errors.

    Around a transaction these are ``NOTHING_LANDED`` alone: an interrupt, for instance, is raised
    after the transaction, which may have landed.
    """
    try:
        yield
    except errors:
        discard()
        raise


def now_ms() -> int:
    """Return the time in milliseconds, as Iceberg writes it."""
    return time.time_ns() // 1_000_000


def send_transaction(catalog: SqlCatalog, what: str, changes: Callable[[Session], None]) -> None:
    """Send changes in one transaction; send them again while their outcome is unknown.

    Each transaction writes a token of its own. An attempt whose token is there already is of a
    transaction that has landed, so that all of it lands at most once.

    Args:
        catalog: Its database is written.
        what: What the transaction does, for messages.
        changes: Makes the changes in a session, or raises ``RefusedError``.

    Raises:
        RefusedError: Nothing landed, and nothing can land any more.
        MovedHeadError: The database could not be reached, and nothing landed.
        UnknownCommitError: The database did not answer. No file that was written may be deleted.
    """
    attempt = _Attempt(catalog, what, changes)
    try:
        with uninterrupted():
            Retrying(
                retry=retry_if_exception_type((SQLAlchemyError, NotSentError)),
                stop=stop_after_attempt(ATTEMPTS),
                wait=WAIT,
                reraise=True,
            )(attempt.send)
    except (SQLAlchemyError, NotSentError) as exc:
        cause = exc.__cause__ or exc
        if attempt.may_have_landed:
            raise UnknownCommitError(
                f"The catalog did not say whether it could {what} ({type(cause).__name__}). "
                "All files are kept.",
                hint="Look at the catalog's server. When it answers again, do it again.",
                snapshot_ids={},
            ) from exc
        raise MovedHeadError(f"The catalog could not {what}: {type(cause).__name__}.") from cause


class _Attempt:
    """One transaction, sent until it is known to have landed or not."""

    def __init__(self, catalog: SqlCatalog, what: str, changes: Callable[[Session], None]) -> None:
        self._catalog, self._what, self._changes = catalog, what, changes
        self._token, self.may_have_landed = str(uuid.uuid4()), False

    def send(self) -> None:
        """Send it once."""
        try:
            with Session(self._catalog.engine) as session:
                if not self._prepare(session):
                    return
                self.may_have_landed = True
                session.commit()
        except (SQLAlchemyError, NotSentError) as exc:
            logger.warning("Could not %s yet (%s).", self._what, type(exc).__name__)
            # A connection that failed may still show its own uncommitted rows: the next is new.
            self._catalog.engine.dispose()
            raise

    def _prepare(self, session: Session) -> bool:
        """Make the changes; ``False`` where an earlier attempt has landed."""
        try:
            token = insert(TRANSACTIONS).values(token=self._token, at_ms=now_ms())
            try:
                session.execute(token)
            except IntegrityError:
                if self.may_have_landed:
                    return False
                raise
            self._changes(session)
        except SQLAlchemyError as exc:
            raise NotSentError from exc
        return True
