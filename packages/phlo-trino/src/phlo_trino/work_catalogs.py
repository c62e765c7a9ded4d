"""Trino's catalogs of work branches: leased, made where need be, free of what a killed run does."""

from __future__ import annotations

import re
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

from phlo.branches import LeasesBranches
from phlo.errors import ConfigurationError, PhloError, QueryError, UnsupportedCatalogError
from phlo.sql import Identifier, Sql, quote_identifier, sql
from phlo.work_catalogs import WorkCatalog

from phlo_trino.server import connect, run_to_end

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from phlo.branches import BranchLease
    from phlo.protocols import TableStore

    from phlo_trino.settings import TrinoSettings

CATALOG_NAME = "iceberg.jdbc-catalog.catalog-name"
_CONNECTOR = "connector.name"
_WITHOUT = (
    "Take away PHLO_DBT_TARGET, PHLO_TRINO_AUDITS and PHLO_TRINO_MERGE_ROWS, whichever is set."
)
_CONNECTOR_NAME = re.compile(r"[a-z][a-z0-9_]*")
_PROPERTY = re.compile(r"\s*([^#!=:\s][^=:\s]*)\s*[=:]?\s*(.*?)\s*")


@contextmanager
def lease_work_catalog(
    settings: TrinoSettings, store: TableStore, seconds: float | None
) -> Iterator[WorkCatalog]:
    """Lease a work catalog (see :class:`phlo.work_catalogs.LeasesWorkCatalogs`).

    Args:
        settings: Name the work catalogs.
        store: Has the branches.
        seconds: Time that one statement may take; ``None`` for no limit.
    """
    if not settings.work_catalogs:
        raise ConfigurationError(
            "Trino has no work catalog for this run.",
            got="PHLO_TRINO_WORK_CATALOGS is empty",
            expected="branch=catalog, separated by commas",
            hint="PHLO_TRINO_WORK_CATALOGS=work-1=lake_work_1",
        )
    if not isinstance(store, LeasesBranches):
        raise UnsupportedCatalogError(
            f"The table store {type(store).__name__} has no branches to work on.",
            hint=f"{_WITHOUT} The process of the run does the work then.",
        )
    names = settings.work_catalogs
    with ExitStack() as stack:
        with _explained():
            held = store.lease_branch(list(names), wait_seconds=settings.work_catalog_wait_seconds)
            lease = stack.enter_context(held)
        on_branch = settings.model_copy(update={"catalog": names[lease.branch]})
        _end_queries(settings, on_branch.catalog)
        with _catalog_in_trino(settings, on_branch.catalog, lease):
            _require_branch(on_branch, lease, lease.fill())
            yield WorkCatalog(on_branch.catalog, lease, lambda: connect(on_branch, seconds))


@contextmanager
def _explained() -> Iterator[None]:
    """Say of a catalog that cannot lease branches what works with it."""
    try:
        yield
    except UnsupportedCatalogError as exc:
        raise UnsupportedCatalogError(
            "With this catalog nothing can be made on Trino: runs have no branch to work on.",
            got=str(exc).partition("\n")[0],
            expected="an SQL catalog on PostgreSQL",
            hint=f"{_WITHOUT} The process of the run does the work then; queries and checks of "
            "published tables run on Trino here too.",
        ) from exc


def _require_branch(settings: TrinoSettings, lease: BranchLease, namespace: str) -> None:
    """Check that Trino's catalog is the branch's: in main's, everybody would see what a run does.

    Args:
        settings: Name the catalog.
        lease: The branch.
        namespace: What the branch alone has.
    """
    schemas = run_to_end(settings, sql("SHOW SCHEMAS FROM {c}", c=Identifier(settings.catalog)))
    if [namespace] not in [list(row) for row in schemas]:
        raise ConfigurationError(
            f"Trino's catalog {settings.catalog!r} does not read the branch {lease.branch!r}.",
            got="another catalog-name, or another database",
            expected=f"{CATALOG_NAME}=<catalog>@{lease.branch}",
            hint="Correct the catalog's properties in Trino, or PHLO_TRINO_WORK_CATALOGS.",
        )


def _end_queries(settings: TrinoSettings, catalog: str) -> None:
    """End what a killed run still does in the catalog: Trino goes on without a client."""
    running = sql(
        "SELECT query_id FROM system.runtime.queries WHERE state NOT IN ('FINISHED', 'FAILED') "
        "AND strpos(query, {name}) > 0 AND strpos(query, 'system.runtime.queries') = 0",
        name=str(quote_identifier(catalog)),
    )
    for (query_id,) in run_to_end(settings, running):
        with suppress(QueryError):  # it has ended by itself meanwhile
            kill = "CALL system.runtime.kill_query(query_id => {id}, message => {why})"
            why = "phlo: the run of this query is gone."
            run_to_end(settings, sql(kill, id=query_id, why=why))


@contextmanager
def _catalog_in_trino(settings: TrinoSettings, catalog: str, lease: BranchLease) -> Iterator[None]:
    """Make the catalog where Trino's catalogs are dynamic; static ones are there."""
    if settings.work_catalog_file is None:
        yield
        return
    drop = sql("DROP CATALOG IF EXISTS {c}", c=Identifier(catalog))
    run_to_end(settings, drop)
    run_to_end(settings, create_catalog(catalog, settings.work_catalog_file, lease.branch))
    try:
        yield
    finally:
        with suppress(PhloError):  # the next run that leases it drops it
            run_to_end(settings, drop)


def create_catalog(catalog: str, file: Path, branch: str) -> Sql:
    """Write the statement that makes the catalog of a branch.

    Args:
        catalog: Its name in Trino.
        file: Properties of main's catalog, as Trino's ``etc/catalog/lake.properties``.
        branch: The branch.

    Raises:
        ConfigurationError: The file has no connector, or no name of the catalog in the database.
    """
    properties = read_properties(file)
    connector, lake = properties.pop(_CONNECTOR, None), properties.get(CATALOG_NAME)
    if connector is None or lake is None or not _CONNECTOR_NAME.fullmatch(connector):
        raise ConfigurationError(
            f"{file} does not describe an Iceberg catalog in a database.",
            got=f"the properties {sorted(properties)}",
            expected=f"{_CONNECTOR} and {CATALOG_NAME} among them",
            hint="Copy the etc/catalog/lake.properties of Trino.",
        )
    properties[CATALOG_NAME] = f"{lake}@{branch}"
    pairs = [sql("{n} = {v}", n=Identifier(n), v=v) for n, v in properties.items()]
    return sql(
        "CREATE CATALOG {c} USING {u} WITH ({p})",
        c=Identifier(catalog),
        u=Sql(connector),  # Trino takes the quotes of a quoted one for a part of its name
        p=Sql(", ".join(pairs)),
    )


def read_properties(file: Path) -> dict[str, str]:
    """Read a file of Java properties, one ``name=value`` on each line.

    Raises:
        ConfigurationError: There is no such file.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError as exc:
        raise ConfigurationError(
            f"PHLO_TRINO_WORK_CATALOG_FILE cannot be read: {exc.strerror}.", got=str(file)
        ) from exc
    found = (_PROPERTY.fullmatch(line) for line in lines)
    return {match[1]: match[2] for match in found if match}
