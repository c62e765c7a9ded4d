"""What plugins provide: a table store, a query engine, checks and suites.

Rows cross these borders as :mod:`pyarrow` values. A set of rows that is read more than once (keys
first, rows later) is a :class:`pyarrow.dataset.Dataset`: it is scanned again instead of held.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime, timedelta

    import pandas as pd
    import pyarrow as pa
    import pyarrow.dataset as ds
    from phlo.checks import CheckResult, Severity
    from phlo.names import Partition, TableName
    from phlo.values import (
        Damage,
        How,
        LoadAccount,
        MaintenanceReport,
        ProjectQuery,
        Published,
        Repair,
        Snapshot,
        SqlFinding,
        TableStatistics,
        TableSummary,
    )


class Staged(Protocol):
    """A load whose files are written and whose snapshot is in no catalog yet.

    Attributes:
        table: The table it is for.
        account: Where the load's rows would go.
        strategy: How it would be written (see :class:`phlo.values.Published`).
        has_changes: Whether publishing it would make a snapshot.
        base_snapshot_id: The table's head when the stage was planned; ``None``: empty or new.
        delivered: The rows that the load delivered as they would stand in the table: inserted,
            updated and unchanged ones, with the table's columns.
        deleted: The rows that delete their key and were not passed over, whether or not the table
            had it: the key, ``order_by`` and the ``_phlo_*`` times; ``None`` where none can.
    """

    @property
    def table(self) -> TableName: ...
    @property
    def account(self) -> LoadAccount: ...
    @property
    def strategy(self) -> str: ...
    @property
    def has_changes(self) -> bool: ...
    @property
    def base_snapshot_id(self) -> int | None: ...
    @property
    def delivered(self) -> ds.Dataset: ...
    @property
    def deleted(self) -> ds.Dataset | None: ...


class StoredTable(Protocol):
    """A published table, as it stood when it was loaded."""

    @property
    def name(self) -> TableName: ...
    @property
    def schema(self) -> pa.Schema: ...
    @property
    def snapshot_id(self) -> int | None: ...
    @property
    def row_count(self) -> int: ...
    @property
    def location(self) -> str: ...
    @property
    def properties(self) -> Mapping[str, str]: ...


@runtime_checkable
class TableStore(Protocol):
    """Keeps tables: stages loads, publishes them, tells their history."""

    def exists(self, table: TableName) -> bool:
        """Return whether the catalog has the table."""
        ...

    def list_tables(self) -> list[TableName]:
        """List all tables of the catalog, sorted."""
        ...

    def load(self, table: TableName) -> StoredTable:
        """Load the table as it stands now.

        Raises:
            TableNotFoundError: The catalog does not have it; names the nearest ones.
        """
        ...

    def stage(
        self,
        table: TableName,
        rows: ds.Dataset,
        how: How,
        *,
        schema: pa.Schema,
        partition_by: Sequence[tuple[str, str]] = (),
        account: LoadAccount | None = None,
        properties: Mapping[str, str] | None = None,
        summary: Mapping[str, str] | None = None,
        on_schema_change: str = "add_columns",
    ) -> Staged:
        """Write a load's files, with nothing in the catalog.

        A new table, or a change of its schema, is part of the stage.

        Args:
            table: The table loaded, existing or not.
            rows: The load. For a merge its keys are unique and not null. Columns are those of
                ``schema`` by name, in any order; a column missing here is null.
            how: Merge, append or replace.
            schema: The table's schema by contract: types, nullability, and in each field's
                metadata ``doc`` and ``renamed_from`` (both optional).
            partition_by: Pairs of column and Iceberg transform (``identity``, ``day``,
                ``bucket[16]`` ...), for a new table.
            account: What is counted already (extracted, deduplicated, quarantined); the store
                adds what it finds, and writes all of it in the snapshot's summary.
            properties: Table properties set by the publishing commit.
            summary: More entries for the snapshot's summary; their names start with ``phlo.``.
            on_schema_change: ``add_columns``; ``sync`` where the table's columns become exactly
                those of ``schema``, which takes away the others, and the values of a column whose
                type cannot become the wanted one; or ``fail`` where any difference is an error.

        Raises:
            SchemaChangeError: The table's columns cannot become those of ``schema``.
            FatalRunError: A key occurs twice in ``rows``, or is null.
            DataQualityError: A replaced partition holds rows of a later extraction.
        """
        ...

    def publish(
        self,
        staged: Sequence[Staged],
        *,
        reads: Mapping[TableName, int | None] | None = None,
        rebase: bool = False,
    ) -> list[Published]:
        """Make stages visible: all or none, one snapshot each.

        Args:
            staged: Stages of different tables.
            reads: Snapshots of other tables that checks relied on (``None``: the table has no
                rows yet); asserted in the same commit. A catalog that commits one table at a time
                cannot hold them: there they are compared right before the commit.
            rebase: Whether a stage may be moved onto a head that moved, where what came since
                holds none of its rows. Right only where its checks judged nothing but the rows
                delivered.

        Raises:
            MovedHeadError: A table is no longer as planned, and nothing was published: stage and
                audit anew. After any other error the outcome may be unknown, so the stages' files
                must stay.
        """
        ...

    def keep(self, staged: Staged, name: str) -> bool:
        """Keep a stage as branch ``name`` for inspection; ``False`` where that cannot be.

        Files of a stage that was kept, or may have been, must stay.

        A table that does not exist yet, or a stage that changes its schema, has no place for a
        branch: readers would see it.
        """
        ...

    def discard(self, staged: Staged) -> None:
        """Delete the files of a stage that will not be published."""
        ...

    def drop(self, table: TableName) -> None:
        """Take a table out of the catalog; its files stay where they are."""
        ...

    def maintain(self, table: TableName, *, dry_run: bool = False) -> MaintenanceReport:
        """Keep the table small: join small files, drop old snapshots, remove orphans.

        Args:
            table: The table.
            dry_run: Only say what would be done.

        Raises:
            TableNotFoundError: The catalog does not have it.
        """
        ...

    def repair(self, *, dry_run: bool = False, deep: bool = False) -> list[Repair]:
        """Find tables again whose folder was moved, or whose catalog was lost.

        Nothing may be loading meanwhile. A table that was dropped while its files are still there
        comes back when a lost catalog is rebuilt.

        Args:
            dry_run: Only say what would be repaired.
            deep: Whether every data file is opened to find out whether a table is whole.

        Returns:
            One value per table repaired, sorted; none where all tables can be opened.
        """
        ...

    def examine(self, table: TableName, *, deep: bool = False) -> list[Damage]:
        """List files of the table's newest snapshot that are missing or cut short.

        Args:
            table: The table.
            deep: Whether every data file is opened, rather than looking whether it is there and
                as long as it was written.

        Raises:
            TableNotFoundError: The catalog does not have the table.
        """
        ...

    def statistics(
        self, table: TableName, columns: Sequence[str], *, at: Staged | str | None = None
    ) -> TableStatistics:
        """Return what the table's own metadata proves about ``columns``, without reading rows."""
        ...

    def history(self, table: TableName) -> list[Snapshot]:
        """List the snapshots of ``main``, newest first."""
        ...


