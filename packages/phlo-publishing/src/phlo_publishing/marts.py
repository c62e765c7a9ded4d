"""Values of a publish: what is asked for, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa
    from phlo.names import TableName

Mode = Literal["replace", "merge"]


@dataclass(frozen=True, slots=True)
class Mart:
    """A mart to publish, at one snapshot.

    Attributes:
        source: The mart's table in the lake.
        snapshot_id: The snapshot that is published; ``None`` for a mart never written.
        schema: Schema of the published table.
        target: Name of the published table.
        source_schema: The mart's columns, with nullability and ``doc`` in their metadata.
        row_count: The mart's rows.
        lower_case: Whether the published columns have lower-case names.
    """

    source: TableName
    snapshot_id: int | None
    schema: str
    target: str
    source_schema: pa.Schema
    row_count: int
    lower_case: bool = False

    def published_key(self, options: PublishOptions) -> list[str]:
        """List the published names of the columns of the key."""
        return [self.column_name(column) for column in options.key.get(self.target, ())]

    def column_name(self, name: str) -> str:
        """Return the name that one of the mart's columns has in the published table."""
        return name.lower() if self.lower_case else name

    @property
    def published_name(self) -> str:
        """The published table with its schema."""
        return f"{self.schema}.{self.target}"

    @property
    def source_columns(self) -> list[list[str]]:
        """Name, type and comment of each of the mart's columns, as they are recorded."""
        return [
            [self.column_name(f.name), str(f.type), self.docs.get(f.name, "")]
            for f in self.source_schema
        ]

    @property
    def docs(self) -> dict[str, str]:
        """The comments of the mart's columns, of those that have one."""
        docs = {f.name: (f.metadata or {}).get(b"doc", b"").decode() for f in self.source_schema}
        return {name: doc for name, doc in docs.items() if doc}

    @property
    def required_columns(self) -> list[str]:
        """The mart's columns that never hold a null."""
        return [f.name for f in self.source_schema if not f.nullable]


@dataclass(frozen=True, slots=True)
class PublishedMart:
    """One table of a publish.

    Attributes:
        source: The mart read, ``namespace.table``.
        target: The published table, with its schema.
        row_count: Its rows.
        column_count: Its columns.
        bytes: Its size in PostgreSQL, indexes included.
        seconds: Wall time it took to fill; 0.0 when skipped.
        snapshot_id: The mart's snapshot; ``None`` for a mart never written.
        is_skipped: Whether that snapshot was published already.
        mode: ``replace`` for a whole new table, ``merge`` where only changed rows were written.
        changed_rows: Rows written or deleted; all of them for ``replace``, 0 when skipped.
    """

    source: str
    target: str
    row_count: int
    column_count: int
    bytes: int
    seconds: float
    snapshot_id: int | None
    is_skipped: bool = False
    mode: Mode = "replace"
    changed_rows: int = 0

    @property
    def rows_per_second(self) -> float:
        """Rows written or deleted per second; 0.0 when skipped."""
        return self.changed_rows / self.seconds if self.seconds else 0.0

    def as_skipped(self) -> PublishedMart:
        """Return the numbers of a publish that found this one done already."""
        return replace(self, seconds=0.0, is_skipped=True, changed_rows=0)


@dataclass(frozen=True, slots=True)
class PublishOptions:
    """How marts are published.

    Attributes:
        data_source: The domain that the marts belong to.
        run_id: Dagster's run id.
        batch_size: Rows sent at a time.
        force: Whether to publish a snapshot that is published already, and let a table shrink.
        max_shrink: Share of its rows (0 to 1) that a table may lose.
        mode: ``replace`` or ``merge``.
        key: Unique columns by published name: the primary key of a table that has none yet.
    """

    data_source: str
    run_id: str
    batch_size: int
    force: bool
    max_shrink: float
    mode: Mode = "replace"
    key: dict[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class PublishSpec:
    """How the marts of one publishing asset are published.

    Attributes:
        name: Name of the asset.
        tables: The mart by the name of its published table.
        data_source: The domain that the marts belong to.
        schema: Schema of the published tables; ``None``: that of the settings.
        mode: ``replace`` or ``merge``.
        key: Columns that are unique in the mart; none: what the mart's tests or contract say.
        max_shrink: Share of its rows that a table may lose; ``None``: that of the settings.
        lower_case: Whether columns get lower-case names, which SQL need not quote.
        max_age_hours: Hours after which the published copy is stale; ``None``: never.
        group: Dagster's group.
    """

    name: str
    tables: Mapping[str, str]
    data_source: str
    schema: str | None = None
    mode: Mode = "replace"
    key: tuple[str, ...] = ()
    max_shrink: float | None = None
    lower_case: bool = True
    max_age_hours: float | None = None
    group: str = "publishing"
