"""What a database must do to be published to: load into new, carry over, swap.

:class:`phlo_publishing.postgresql.target.PostgresTarget` is the implementation; another database
can come without a change to those who call :mod:`phlo_publishing.publish`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    import pyarrow as pa
    from phlo.protocols import Changes
    from psycopg import Connection

    from phlo_publishing.marts import Mart, PublishedMart, PublishOptions


class Connects(Protocol):
    """The resource ``postgres``, as far as a publish needs it."""

    def connect(self, **options: Any) -> Connection[Any]:
        """Open a connection with psycopg."""
        ...


class PublishTransaction(Protocol):
    """One publish of several tables; all of it or nothing becomes visible."""

    def find_current(self, mart: Mart) -> PublishedMart | None:
        """Return the record of a publish that the table still holds as it was written.

        ``None`` where the mart has other rows or columns, or somebody changed the table.

        Raises:
            ConfigurationError: The table has what a publish would lose; names it.
        """
        ...

    def merge(
        self, mart: Mart, find_changes: Callable[[int], Changes | None]
    ) -> PublishedMart | None:
        """Write only the rows that changed since the last publish.

        Args:
            mart: The mart.
            find_changes: Finds the rows that changed since a snapshot of the mart.

        Returns:
            ``None`` where that cannot be, would cost more than a whole new table, or would not
            lead to the rows that one has.
        """
        ...

    def load(self, mart: Mart, reader: pa.RecordBatchReader) -> Any:
        """Load rows into a new table that nobody sees, and return it.

        Raises:
            DataQualityError: The table would lose more rows than it may.
        """
        ...

    def carry_over(self, loaded: Sequence[Any]) -> None:
        """Give new tables the indexes, keys and all else that the old ones have."""
        ...

    def swap(self, loaded: Sequence[Any]) -> list[PublishedMart]:
        """Put new tables in the place of the old ones, and record that."""
        ...


class PublishTarget(Protocol):
    """A database that marts are published to."""

    def transaction(
        self, marts: Sequence[Mart], options: PublishOptions
    ) -> AbstractContextManager[PublishTransaction]:
        """Open a publish; nobody else publishes these tables until it ends.

        Where the answer to its commit is lost, the outcome is found out before this returns.

        Raises:
            ServiceError: Another publish of a table does not end, or the database went away.
        """
        ...
