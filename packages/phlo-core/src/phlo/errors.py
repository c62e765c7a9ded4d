"""The exception tree: classes by what the reader does next."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable


def nearest(name: str, known: Iterable[str]) -> list[str]:
    """Return at most three known names that look like ``name``, the most alike first.

    >>> nearest("evnt_id", ["value", "event_id"])
    ['event_id']
    """
    return difflib.get_close_matches(name, list(known), n=3, cutoff=0.6)


def one_of(known: Iterable[str], near: Iterable[str] = ()) -> str:
    """Say which names are expected: the nearest of them, or all, at most 20.

    >>> one_of(["b", "a"]), one_of(["orders", "users"], ["orders"])
    ("one of ['b', 'a']", "one of ['orders'] (the nearest of 2)")
    """
    names, nearest_names = list(known), list(near)
    if nearest_names:
        is_all = set(nearest_names) >= set(names)
        return f"one of {nearest_names}" + ("" if is_all else f" (the nearest of {len(names)})")
    return f"one of {names[:20]}" + (f" (the first of {len(names)})" if len(names) > 20 else "")


def is_exit_or_panic(error: BaseException) -> bool:
    """Return whether code gave up by an error that is no ``Exception`` and no interrupt.

    ``sys.exit()`` raises one, and so does a library written in Rust (its ``PanicException``). What
    calls code of a user or a source takes it for that code's failure: nobody stopped the run.

    >>> is_exit_or_panic(SystemExit(0)), is_exit_or_panic(KeyboardInterrupt())
    (True, False)
    """
    return isinstance(error, SystemExit) or type(error).__name__ == "PanicException"


class PhloError(Exception):
    """Root of all errors phlo raises on purpose.

    Args:
        message: What is wrong, with the name, and where; ends with a full stop.
        got: The offending value, as text.
        expected: Values or rule that would be right.
        hint: The one edit or command that fixes it.
        **parts: What the message names, each also an attribute (``error.column``).

    Example:
        >>> print(ConfigurationError("cron is wrong.", got="'x'", expected="5 fields", hint="Fix."))
        cron is wrong.
        Got 'x'; expected 5 fields.
        <BLANKLINE>
        Hint: Fix.
        >>> print(ConfigurationError("A query is one SELECT.", got="", expected="a statement"))
        A query is one SELECT.
        Got nothing; expected a statement.
    """

    def __init__(
        self,
        message: str,
        *,
        got: str | None = None,
        expected: str | None = None,
        hint: str | None = None,
        **parts: Any,
    ) -> None:
        self.message, self.got, self.expected, self.hint = message, got, expected, hint
        self.parts = parts
        for name, value in parts.items():
            setattr(self, name, value)
        super().__init__(message)

    def __str__(self) -> str:
        text = self.message
        if self.got is not None and self.expected is not None:
            text += f"\nGot {self.got or 'nothing'}; expected {self.expected}."
        elif self.expected is not None:
            text += f"\nExpected {self.expected}."
        if self.hint:
            text += f"\n\nHint: {self.hint}"
        return text

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"{type(self).__name__} has no part {name!r}")


class ConfigurationError(PhloError):
    """Edit code or settings."""


class InvalidNameError(ConfigurationError, ValueError):
    """A table, column or asset name cannot be used."""


class InvalidPartitionError(ConfigurationError, ValueError):
    """A partition key is malformed or outside the asset's partitions."""


class InvalidArgumentError(ConfigurationError, ValueError):
    """A decorator or check was given an argument it cannot take."""


class ColumnNotFoundError(ConfigurationError, KeyError):
    """A column is named that the table or schema does not have."""

    __str__ = PhloError.__str__


class TableNotFoundError(ConfigurationError, KeyError):
    """A table is named that the catalog does not have."""

    __str__ = PhloError.__str__


class UnreadableTableError(ConfigurationError, FileNotFoundError):
    """The catalog names a table whose metadata is not where it says."""

    __str__ = PhloError.__str__


class UnsupportedTableError(ConfigurationError):
    """A table was made by another system with what phlo cannot read, or cannot write."""


class AssetNotFoundError(ConfigurationError, KeyError):
    """No asset has the name asked for, or makes the table asked for."""

    __str__ = PhloError.__str__


