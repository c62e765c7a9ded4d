"""The rows by which a catalog's database knows branches; commits and their owners lock them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyiceberg.exceptions import CommitFailedException
from sqlalchemy import BigInteger, Column, MetaData, String, Table, update

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

SEPARATOR = "@"
"""Stands between the lake's and the branch's name in the name of a branch's catalog."""

BRANCH_TABLES = MetaData()
"""All tables about branches."""

BRANCHES = Table(
    "phlo_branches",
    BRANCH_TABLES,
    Column("catalog_name", String(255), primary_key=True),
    Column("source", String(255), nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
)
"""One row per branch; whoever changes what a branch is locks its row."""


def lock_branch(session: Session, catalog_name: str, created_at_ms: int | None = None) -> bool:
    """Hold the row of a branch's catalog until the transaction ends.

    An update takes the lock on SQLite as on PostgreSQL.

    Args:
        session: Of the transaction.
        catalog_name: The branch's catalog.
        created_at_ms: When the branch was made that is meant, and no later one of its name;
            ``None`` for any.

    Returns:
        Whether the branch is there.
    """
    is_meant = BRANCHES.c.catalog_name == catalog_name
    if created_at_ms is not None:
        is_meant &= BRANCHES.c.created_at_ms == created_at_ms
    held = session.execute(
        update(BRANCHES).where(is_meant).values(created_at_ms=BRANCHES.c.created_at_ms)
    )
    return held.rowcount == 1  # pyright: ignore[reportAttributeAccessIssue] - a cursor result


def require_branch_of(session: Session, catalog_name: str) -> None:
    """Check, and hold for the transaction, that the branch which a catalog is still exists.

    Raises:
        CommitFailedException: It was deleted, so that nothing may be written on it.
    """
    if SEPARATOR in catalog_name and not lock_branch(session, catalog_name):
        raise CommitFailedException(f"the branch {catalog_name.partition(SEPARATOR)[2]} is gone")