class Changes(Protocol):
    """The rows that differ between two snapshots of a table."""

    @property
    def row_bound(self) -> int:
        """Number of rows that must be read at most."""
        ...

    def upserts(self, key: Sequence[str]) -> pa.RecordBatchReader:
        """Read rows that are new or differ from the row of the same key before.

        Args:
            key: Columns that are unique in both snapshots.
        """
        ...

    def deleted_keys(self, key: Sequence[str]) -> pa.RecordBatchReader:
        """Read the keys of rows that are no longer there."""
        ...


@runtime_checkable
class ReadsChanges(Protocol):
    """A table store that finds changed rows by the files that changed; not every store does."""

    def changes(self, table: TableName, since: int, until: int) -> Changes | None:
        """Find the rows that differ between two snapshots.

        Args:
            table: The table.
            since: The earlier snapshot.
            until: The later snapshot.

        Returns:
            ``None`` where one of the snapshots is no longer kept.

        Raises:
            TableNotFoundError: The catalog does not have the table.
        """
        ...


@runtime_checkable
class SummarizesTables(Protocol):
    """A table store that tells of all tables at once what their metadata says."""

    def summaries(self) -> dict[TableName, TableSummary]:
        """Summarize the tables.

        Returns:
            By name; tables whose metadata is not as usual are left out, and have to be loaded.
        """
        ...


@runtime_checkable
class QueryEngine(Protocol):
    """Answers SQL over the store's tables. SQL is written in Trino's dialect everywhere.

    Attributes:
        dialect: sqlglot's name of the dialect the engine itself runs: ``duckdb`` or ``trino``.
    """

    @property
    def dialect(self) -> str: ...

    def query(
        self,
        sql: str,
        *,
        at: Mapping[TableName, Staged | str] | None = None,
        relations: Mapping[str, ds.Dataset] | None = None,
        parameters: Sequence[Any] | None = None,
    ) -> pa.RecordBatchReader:
        """Run one SELECT; all tables are read as of one look at the catalog.

        Args:
            sql: One statement in Trino's dialect; tables are ``namespace.table``.
            at: What to read instead of ``main``, by table: a stage (read as if it were
                published) or the name of a branch, a tag or a snapshot id.
            relations: Further tables by bare name, readable in ``sql`` like any other.
            parameters: Values for ``?`` placeholders, in order.

        Raises:
            QueryError: The SQL is wrong, is no SELECT, or reaches out of the warehouse.
            TableNotFoundError: A table is not in the catalog; names the nearest ones.
        """
        ...

    def columns(self, table: TableName, *, at: Staged | str | None = None) -> pa.Schema:
        """Return names and types of a table's columns, in order."""
        ...

    def tables(self, sql: str, *, relations: Iterable[str] = ()) -> set[TableName]:
        """Return the tables of the store that a SELECT reads, whether or not they exist.

        Args:
            sql: As ``query`` takes it; it is not run.
            relations: Bare names that are no tables.

        Raises:
            QueryError: ``query`` would refuse it unread.
        """
        ...