class UnsupportedTypeError(ConfigurationError, TypeError):
    """A type has no counterpart where it is to go."""


class SchemaChangeError(ConfigurationError):
    """A schema change that Iceberg does not allow, or that the asset refuses."""


class QueryError(ConfigurationError):
    """SQL that cannot be parsed, names what is not there, or reaches out of the warehouse."""


class MissingProviderError(ConfigurationError):
    """No installed plugin provides what is asked for."""


class SingleTableCatalogError(ConfigurationError):
    """The catalog commits one table at a time, so several cannot be published together."""


class UnsupportedCatalogError(ConfigurationError):
    """The kind of catalog cannot do what is asked for."""


class BranchNotFoundError(ConfigurationError, KeyError):
    """A branch is named that the lake does not have."""

    __str__ = PhloError.__str__


class BranchExistsError(ConfigurationError):
    """A branch of that name is there already."""


class BranchInUseError(ConfigurationError):
    """Other branches were made from this one, so it cannot be deleted."""


class PlanNotFoundError(ConfigurationError, KeyError):
    """A plan is named that is not there: it was applied, discarded, or never made."""

    __str__ = PhloError.__str__


class RunNotFoundError(ConfigurationError, KeyError):
    """A run is named that published nothing which the tables still hold."""

    __str__ = PhloError.__str__


class DiscoveryError(PhloError):
    """Fix a workflow file or a plugin."""


class WorkflowImportError(DiscoveryError, ImportError):
    """A module under ``workflows/`` fails to import."""


class DuplicateAssetError(DiscoveryError):
    """Two assets have one key, or two make one table."""


class PluginError(DiscoveryError):
    """A plugin cannot be loaded."""


class DataQualityError(PhloError):
    """Fix the data."""


class ContractError(DataQualityError):
    """Rows break the schema they promised, and the load does not tolerate it."""


class AuditError(DataQualityError):
    """A blocking check failed, or could not run, on the staged load; nothing was published."""


class RetriableError(PhloError):
    """Try again."""


class MovedHeadError(RetriableError):
    """The table moved since the stage was planned; plan and audit anew."""


class UnknownCommitError(RetriableError):
    """The catalog did not say whether a commit landed; every file of it is kept.

    ``error.snapshot_ids`` has the snapshot of each table: whether a table has it tells the outcome.
    """


class MovedCursorError(RetriableError):
    """Another load moved the source's cursor since this one was extracted; extract anew."""


class SourceError(RetriableError):
    """The source of an asset failed for a reason that may pass: a connection, a timeout, a 503."""


class ServiceError(RetriableError, ConnectionError):
    """A server that phlo needs cannot be reached, does not start or is busy."""


class FatalRunError(PhloError):
    """Stop: trying again would fail the same way."""


class RunFailedError(FatalRunError):
    """A run, or a check in it, failed; the attribute ``result`` tells all of it."""


class ResourceError(FatalRunError):
    """The machine lacks disk space or memory."""


class BrokenSourceError(FatalRunError):
    """The source of an asset failed in a way that only an edit cures, such as a 404 or a typo."""


class BranchConflictError(FatalRunError):
    """Tables were changed on both sides of a branch, so it cannot be published as it is.

    ``error.conflicts`` has one :class:`phlo.branches.TableChange` per table.
    """


class PlanError(FatalRunError):
    """A plan cannot be applied."""


class UndoError(FatalRunError):
    """A run cannot be taken back.

    ``error.undo`` is the :class:`phlo.undo.Undo` that was planned.
    """


class MigrationError(FatalRunError):
    """A table cannot be copied: the target has other content, or the copy differs.

    The target shows nobody a table that was not copied whole; run the migration again.
    """


class ReplayError(FatalRunError):
    """Rows kept from an earlier run cannot be loaded again."""


class QueryTimeoutError(FatalRunError, TimeoutError):
    """A query took longer than it may."""


class QueryMemoryError(FatalRunError, MemoryError):
    """A query needs more memory than it may take."""


class LoadTimeoutError(RetriableError, TimeoutError):
    """A load took longer than its ``max_runtime_seconds``."""
