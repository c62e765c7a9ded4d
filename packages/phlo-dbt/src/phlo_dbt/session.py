"""What one run of dbt on DuckDB reads from the table store and stages into it.

The scratch database holds views alone: over published tables, and over stages once a model is
built. Nothing is published here; see :mod:`phlo_dbt.run`.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, cast

import duckdb
import pyarrow as pa
from phlo.errors import MissingProviderError, MovedHeadError, SchemaChangeError
from phlo.sql import Identifier, Sql, literal, quote_identifier, quote_table, sql
from phlo.values import LoadAccount

from phlo_dbt.column_metadata import select_list
from phlo_dbt.incremental import Incoming, Landing, plan_built, plan_landing
from phlo_dbt.manifest import point_sources, resolve_sources, table_nodes, table_of
from phlo_dbt.reads import tables_named_in, tables_read_by, texts_of
from phlo_dbt.value_limits import explain_conversion, refuse_far_moments
from phlo_dbt.variables import default_variables

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from phlo.lake import Lake
    from phlo.names import TableName
    from phlo.protocols import Staged, StoredTable
    from phlo.values import Published, TableAsset

_MISSING = re.compile(r'Table with name "?([^"\s]+)"? does not exist')
NEW_ROWS_SCHEMA = "phlo_new"
_MACROS = (
    # The guide's models call it as a function, which DuckDB does not know.
    'CREATE OR REPLACE MACRO "current_timestamp"() AS now()',
)


class ReadableTable(Protocol):
    """A table that a connection can read, as of one snapshot."""

    name: TableName
    snapshot_id: int | None


class DuckDBTables(Protocol):
    """A query engine whose tables a DuckDB connection can read in place."""

    def register(
        self,
        connection: duckdb.DuckDBPyConnection,
        tables: Mapping[TableName, Staged | str | None],
    ) -> Sequence[ReadableTable]:
        """Create schema and view for each table: a stage, a ref, or ``None`` for ``main``."""
        ...


@dataclass
class DbtSession:
    """One run of dbt, whoever started it.

    Attributes:
        open_tables: Opens the lake that tables are read from and staged into.
        folder: Scratch folder of the run.
        assets: Tells which asset makes which table; asked once dbt connects.
        chosen: Unique ids of the models and tests that run; ``None``: unknown, so that all tables
            are made readable.
        manifest: dbt's own, as the run parsed it.
        config: dbt's configuration of the run.
        sources: The table that each source reads, by unique id.
        staged: What the run staged so far, by unique id, in the order built.
        heads: Snapshots of the published tables that the run reads.
        batched: Models that dbt builds batch by batch, not staged yet; whether from scratch.
        connection: To the scratch database, once dbt has opened it.
        moved: Why a model's own rows, as it read them, are no longer those of its table.
        landing: Connections that compute and stage a model's rows now.
        is_started: Whether dbt has connected.
        on_start: Makes the scratch folder, where it is not there yet.
        run_id: Dagster's run, for the history of the tables; empty where dbt runs by hand.
    """

    open_tables: Callable[[], Lake]
    folder: Path
    assets: Callable[[], Mapping[TableName, TableAsset]]
    chosen: Collection[str] | None = None
    manifest: Any = None
    config: Any = None
    sources: dict[str, TableName] = field(default_factory=dict)
    staged: dict[str, Staged] = field(default_factory=dict)
    heads: dict[TableName, int | None] = field(default_factory=dict)
    batched: dict[str, bool] = field(default_factory=dict)
    connection: duckdb.DuckDBPyConnection | None = None
    moved: MovedHeadError | None = None
    landing: list[duckdb.DuckDBPyConnection] = field(default_factory=list)
    is_started: bool = False
    on_start: Callable[[], object] | None = None
    run_id: str = ""

    @cached_property
    def lake(self) -> Lake:
        """The project's tables."""
        return self.open_tables()

    @cached_property
    def nodes(self) -> Mapping[str, Mapping[str, Any]]:
        """The manifest's nodes by unique id, as JSON; read once dbt has parsed them all."""
        return {uid: node.to_dict(omit_none=False) for uid, node in self.manifest.nodes.items()}

    @cached_property
    def manifest_json(self) -> dict[str, Any]:
        """Nodes and sources of the run's manifest, as JSON."""
        sources = {uid: s.to_dict(omit_none=False) for uid, s in self.manifest.sources.items()}
        metadata = {"project_name": self.manifest.metadata.project_name}
        return {"metadata": metadata, "nodes": self.nodes, "sources": sources}

    @cached_property
    def tables(self) -> dict[str, TableName]:
        """The table of every model, seed, snapshot and source in use, by unique id."""
        nodes = table_nodes({"nodes": self.nodes})
        return {**{node["unique_id"]: table_of(node) for node in nodes}, **self.sources}

    @property
    def compiled(self) -> dict[str, str]:
        """The SQL that dbt compiled so far, by unique id."""
        nodes = self.manifest.nodes if self.manifest is not None else {}
        codes = {uid: getattr(node, "compiled_code", None) for uid, node in nodes.items()}
        return {uid: code for uid, code in codes.items() if code}

    def interrupt(self) -> None:
        """End the queries that compute models now; dbt knows only of its own."""
        for connection in list(self.landing):
            connection.interrupt()

    @property
    def engine(self) -> DuckDBTables:
        """The engine, which has to be an embedded one.

        Raises:
            MissingProviderError: The query engine is no DuckDB.
        """
        if self.lake.embedded_engine.dialect != "duckdb":
            raise MissingProviderError(
                "dbt runs on DuckDB here, but the query engine is "
                f"{self.lake.embedded_engine.dialect!r}, whose tables DuckDB does not read.",
                hint="Name a profile for that engine in dbt_project.yml.",
            )
        return cast("DuckDBTables", self.lake.embedded_engine)

    def take(self, manifest: Any, config: Any) -> None:
        """Take the manifest and the configuration that dbt runs with."""
        self.manifest, self.config = manifest, config

    def start(self) -> None:
        """Find what sources read and set the run's variables, when dbt connects first.

        Raises:
            AssetNotFoundError: A source maps to no table.
        """
        if self.is_started:
            return
        self.is_started = True
        if self.on_start is not None:
            self.on_start()
        self.config.cli_vars.update(default_variables() | self.config.cli_vars)
        self.sources = resolve_sources(self.manifest_json, self.assets)
        point_sources(self.manifest, self.sources)

    def connect(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Make a new scratch database read the lake."""
        self.close()
        self.connection = connection.cursor()
        for statement in _MACROS:
            connection.execute(statement)
        connection.execute(sql("CREATE SCHEMA IF NOT EXISTS {s}", s=Identifier(NEW_ROWS_SCHEMA)))
        readable = self.engine.register(connection, self._readable())
        self.heads.update({table.name: table.snapshot_id for table in readable})

    def _readable(self) -> dict[TableName, Staged | str | None]:
        """Return the published tables that the run may read; what is staged is read as staged."""
        published = self.lake.store.list_tables()
        named = set(published)
        if self.chosen is not None:
            named = tables_read_by(self.nodes, self.tables, self.chosen)
            named |= tables_named_in(texts_of(self.manifest, self.chosen), published)
        staged: dict[TableName, Staged | str | None] = {
            stage.table: stage for stage in self.staged.values()
        }
        return {**{table: None for table in published if table in named}, **staged}

    def explain(self, message: str) -> str:
        """Say of a table that DuckDB does not find how it comes about, where phlo knows it.

        Args:
            message: DuckDB's, which guesses at other tables.
        """
        missing = _MISSING.search(message)
        if missing is None:
            return message
        there = {*self.lake.store.list_tables(), *(s.table for s in self.staged.values())}
        absent = {t for t in self.tables.values() if t.name == missing[1]} - there
        return "\n".join(self._not_loaded(table) for table in sorted(absent)) or message

    def _not_loaded(self, table: TableName) -> str:
        makers = {made for made in (*self.assets(), *self._model_tables) if made.name == table.name}
        if table not in makers:
            return f"{table} does not exist, and no asset makes it."
        name = table.name if len(makers) == 1 else str(table)
        return f"{table} has no load yet: phlo materialize {name}"

    @property
    def _model_tables(self) -> list[TableName]:
        return [table for uid, table in self.tables.items() if uid in self.nodes]

    def land(
        self,
        connection: duckdb.DuckDBPyConnection,
        relation: Sql,
        unique_id: str,
        *,
        full_refresh: bool,
        is_built: bool,
    ) -> None:
        """Stage a model's rows, and let what is built later read the stage.

        Args:
            connection: Of the scratch database.
            relation: Relation of the model's rows, quoted.
            unique_id: The model.
            full_refresh: Whether an incremental model is built from scratch.
            is_built: Whether ``relation`` is the model as dbt built it, which replaces the table;
                otherwise it holds the new rows of an incremental model.
        """
        if self.nodes[unique_id]["config"].get("incremental_strategy") == "microbatch":
            self.batched[unique_id] = full_refresh  # more batches may follow
            return
        table = table_of(self.nodes[unique_id])
        self._land(connection, relation, unique_id, full_refresh=full_refresh, is_built=is_built)
        if is_built:
            _drop(connection, table)
        self.engine.register(connection, {table: self.staged[unique_id]})

    @contextmanager
    def _interruptible(self, connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
        self.landing.append(connection)
        try:
            yield
        finally:
            self.landing.remove(connection)

    def land_batched(self) -> None:
        """Stage the models that dbt built batch by batch, once all batches are there."""
        for unique_id, full_refresh in self.batched.items():
            relation = quote_table(table_of(self.nodes[unique_id]))
            assert self.connection is not None
            self._land(
                self.connection, relation, unique_id, full_refresh=full_refresh, is_built=True
            )
        self.batched.clear()

    def stage_built(self, statuses: Mapping[str, str]) -> None:
        """Do nothing: the materializations have staged every model."""

    def forget(self, ready: Collection[TableName]) -> None:
        """Do nothing: what reads the models that are withheld reads the published tables."""

    def publish(
        self, ready: Sequence[Staged], reads: Mapping[TableName, int | None]
    ) -> list[Published]:
        """Publish stages together.

        Args:
            ready: The stages.
            reads: Snapshots of published tables that audits relied on.
        """
        return self.lake.store.publish(ready, reads=reads)

    @property
    def has_moved(self) -> bool:
        """Whether a staged table got a snapshot since its stage was planned."""
        store = self.lake.store
        return any(
            stage.base_snapshot_id
            != (store.load(stage.table).snapshot_id if store.exists(stage.table) else None)
            for stage in self.staged.values()
        )

    def keep(self, stage: Staged, branch: str) -> bool:
        """Keep a stage as a branch of its table, or discard it; returns whether it is kept."""
        is_kept = self.lake.store.keep(stage, branch)
        if not is_kept:
            self.discard([stage])
        return is_kept

    @property
    def unkept_reason(self) -> str:
        """Why a withheld model is on no branch."""
        return "its table is new, or its columns change"

    def discard(self, stages: Iterable[Staged]) -> None:
        """Delete the files of stages that are not published."""
        for stage in stages:
            self.lake.store.discard(stage)

    def first_rows(self, query: str, count: int) -> list[dict[str, Any]]:
        """Return the first rows of a query on the scratch database; none where it cannot answer."""
        if self.connection is None:
            return []
        limited = sql("SELECT * FROM ({q}) LIMIT {n}", q=Sql(query), n=count)
        try:
            with self.connection.cursor() as cursor, self._interruptible(cursor):
                answer = cursor.execute(limited)
                names = [column[0] for column in answer.description or ()]
                return [dict(zip(names, row, strict=True)) for row in answer.fetchall()]
        except duckdb.Error:  # a test may need what a hook of dbt set up and took away
            return []

    def close(self) -> None:
        """Let go of the scratch database."""
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def _land(
        self,
        connection: duckdb.DuckDBPyConnection,
        relation: Sql,
        unique_id: str,
        *,
        full_refresh: bool,
        is_built: bool,
    ) -> None:
        node = self.nodes[unique_id]
        table = table_of(node)
        with self._interruptible(connection):
            incoming = Incoming(connection, self._copy(connection, relation, node))
        current = self._current(table, node, full_refresh=full_refresh)
        plan = plan_built if is_built else plan_landing
        landing = plan(incoming, node, current)
        self.staged[unique_id] = self._stage(unique_id, table, landing)
        if current is not None:
            self._refuse_moved(table, self.staged[unique_id])

    def _current(
        self, table: TableName, node: Mapping[str, Any], *, full_refresh: bool
    ) -> StoredTable | None:
        """Return the table that a model adds to; ``None`` where it replaces or is new."""
        materialized, store = node["config"]["materialized"], self.lake.store
        adds = materialized == "snapshot" or (materialized == "incremental" and not full_refresh)
        return store.load(table) if adds and store.exists(table) else None

    def _refuse_moved(self, table: TableName, staged: Staged) -> None:
        """Refuse a moved head: rows that a model made of its own table hold for what it read."""
        if table in self.heads and staged.base_snapshot_id != self.heads[table]:
            self.moved = MovedHeadError(f"{table} was changed while a model that adds to it ran.")
            raise self.moved

    def _copy(
        self, connection: duckdb.DuckDBPyConnection, relation: Sql, node: Mapping[str, Any]
    ) -> Path:
        """Write a relation to a Parquet file, in types and values that Iceberg has."""
        file = self.folder / f"{node['unique_id']}.parquet"
        select = sql("SELECT {c} FROM {r}", c=select_list(connection, relation), r=relation)
        try:
            connection.execute(
                sql("COPY ({q}) TO {file} (FORMAT parquet)", q=select, file=literal(str(file)))
            )
        except duckdb.ConversionException as exc:
            explained = explain_conversion(connection, relation, node, exc)
            raise (explained or exc) from exc
        refuse_far_moments(file, node)
        return file

    @property
    def _run_entry(self) -> dict[str, str]:
        return {"phlo.run-id": self.run_id} if self.run_id else {}

    def _stage(self, unique_id: str, table: TableName, landing: Landing) -> Staged:
        node = self.nodes[unique_id]
        try:
            return self.lake.store.stage(
                table,
                landing.rows,
                landing.how,
                schema=_with_docs(landing.schema, node),
                account=LoadAccount(extracted=landing.rows.count_rows()),
                summary={"phlo.dbt-model": unique_id} | self._run_entry,
                on_schema_change=landing.on_schema_change,
            )
        except SchemaChangeError as exc:
            if node["config"]["materialized"] == "incremental":
                exc.hint = f"Build it anew: phlo materialize {node['name']} --full-refresh"
            raise


def _drop(connection: duckdb.DuckDBPyConnection, table: TableName) -> None:
    """Take away what dbt built, so that a view of the stage can have its name."""
    kinds = connection.execute(
        "SELECT table_type FROM information_schema.tables "
        "WHERE table_schema = $schema AND table_name = $name",
        {"schema": table.namespace, "name": table.name},
    ).fetchall()
    kind = "VIEW" if kinds == [("VIEW",)] else "TABLE"
    connection.execute(sql("DROP {k} {t} CASCADE", k=Sql(kind), t=table))


def _with_docs(schema: pa.Schema, node: Mapping[str, Any]) -> pa.Schema:
    """Return whether the columns' descriptions go into the table."""
    described = {n: c.get("description") for n, c in (node.get("columns") or {}).items()}
    return pa.schema(
        [
            f.with_metadata({"doc": described[f.name]}) if described.get(f.name) else f
            for f in schema
        ]
    )


def quoted_relation(schema: str, identifier: str) -> Sql:
    """Return a relation of the scratch database."""
    return Sql(f"{quote_identifier(schema)}.{quote_identifier(identifier)}")