@runtime_checkable
class RemoteQueryEngine(Protocol):
    """A query engine in other processes, beside one of this process over the same store."""

    @property
    def embedded(self) -> QueryEngine:
        """The engine of this process, which reads stages and rows in memory."""
        ...


@runtime_checkable
class SqlExaminer(Protocol):
    """A query engine that tells beforehand what it refuses, and what other engines answer."""

    def examine(self, query: ProjectQuery) -> Sequence[SqlFinding]:
        """Examine a query without running it.

        Args:
            query: In Trino's dialect, or in the engine's own.

        Returns:
            What is refused or may differ; nothing where every engine answers alike.
        """
        ...


@runtime_checkable
class Check(Protocol):
    """One rule on one table, as a class that plugins register.

    How it is judged is the business of the package that runs checks; core and the packages
    that write tables see it through its suite alone.
    """

    @property
    def name(self) -> str: ...

    def execute(self, df: pd.DataFrame, context: Any) -> Any:
        """Judge a frame."""
        ...


class SuiteCheck(Protocol):
    """A check in a suite, as Dagster and audits need to know it."""

    @property
    def name(self) -> str: ...
    @property
    def description(self) -> str: ...
    @property
    def severity(self) -> Severity: ...
    @property
    def audits(self) -> bool:
        """Whether it takes part in audits (``FreshnessCheck`` does not)."""
        ...

    @property
    def is_row_rule(self) -> bool:
        """Whether in partition scope it judges nothing but the rows delivered.

        Then a load stays judged when another load's commit moves the table's head.
        """
        ...


@runtime_checkable
class CheckSuite(Protocol):
    """The checks of one table, as ``@phlo_quality`` declares them.

    Attributes:
        name: The decorated function's name.
        table: The table judged.
        checks: In the order declared; names are unique.
        blocking: Whether a failed check of severity error withholds the load.
        asset_key: Key of an asset outside the project; ``None``: found by table.
        scope: ``partition``, ``table``, or a time that counts back from the partition's end.
        defined_at: File and line, for messages.
    """

    @property
    def name(self) -> str: ...
    @property
    def table(self) -> TableName: ...
    @property
    def checks(self) -> Sequence[SuiteCheck]: ...
    @property
    def blocking(self) -> bool: ...
    @property
    def asset_key(self) -> tuple[str, ...] | None: ...
    @property
    def scope(self) -> str | timedelta: ...
    @property
    def defined_at(self) -> str: ...

    def evaluate(
        self,
        engine: QueryEngine,
        store: TableStore,
        *,
        partition: Partition | None = None,
        at: Mapping[TableName, Staged | str] | None = None,
        only: Sequence[str] | None = None,
        context: Any = None,
    ) -> list[CheckResult]:
        """Judge the table, or a stage of it.

        Args:
            engine: Answers the checks' SQL.
            store: Answers what metadata proves.
            partition: The run's partition, if it has one.
            at: Stages to read instead of published tables. Where the suite's own table is
                among them this is an audit: partition scope means the delivered rows, and
                checks that take no part in audits are left out.
            only: Names of the checks to run; ``None`` runs all.
            context: Handed to custom checks.

        Returns:
            One result per check run, in the order declared. A check that cannot run is a
            result with that status, never an exception.
        """
        ...


@runtime_checkable
class KnowsCatalogTime(Protocol):
    """A table store whose catalog has a clock of its own, as a database server has."""

    def catalog_time(self) -> datetime | None:
        """Return the catalog's time now; ``None`` where it has no clock but this machine's."""
        ...


class RunResult(Protocol):
    """What came of runs; a notebook shows it as a table, a terminal as text.

    Attributes:
        is_ok: Whether every run succeeded and no check of severity error failed.
    """

    @property
    def is_ok(self) -> bool: ...
    def as_dict(self) -> dict[str, Any]:
        """Return the values for JSON, as the command prints them with ``--json``."""
        ...


class ProjectRunner(Protocol):
    """Runs assets of the current project (see :mod:`phlo.lake`, which documents the arguments)."""

    def materialize(
        self,
        selection: Sequence[str],
        *,
        partition: str | None,
        from_staged: str | None,
        branch: str | None,
        progress: bool,
        raise_on_error: bool,
    ) -> RunResult: ...

    def backfill(
        self,
        selection: Sequence[str],
        *,
        start_date: str | None,
        end_date: str | None,
        partitions: Sequence[str],
        missing: bool,
        resume: bool,
        parallel: int,
        delay_seconds: float,
        branch: str | None,
        progress: bool,
        raise_on_error: bool,
    ) -> RunResult: ...

    def plan(
        self,
        selection: Sequence[str],
        *,
        partition: str | None,
        keep_hours: float,
        progress: bool,
        raise_on_error: bool,
    ) -> RunResult: ...
