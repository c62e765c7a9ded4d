"""The project's tables and runs, for code and notebooks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from phlo.branches import check_branch_name
from phlo.config import get_settings
from phlo.env_file import load_env_file
from phlo.errors import MissingProviderError
from phlo.installing import install_command
from phlo.names import TableName
from phlo.plugins import plugin_manager
from phlo.protocols import RemoteQueryEngine
from phlo.sql import sql

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    import polars as pl
    import pyarrow as pa
    from phlo.config import Settings
    from phlo.protocols import ProjectRunner, QueryEngine, RunResult, TableStore
    from phlo.values import Snapshot

load_env_file()  # a notebook may import the project's code before it asks for a table


@dataclass(frozen=True)
class Lake:
    """The table store and the query engine of a project."""

    store: TableStore
    engine: QueryEngine

    @property
    def embedded_engine(self) -> QueryEngine:
        """The engine of this process: it reads stages, and needs no server."""
        return self.engine.embedded if isinstance(self.engine, RemoteQueryEngine) else self.engine


@cache
def open_lake() -> Lake:
    """Open the lake of the current project, once per process.

    Raises:
        MissingProviderError: No plugin provides a table store or a query engine.
    """
    return build_lake(get_settings())


def reset_lake() -> None:
    """Forget the open lake; tests use it after changing settings."""
    open_lake.cache_clear()
    open_branch.cache_clear()


@cache
def open_branch(name: str) -> Lake:
    """Open the lake of the current project on a branch, once per process.

    Raises:
        BranchNotFoundError: The lake has no such branch.
    """
    return build_branch(name)


def build_branch(name: str) -> Lake:
    """Open the lake of the current project on a branch anew, for one that comes and goes.

    Raises:
        BranchNotFoundError: The lake has no such branch.
    """
    return build_lake(get_settings().model_copy(update={"branch": check_branch_name(name)}))


def build_lake(settings: Settings) -> Lake:
    """Ask the plugins for a table store and a query engine."""
    hook = plugin_manager().hook
    store = hook.phlo_provide_table_store(settings=settings)
    if store is None:
        raise MissingProviderError(
            "No plugin provides a table store.", hint=install_command("phlo-iceberg")
        )
    return _with_engine(settings, store)


def on_branch(lake: Lake, name: str) -> Lake:
    """Open a lake on a branch, by the connections of its store, which has branches."""
    store: Any = lake.store
    settings = get_settings().model_copy(update={"branch": check_branch_name(name)})
    return _with_engine(settings, store.on_branch(name))


def _with_engine(settings: Settings, store: TableStore) -> Lake:
    hook = plugin_manager().hook
    engine = hook.phlo_provide_query_engine(settings=settings, store=store)
    if engine is None:
        raise MissingProviderError(
            "No plugin provides a query engine.", hint=install_command("phlo-iceberg")
        )
    return Lake(store, engine)


class Rows:
    """Rows of a query, in the form you like; each method runs the query anew."""

    def __init__(self, lake: Lake, statement: str, parameters: Sequence[Any] | None) -> None:
        self._lake, self._statement, self._parameters = lake, statement, parameters

    def to_arrow(self) -> pa.Table:
        """Read all rows as an Arrow table."""
        return self._lake.engine.query(self._statement, parameters=self._parameters).read_all()

    def to_pandas(self) -> pd.DataFrame:
        """Read all rows as a pandas frame."""
        return self.to_arrow().to_pandas()

    def to_polars(self) -> pl.DataFrame:
        """Read all rows as a polars frame; needs ``pip install polars``."""
        import polars as pl

        frame = pl.from_arrow(self.to_arrow())
        assert isinstance(frame, pl.DataFrame)
        return frame


class LakeTable(Rows):
    """A published table."""

    def __init__(self, lake: Lake, name: TableName) -> None:
        lake.store.load(name)  # a wrong name is an error here, not at the first read
        super().__init__(lake, sql("SELECT * FROM {t}", t=name), None)
        self.name = name

    def history(self) -> list[Snapshot]:
        """List the committed snapshots, newest first."""
        return self._lake.store.history(self.name)


def table(name: str, *, branch: str | None = None) -> LakeTable:
    """Open a published table of the current project.

    Args:
        name: ``namespace.table``.
        branch: Branch of the lake to read; by default that of the settings.

    Raises:
        TableNotFoundError: The catalog does not have it.
        BranchNotFoundError: The lake has no such branch.
    """
    lake = open_lake() if branch is None else open_branch(branch)
    return LakeTable(lake, TableName.parse(name))


def query(statement: str, parameters: Sequence[Any] | None = None) -> Rows:
    """Prepare a SELECT over the current project's tables, in Trino's dialect.

    Args:
        statement: One SELECT.
        parameters: Values for ``?`` placeholders, in order.
    """
    return Rows(open_lake(), statement, parameters)


def materialize(
    *selection: str,
    partition: str | None = None,
    from_staged: str | None = None,
    branch: str | None = None,
    progress: bool = True,
    raise_on_error: bool = True,
) -> RunResult:
    """Make assets of the current project now, in this process, as ``phlo materialize`` does.

    Workflow files that changed since the last call are read again.

    Args:
        selection: Names as on the command line: an asset, its table or its function, with ``+``
            for what is up- or downstream, or Dagster's selection syntax such as ``"tag:dbt"``.
        partition: Partition to make; the newest where it is not given.
        from_staged: Load what this failed run extracted, instead of asking the sources again.
        branch: Branch of the lake to read and write; by default that of the settings.
        progress: Print a line as each asset ends.
        raise_on_error: Raise where the run or a check of severity error fails; else the result
            tells of it.

    Raises:
        RunFailedError: The run or a check failed; ``error.result`` tells all of it.
        AssetNotFoundError: A name means nothing; proposes the nearest.
        InvalidPartitionError: An asset has no such partition.
        KeyboardInterrupt: Somebody stopped the run, which is recorded as canceled.
    """
    return _runner().materialize(
        selection,
        partition=partition,
        from_staged=from_staged,
        branch=branch,
        progress=progress,
        raise_on_error=raise_on_error,
    )


def backfill(
    *selection: str,
    start_date: str | None = None,
    end_date: str | None = None,
    partitions: Sequence[str] = (),
    missing: bool = False,
    resume: bool = False,
    parallel: int = 1,
    delay_seconds: float = 0.0,
    branch: str | None = None,
    progress: bool = True,
    raise_on_error: bool = True,
) -> RunResult:
    """Make many partitions, one run each, as ``phlo backfill`` does.

    What finished is written down as it happens: after an interrupt or a failure,
    ``backfill(resume=True)`` or ``phlo backfill --resume`` runs only the rest.

    Args:
        selection: Names of assets, as for :func:`materialize`.
        start_date: First day, ``YYYY-MM-DD``, included.
        end_date: Last day, included.
        partitions: The partitions themselves, instead of the two days.
        missing: Partitions never made, or made before they ended.
        resume: Run what the last backfill did not finish; takes no selection.
        parallel: Runs at once, each in a process of its own.
        delay_seconds: Pause between two partitions.
        branch: Branch of the lake to read and write; by default that of the settings.
        progress: Print a line as each partition ends.
        raise_on_error: Raise where a partition fails; the others are made all the same.

    Raises:
        RunFailedError: A partition failed; ``error.result`` tells which are left.
        ConfigurationError: The arguments contradict one another, or no asset has partitions.
        InvalidPartitionError: An asset has no such partition.
        KeyboardInterrupt: Somebody stopped it.
    """
    return _runner().backfill(
        selection,
        start_date=start_date,
        end_date=end_date,
        partitions=partitions,
        missing=missing,
        resume=resume,
        parallel=parallel,
        delay_seconds=delay_seconds,
        branch=branch,
        progress=progress,
        raise_on_error=raise_on_error,
    )


def plan(
    *selection: str,
    partition: str | None = None,
    keep_hours: float = 72.0,
    progress: bool = True,
    raise_on_error: bool = True,
) -> RunResult:
    """Run assets on a branch of their own, and say what that would change, as ``phlo plan`` does.

    ``phlo apply`` with the plan's id publishes exactly that.

    Args:
        selection: Names of assets, as for :func:`materialize`.
        partition: Partition to make; the newest where it is not given.
        keep_hours: Hours for which the plan can be applied.
        progress: Print a line as each asset ends.
        raise_on_error: Raise where the run or a check of severity error fails.

    Raises:
        RunFailedError: The run or a check failed, so that there is nothing to apply.
        AssetNotFoundError: A name means nothing; proposes the nearest.
        KeyboardInterrupt: Somebody stopped the run.
    """
    return _runner().plan(
        selection,
        partition=partition,
        keep_hours=keep_hours,
        progress=progress,
        raise_on_error=raise_on_error,
    )


def _runner() -> ProjectRunner:
    runner = plugin_manager().hook.phlo_provide_runner()
    if runner is None:
        raise MissingProviderError(
            "No plugin runs assets from Python.", hint=install_command("phlo-cli")
        )
    return runner
