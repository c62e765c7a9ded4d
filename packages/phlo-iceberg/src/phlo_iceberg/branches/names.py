"""Catalogs of branches by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from phlo.errors import UnsupportedCatalogError
from phlo.names import MAIN
from pyiceberg.catalog.sql import SqlCatalog

from phlo_iceberg.commit.branch_lock import SEPARATOR

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog

BRANCH_PROPERTY = "phlo.branch"
"""Table property of metadata that a branch names, so that no repair takes it for the lake's."""


def lake_name(catalog_name: str) -> str:
    """Return the name of the lake's own catalog.

    >>> lake_name("lake@dev"), lake_name("lake")
    ('lake', 'lake')
    """
    return catalog_name.partition(SEPARATOR)[0]


def branch_name(catalog_name: str) -> str:
    """Return the branch that a catalog is.

    >>> branch_name("lake@dev"), branch_name("lake")
    ('dev', 'main')
    """
    return catalog_name.partition(SEPARATOR)[2] or MAIN


def catalog_name(lake: str, branch: str) -> str:
    """Return the name of a branch's catalog.

    >>> catalog_name("lake", "dev"), catalog_name("lake", "main")
    ('lake@dev', 'lake')
    """
    return lake if branch == MAIN else f"{lake}{SEPARATOR}{branch}"


def open_branch(catalog: SqlCatalog, branch: str) -> SqlCatalog:
    """Open the catalog of a branch, on the database and with the settings of another one."""
    name = catalog_name(lake_name(catalog.name), branch)
    if name == catalog.name:
        return catalog
    branch_catalog = SqlCatalog(name, **{**catalog.properties, "init_catalog_tables": "false"})
    branch_catalog.engine.dispose()
    branch_catalog.engine = catalog.engine  # one pool of connections for one database
    return branch_catalog


def require_sql(catalog: Catalog) -> SqlCatalog:
    """Return an SQL catalog, or raise for one that cannot have branches.

    Raises:
        UnsupportedCatalogError: It is a REST catalog.
    """
    if isinstance(catalog, SqlCatalog):
        return catalog
    raise UnsupportedCatalogError(
        f"The catalog {catalog.name!r} cannot have branches of the whole lake.",
        got=f"a catalog of type {type(catalog).__name__}",
        expected="an SQL catalog: SQLite or PostgreSQL",
        hint="Set PHLO_ICEBERG_CATALOG_TYPE=sql with PHLO_ICEBERG_CATALOG_URI, or use branches of "
        "the catalog's own server, such as Nessie's, with a catalog address per branch.",
    )
