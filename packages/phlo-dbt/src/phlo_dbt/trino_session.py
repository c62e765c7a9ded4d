"""One run of dbt on Trino: its work catalog, what it made there, and what of it is published."""

from __future__ import annotations

from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from itertools import takewhile
from typing import TYPE_CHECKING, Any

import trino.exceptions
from phlo.errors import FatalRunError, MissingProviderError
from phlo.lake import build_branch
from phlo.names import TableName
from phlo.sql import Sql, quote_identifier, quote_table, sql
from phlo.values import LoadAccount, Published
from phlo.work_catalogs import BranchTable, LeasesWorkCatalogs

from phlo_dbt.folders import DATABASE
from phlo_dbt.session import DbtSession

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from phlo.branches import TableChange
    from phlo.lake import Lake
    from phlo.protocols import Staged
    from phlo.work_catalogs import WorkCatalog

_WITHOUT_QUERIES = ("parse", "list", "ls", "deps", "clean", "debug", "init", "docs")
_LANDING = ("table", "view", "incremental", "seed", "snapshot")


@dataclass
class TrinoSession(DbtSession):
    """A session whose models are tables of a work catalog.

    Attributes:
        work: The work catalog, once the session is started.
        work_lake: The lake on the work catalog's branch.
    """

    work: WorkCatalog | None = None
    work_lake: Lake | None = None
    _stack: ExitStack = field(default_factory=ExitStack)

    def take(self, manifest: Any, config: Any) -> None:
        """Take the run's manifest; a command that asks the database gets a work catalog."""
        super().take(manifest, config)
        if config.args.which not in _WITHOUT_QUERIES:
            self.start()

    def start(self) -> None:
        """Lease a work catalog, and let the manifest's relations stand in it.

        Raises:
            MissingProviderError: The query engine is no cluster's.
            FatalRunError: A model's materialization makes no table.
        """
        if self.is_started:
            return
        engine = self.lake.engine
        if not isinstance(engine, LeasesWorkCatalogs):
            raise MissingProviderError(
                f"dbt's target is Trino, and the project's query engine is {engine.dialect!r}.",
                hint="Set PHLO_TRINO_HOST, or choose the target `embedded`.",
            )
        self._refuse_materializations()
        self.work = self._stack.enter_context(engine.lease_work_catalog())
        self.work_lake = build_branch(self.work.lease.branch)
        super().start()
        move_relations(self.manifest, self.work.name)
        self.config.credentials.database = self.work.name  # what {{ target.database }} says

    def _refuse_materializations(self) -> None:
        for node in self.manifest.nodes.values():
            materialized = getattr(node.config, "materialized", None)
            if node.resource_type == "model" and materialized == "materialized_view":
                raise FatalRunError(
                    f"The model {node.name} is a {materialized}, which no engine but Trino reads.",
                    expected=f"one of {', '.join(_LANDING)}, ephemeral",
                    hint=f"Set materialized: table in {node.original_file_path}.",
                )

    @property
    def catalog(self) -> str:
        """The work catalog's name in Trino."""
        assert self.work is not None
        return self.work.name

    def connect(self, connection: Any = None) -> Any:
        """Open a DB-API connection to the work catalog."""
        assert self.work is not None
        return self.work.connect()

    def drop(self, table: TableName) -> bool:
        """Drop a table that shares its files; ``False`` where Trino may delete all of it."""
        assert self.work is not None
        return self.work.lease.drop(table)

    def close(self) -> None:
        """Give the work catalog back."""
        self._stack.close()

    def explain(self, message: str) -> str:
        """Return Trino's message as it is."""
        return message

    def interrupt(self) -> None:
        """Do nothing: dbt knows of all queries."""

    def land_batched(self) -> None:
        """Do nothing: dbt-trino writes each batch into its table."""

    def stage_built(self, statuses: Mapping[str, str]) -> None:
        """Take what dbt built for the stages of the run."""
        assert self.work_lake is not None
        bases = self._bases()
        for unique_id, status in statuses.items():
            node = self.nodes.get(unique_id)
            if node is None or status != "success" or unique_id not in self._model_ids:
                continue
            table = self.tables[unique_id]
            made: Any = BranchTable(table, bases.get(table), self.work_lake)
            self.staged[unique_id] = made

    @property
    def _model_ids(self) -> set[str]:
        return {uid for uid in self.tables if uid in self.nodes}

    def _bases(self) -> dict[TableName, int | None]:
        """Return the snapshots of main that the changed tables began from."""
        return {change.table: change.base_snapshot_id for change in self._changes()}

    def _changes(self) -> Sequence[TableChange]:
        assert self.work is not None
        store: Any = self.lake.store  # it has branches: one of them is leased
        return store.diff(self.work.lease.branch)

    def forget(self, ready: Collection[TableName]) -> None:
        """Let the work catalog have all tables as main has them, but those to be published."""
        assert self.work is not None
        self.work.keep_only(self.lake.store, ready)

    def publish(
        self, ready: Sequence[Staged], reads: Mapping[TableName, int | None]
    ) -> list[Published]:
        """Publish the tables of the work catalog in one transaction."""
        assert self.work is not None
        published = [self._published(one) for one in ready]
        self.work.publish(
            self.lake.store,
            {one.table for one in ready},
            unmoved=set(reads),
            summaries=self._summaries(ready),
        )
        return published

    def _summaries(self, ready: Sequence[Staged]) -> dict[TableName, dict[str, str]]:
        """Make entries for the snapshots that Trino made of each table."""
        tables = {one.table for one in ready}
        return {
            table: {"phlo.dbt-model": unique_id} | self._run_entry
            for unique_id, table in self.tables.items()
            if table in tables
        }

    def _published(self, made: Staged) -> Published:
        assert self.work_lake is not None
        store = self.work_lake.store
        stored = store.load(made.table)
        own = takewhile(lambda s: s.snapshot_id != made.base_snapshot_id, store.history(made.table))
        written = sum(int(s.summary.get("added-records", 0)) for s in own)
        account = LoadAccount(extracted=written, inserted=written)
        return Published(made.table, stored.snapshot_id, account, stored.row_count)

    @property
    def has_moved(self) -> bool:
        """Whether publishing again cannot help: what moved is a table that the run made."""
        return True

    def keep(self, stage: Staged, branch: str) -> bool:
        """Keep nothing: the work catalog is given back."""
        return False

    @property
    def unkept_reason(self) -> str:
        """Why a withheld model is on no branch."""
        return "the work catalog is given to the next run"

    def discard(self, stages: Iterable[Staged]) -> None:
        """Do nothing: the branch goes with all its files."""

    def first_rows(self, query: str, count: int) -> list[dict[str, Any]]:
        """Return the first rows of a query on the work catalog; none where it cannot answer."""
        limited = sql("SELECT * FROM ({q}) LIMIT {n}", q=Sql(query), n=count)
        try:
            with closing(self.connect()) as connection, closing(connection.cursor()) as cursor:
                rows = cursor.execute(limited).fetchall()
                names = [column[0] for column in cursor.description or ()]
        except trino.exceptions.Error:  # a test may need what a hook of dbt set up and took away
            return []
        return [dict(zip(names, row, strict=True)) for row in rows]


def move_relations(manifest: Any, catalog: str) -> None:
    """Let every relation of a manifest stand in a catalog, and every model become a table there.

    A view would name the work catalog, and is a table in the embedded project too. Where the
    project does not say otherwise, a table is replaced in place, so that it keeps its folder and
    earlier snapshots, and rows of an incremental model with a unique key are merged, as in this
    process.
    """
    for node in (*manifest.nodes.values(), *manifest.sources.values()):
        if node.database != DATABASE:
            continue  # a source in another catalog of Trino's
        node.database = catalog
        if getattr(node, "relation_name", None):
            table = TableName(node.schema, getattr(node, "identifier", None) or node.alias)
            node.relation_name = f"{quote_identifier(catalog)}.{quote_table(table)}"
    for node in manifest.nodes.values():
        if node.resource_type in ("model", "seed", "snapshot"):
            _set_defaults(node.config)


def _set_defaults(config: Any) -> None:
    if config.materialized == "view":
        config.materialized = "table"
    if config.get("on_table_exists") is None:
        config["on_table_exists"] = "replace"
    if config.get("unique_key") and config.get("incremental_strategy") is None:
        config["incremental_strategy"] = "merge"
