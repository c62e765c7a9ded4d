"""Names of tables, partitions, columns, table properties and run tags."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Self

from phlo.errors import InvalidNameError, InvalidPartitionError

METADATA_PREFIXES = ("_dlt_", "_phlo_")
"""Columns whose name starts so describe a load; they are never content of a row."""

LOAD_ID_COLUMN = "_dlt_load_id"
ROW_ID_COLUMN = "_dlt_id"
INGESTED_AT_COLUMN = "_phlo_ingested_at"
PARTITION_DATE_COLUMN = "_phlo_partition_date"
RUN_ID_COLUMN = "_phlo_run_id"

STRATEGY_PROPERTY = "phlo.strategy"
"""Table property: how the last load was written, ``merge``, ``append`` or ``replace``.

A merge may move a row to the loading partition, so in such a table ``_phlo_partition_date`` does
not tell to which day a row belongs.
"""

FROM_STAGED_TAG = "phlo/from-staged"
"""Tag of a run that loads what an earlier run extracted: that run's id, or how it begins."""

FROM_QUARANTINE_TAG = "phlo/from-quarantine"
"""Tag of a run that loads rows out of quarantine again: the run that put them there."""

MAIN = "main"
"""The ref that readers see unless they name another."""


def is_metadata_column(name: str) -> bool:
    """Return whether a column describes the load rather than the row.

    >>> is_metadata_column("_phlo_run_id"), is_metadata_column("amount")
    (True, False)
    """
    return name.startswith(METADATA_PREFIXES)


@dataclass(frozen=True, order=True, slots=True)
class TableName:
    """A table's name in the catalog: ``namespace.name``.

    Raises:
        InvalidNameError: A part is empty or holds a dot, a slash or a control character.

    Example:
        >>> str(TableName.parse("bronze.events"))
        'bronze.events'
    """

    namespace: str
    name: str

    def __post_init__(self) -> None:
        for part in (self.namespace, self.name):
            if not part or re.search(r"[./\\\x00-\x1f]", part):
                raise InvalidNameError(
                    f"{part!r} cannot be part of a table name.",
                    got=f"{self.namespace!r}, {self.name!r}",
                    expected="two parts without dots, slashes and control characters",
                    hint='Write the table as "namespace.name", such as "bronze.events".',
                )

    @classmethod
    def parse(cls, text: str, *, default_namespace: str | None = None) -> Self:
        """Read ``namespace.name``, or a bare name where ``default_namespace`` is given."""
        namespace, dot, name = text.partition(".")
        if dot:
            return cls(namespace, name)
        if default_namespace is not None:
            return cls(default_namespace, text)
        raise InvalidNameError(
            f"{text!r} is not a table identifier.",
            got=repr(text),
            expected='"namespace.name"',
            hint=f'Name the namespace too, such as "bronze.{text}".',
        )

    def __str__(self) -> str:
        return f"{self.namespace}.{self.name}"


@dataclass(frozen=True, order=True, slots=True)
class Partition:
    """One partition of an asset, named by its first day.

    Attributes:
        date: First day of the partition, in the project's time zone.
        days: Length in days: 1 for daily, 7 for weekly; a month has its own number.

    Example:
        >>> Partition.parse("2025-01-15").key
        '2025-01-15'
    """

    date: date
    days: int = 1

    @classmethod
    def parse(cls, key: str) -> Self:
        """Read a partition key, ``YYYY-MM-DD``.

        Raises:
            InvalidPartitionError: The text is no such date.
        """
        try:
            return cls(datetime.strptime(key, "%Y-%m-%d").date())
        except ValueError as exc:
            raise InvalidPartitionError(
                f"{key!r} is not a partition key.",
                got=repr(key),
                expected="a date written YYYY-MM-DD",
                hint="Write the day as in 2025-01-15.",
            ) from exc

    @property
    def key(self) -> str:
        """The partition key, ``YYYY-MM-DD``."""
        return self.date.isoformat()

    @property
    def end(self) -> date:
        """The first day after the partition."""
        return self.date + timedelta(days=self.days)

    def __str__(self) -> str:
        return self.key
