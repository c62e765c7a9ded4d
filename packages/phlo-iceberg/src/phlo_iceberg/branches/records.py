"""What the catalog's database records of branches: their names, and what they began from."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from phlo.branches import Branch
from phlo.errors import BranchNotFoundError, nearest
from phlo.names import MAIN, TableName
from pyiceberg.catalog.sql import IcebergTables, SqlCatalog
from sqlalchemy import BigInteger, Column, ColumnElement, String, Table, inspect, select
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError
from sqlalchemy.orm import Session
from tenacity import retry, retry_if_exception_type, stop_after_attempt

from phlo_iceberg.branches.names import branch_name, catalog_name, lake_name
from phlo_iceberg.commit.branch_lock import BRANCH_TABLES, BRANCHES, SEPARATOR
from phlo_iceberg.pyiceberg_private import only_tables

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog
    from sqlalchemy import Row

BASES = Table(
    "phlo_branch_tables",
    BRANCH_TABLES,
    Column("catalog_name", String(255), primary_key=True),
    Column("table_namespace", String(255), primary_key=True),
    Column("table_name", String(255), primary_key=True),
    Column("base_location", String(1000), nullable=False),
    Column("base_snapshot_id", BigInteger),
    Column("base_rows_snapshot_id", BigInteger),
    Column("base_digest", String(64), nullable=False),
    Column("branch_location", String(1000), nullable=False),
)
"""What each table of a branch began from: the source's metadata, and the branch's copy of it."""

TRANSACTIONS = Table(
    "phlo_transactions",
    BRANCH_TABLES,
    Column("token", String(36), primary_key=True),
    Column("at_ms", BigInteger, nullable=False),
)
"""One row per transaction on branches that landed; it answers whether one did."""


# Another process may make the same tables at that moment; SQLite calls that an OperationalError.
@retry(
    retry=retry_if_exception_type((IntegrityError, ProgrammingError, OperationalError)),
    stop=stop_after_attempt(5),
    reraise=True,
)
def make_tables(catalog: SqlCatalog) -> None:
    """Make the tables of this module where they are missing."""
    if not has_tables(catalog):
        BRANCH_TABLES.create_all(catalog.engine)


def has_tables(catalog: SqlCatalog) -> bool:
    """Return whether the catalog's database ever had a branch."""
    # The last one that is made: where it is there, all are.
    return inspect(catalog.engine).has_table(TRANSACTIONS.name)


def list_branches(catalog: SqlCatalog) -> list[Branch]:
    """List the branches of a catalog's lake, main first."""
    lake = lake_name(catalog.name)
    if not has_tables(catalog):
        return [Branch(MAIN)]
    with Session(catalog.engine) as session:
        rows = session.execute(
            select(BRANCHES).where(
                BRANCHES.c.catalog_name.startswith(lake + SEPARATOR, autoescape=True)
            )
        ).all()
    return [Branch(MAIN), *sorted(map(_branch, rows), key=lambda branch: branch.name)]


def _of_lake(column: Column[str], lake: str) -> ColumnElement[bool]:
    return column.startswith(lake + SEPARATOR, autoescape=True)


def _branch(row: Row) -> Branch:
    created_at = datetime.fromtimestamp(row.created_at_ms / 1000, tz=UTC)
    return Branch(branch_name(row.catalog_name), branch_name(row.source), created_at)


def created_at_ms(branch: Branch) -> int:
    """Return when a branch was made, in milliseconds, as the database has it."""
    assert branch.created_at is not None
    return round(branch.created_at.timestamp() * 1000)


def require_branch(catalog: SqlCatalog, name: str) -> Branch:
    """Return a branch.

    Raises:
        BranchNotFoundError: There is none of that name.
    """
    branches = {branch.name: branch for branch in list_branches(catalog)}
    if name in branches:
        return branches[name]
    near = nearest(name, branches)
    raise BranchNotFoundError(
        f"There is no branch {name!r}.",
        got=repr(name),
        expected=f"one of {sorted(branches)}",
        hint=f"Did you mean {near[0]!r}?" if near else f"phlo branch create {name}",
        branch=name,
    )


def table_locations(catalog: SqlCatalog) -> dict[TableName, str]:
    """Read where the metadata of each table of a catalog is."""
    with Session(catalog.engine) as session:
        rows = session.execute(
            select(
                IcebergTables.table_namespace,
                IcebergTables.table_name,
                IcebergTables.metadata_location,
            ).where(IcebergTables.catalog_name == catalog.name, *only_tables(catalog))
        ).all()
    # Nested namespaces are other systems' and have no name here.
    return {
        TableName(namespace, name): str(location)
        for namespace, name, location in rows
        if "." not in namespace
    }


def read_bases(catalog: SqlCatalog) -> dict[TableName, Row]:
    """Read what the tables of a branch began from, by table."""
    with Session(catalog.engine) as session:
        rows = session.execute(select(BASES).where(BASES.c.catalog_name == catalog.name)).all()
    return {TableName(row.table_namespace, row.table_name): row for row in rows}


def held_snapshots(catalog: SqlCatalog, table: TableName) -> set[int]:
    """Read the snapshots of a table that a branch of the lake began from: none may expire."""
    if not has_tables(catalog):
        return set()
    lake = lake_name(catalog.name)
    with Session(catalog.engine) as session:
        rows = session.execute(
            select(BASES.c.base_snapshot_id, BASES.c.base_rows_snapshot_id).where(
                _of_lake(BASES.c.catalog_name, lake),
                BASES.c.table_namespace == table.namespace,
                BASES.c.table_name == table.name,
            )
        ).all()
    return {snapshot for row in rows for snapshot in row if snapshot is not None}


def is_branch(catalog: Catalog) -> bool:
    """Return whether a catalog is a branch of another one."""
    return SEPARATOR in catalog.name


def source_name(catalog: SqlCatalog, branch: Branch) -> str:
    """Return the name of the catalog that a branch was made from."""
    return catalog_name(lake_name(catalog.name), branch.source or MAIN)
