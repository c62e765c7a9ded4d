"""Send a commit until its outcome is known."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from phlo.errors import MovedHeadError, PhloError, RetriableError, UnknownCommitError
from pydantic import ValidationError
from pyiceberg.exceptions import (
    CommitFailedException,
    CommitStateUnknownException,
    NoSuchTableError,
    ServerError,
    ServiceUnavailableError,
    TableAlreadyExistsError,
)
from sqlalchemy.exc import SQLAlchemyError
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from phlo_iceberg.commit.plan import outcome_of
from phlo_iceberg.service_errors import explain, request_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pyiceberg.catalog import Catalog

    from phlo_iceberg.commit.plan import Commit

logger = logging.getLogger(__name__)

REFUSALS = (CommitFailedException, NoSuchTableError, TableAlreadyExistsError)
"""Answers of a catalog that say for sure that this request landed nothing."""

_UNKNOWN = (
    SQLAlchemyError,
    CommitStateUnknownException,
    ServerError,
    ServiceUnavailableError,
    ValidationError,  # of an answer that was cut short
)

ATTEMPTS = 6
WAIT = wait_random_exponential(multiplier=0.2, max=5)


def unknown_errors() -> tuple[type[Exception], ...]:
    """Return the errors after which a request may have landed, or may still land."""
    return (*_UNKNOWN, *request_errors())


class NotSentError(Exception):
    """The database failed before it was told to commit: nothing can have landed."""

    def explained(self) -> PhloError | None:
        """Return why trying again is of no use, as with a read-only file; ``None``: it may be."""
        explained = explain(self)
        if isinstance(explained, PhloError) and not isinstance(explained, RetriableError):
            return explained
        return None


def settle(catalog: Catalog, commits: Sequence[Commit], send: Callable[[], None]) -> None:
    """Send commits of one transaction; send them again while their outcome is unknown.

    A commit is a compare-and-swap, so that sending it twice lands it at most once: where the first
    one landed, or lands while the second waits for its locks, the second is refused, and the
    table has the first one's snapshot.

    Args:
        catalog: Asked whether a refused commit had landed before.
        commits: The tables' parts, for that question and for the error.
        send: Sends all of them, once.

    Raises:
        MovedHeadError: Nothing landed, and nothing can land any more.
        ConfigurationError: Nothing landed: the catalog may not be written.
        ResourceError: Nothing landed: the catalog's disk is full.
        UnknownCommitError: The catalog did not answer. No file of the commits may be deleted.
    """
    state = _Settling(catalog, commits)
    try:
        Retrying(
            retry=retry_if_exception(_may_pass),
            stop=stop_after_attempt(ATTEMPTS),
            wait=WAIT,
            reraise=True,
        )(state.attempt, send)
    except NotSentError as exc:
        if state.may_have_landed:
            raise _unknown_error(commits, exc) from exc
        cause = exc.__cause__ or exc
        if (explained := exc.explained()) is not None:
            raise explained from cause
        raise MovedHeadError(
            f"The catalog did not take the commit to {_names(commits)}: {type(cause).__name__}."
        ) from cause
    except unknown_errors() as exc:
        raise _unknown_error(commits, exc) from exc


def _may_pass(error: BaseException) -> bool:
    if isinstance(error, NotSentError):
        return error.explained() is None
    return isinstance(error, unknown_errors())


class _Settling:
    """Whether an earlier request of one commit may have landed."""

    def __init__(self, catalog: Catalog, commits: Sequence[Commit]) -> None:
        self._catalog, self._commits, self.may_have_landed = catalog, commits, False

    def attempt(self, send: Callable[[], None]) -> None:
        """Send once; a refusal after an unknown outcome is looked into."""
        try:
            send()
        except REFUSALS as exc:
            if self.may_have_landed:
                outcome = outcome_of(self._catalog, self._commits)
                if outcome == "landed":
                    logger.info("The commit to %s had landed.", _names(self._commits))
                    return
                if outcome == "unknown":
                    raise _unknown_error(self._commits, exc) from exc
            raise MovedHeadError(
                f"{_names(self._commits)}: another writer was first. {exc}"
            ) from exc
        except unknown_errors() as exc:
            self.may_have_landed = True
            logger.warning(
                "The outcome of the commit to %s is unknown (%s); it is looked into.",
                _names(self._commits),
                type(exc).__name__,
            )
            raise


def _unknown_error(commits: Sequence[Commit], exc: Exception) -> UnknownCommitError:
    snapshots = ", ".join(f"{c.name} {c.snapshot_id}" for c in commits)
    return UnknownCommitError(
        f"The catalog did not say whether the commit to {_names(commits)} landed "
        f"({type(exc).__name__}). All of its files are kept. Snapshots: {snapshots}.",
        hint="Look at the catalog's server. When it answers again, run the load again: "
        "`phlo catalog history TABLE` shows whether the snapshot is there.",
        snapshot_ids={c.name: c.snapshot_id for c in commits},
    )


def _names(commits: Sequence[Commit]) -> str:
    return ", ".join(str(commit.name) for commit in commits)
