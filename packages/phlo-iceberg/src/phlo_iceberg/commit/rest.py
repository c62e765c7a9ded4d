"""Commit to a catalog that is a server: REST, or any other that pyiceberg knows.

Several tables of a REST catalog go in one request to its endpoint ``transactions/commit``.
"""

# pyright: reportCallIssue=false
# pyiceberg's models take their fields by name; a type checker sees the aliases alone.

from __future__ import annotations

import logging
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

from phlo.errors import SingleTableCatalogError
from pydantic import Field
from pyiceberg.catalog.rest import RestCatalog
from pyiceberg.exceptions import (
    CommitFailedException,
    CommitStateUnknownException,
    NoSuchTableError,
)
from pyiceberg.table import CommitTableRequest, Namespace, TableIdentifier
from pyiceberg.table.refs import MAIN_BRANCH
from pyiceberg.table.update import (
    AssertRefSnapshotId,
    AssertTableUUID,
    SetPropertiesUpdate,
    TableRequirement,
    TableUpdate,
)
from pyiceberg.typedef import IcebergBaseModel
from requests import HTTPError, Response
from tenacity import retry

from phlo_iceberg import pyiceberg_private, rest_private
from phlo_iceberg.commit.plan import assert_head, check_as_planned
from phlo_iceberg.commit.settle import settle

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from phlo.names import TableName
    from pyiceberg.catalog import Catalog
    from pyiceberg.table import Table

    from phlo_iceberg.commit.plan import Commit

logger = logging.getLogger(__name__)

ENDPOINT = "transactions/commit"
_NOT_THERE = (404, 405, 501)
_ERRORS: dict[int, type[Exception]] = {
    404: NoSuchTableError,
    409: CommitFailedException,
    500: CommitStateUnknownException,
    502: CommitStateUnknownException,
    503: CommitStateUnknownException,
    504: CommitStateUnknownException,
}


class _Transaction(IcebergBaseModel):
    table_changes: tuple[CommitTableRequest, ...] = Field(alias="table-changes")


def commit_over_rest(
    catalog: Catalog, commits: Sequence[Commit], reads: Mapping[TableName, int | None]
) -> None:
    """Commit to a catalog that is a server: one table alone, or several in its transaction.

    Raises:
        CommitFailedException: A table is no longer as planned; nothing was sent.
        SingleTableCatalogError: Several tables, and the server takes one at a time.
        MovedHeadError: Nothing landed.
        UnknownCommitError: The server did not answer; every file stays.
    """
    current = [_as_planned(catalog, commit) for commit in commits if not commit.is_new_table]
    for name, snapshot_id in reads.items():
        assert_head(catalog, name, snapshot_id)
    if len(commits) == 1 and not reads:
        _commit_one(catalog, commits[0])
    elif isinstance(catalog, RestCatalog) and has_transactions(catalog):
        _commit_together(catalog, commits, reads)
        for table in current:
            _tidy(catalog, table)
    else:
        _commit_alone(catalog, commits)


def _tidy(catalog: RestCatalog, before: Table) -> None:
    """Delete metadata that a commit made old; whatever fails here, the commit has landed."""
    try:
        after = catalog.load_table(before.name())
        pyiceberg_private.delete_old_metadata(catalog, after.io, before.metadata, after.metadata)
    except Exception:  # noqa: BLE001 - after a commit nothing may raise
        logger.warning("Old metadata of %s stays until the next commit.", before.name())


def _as_planned(catalog: Catalog, commit: Commit) -> Table:
    """Load the table; a commit that cannot hold is refused before anything is made for it."""
    table = catalog.load_table(commit.identifier)
    check_as_planned(commit, table)
    return table


def _commit_together(
    catalog: RestCatalog, commits: Sequence[Commit], reads: Mapping[TableName, int | None]
) -> None:
    """Commit in one transaction of the server, which knows only tables that are there.

    So new ones are made first. Where nothing is committed after all they stay, without rows: to
    drop one could take rows along that somebody else wrote to it meanwhile.
    """
    for commit in commits:
        if commit.is_new_table:
            _create_empty(catalog, commit)
    changes = [*map(_change, commits), *assert_heads(reads)]
    settle(catalog, commits, lambda: commit_transaction(catalog, changes))


def _create_empty(catalog: Catalog, commit: Commit) -> None:
    without_rows, _ = _split(commit.updates)
    _commit_one(catalog, replace(commit, updates=without_rows, snapshot_id=None))


def _change(commit: Commit) -> CommitTableRequest:
    if not commit.is_new_table:
        return change(commit.name, commit.requirements, commit.updates)
    requirements = (
        AssertTableUUID(uuid=commit.handle.metadata.table_uuid),
        AssertRefSnapshotId(ref=MAIN_BRANCH, snapshot_id=None),
    )
    _, with_rows = _split(commit.updates)
    return change(commit.name, requirements, with_rows)


def _split(
    updates: tuple[TableUpdate, ...],
) -> tuple[tuple[TableUpdate, ...], tuple[TableUpdate, ...]]:
    """Split updates into what creates a table, up to its first properties, and what follows.

    A source's cursor, a later property, must not be visible before the rows are.
    """
    end = 1 + next(i for i, u in enumerate(updates) if isinstance(u, SetPropertiesUpdate))
    return updates[:end], updates[end:]


def _commit_alone(catalog: Catalog, commits: Sequence[Commit]) -> None:
    """Commit to a server that takes one table at a time."""
    if len(commits) != 1:
        raise SingleTableCatalogError(
            "This catalog commits one table at a time, so several tables cannot be published "
            "together.",
            got=", ".join(str(c.name) for c in commits),
            expected="one table",
            hint="Use a REST catalog that takes several (POST /v1/{prefix}/transactions/commit), "
            "or an SQL catalog (PHLO_ICEBERG_CATALOG_TYPE=sql).",
        )
    _warn_of_reads()
    _commit_one(catalog, commits[0])


def _commit_one(catalog: Catalog, commit: Commit) -> None:
    settle(
        catalog,
        [commit],
        lambda: pyiceberg_private.commit_table(commit.handle, commit.updates, commit.requirements),
    )


@cache
def _warn_of_reads() -> None:
    logger.warning(
        "This catalog commits one table at a time: a table that a check read may move between the "
        "last look at it and the commit. An SQL catalog (PHLO_ICEBERG_CATALOG_TYPE=sql) holds it."
    )


def change(
    name: TableName,
    requirements: tuple[TableRequirement, ...],
    updates: tuple[TableUpdate, ...] = (),
) -> CommitTableRequest:
    """Build what a transaction does to one table."""
    identifier = TableIdentifier(namespace=Namespace([name.namespace]), name=name.name)
    return CommitTableRequest(identifier=identifier, requirements=requirements, updates=updates)


def assert_heads(reads: Mapping[TableName, int | None]) -> list[CommitTableRequest]:
    """Build empty table changes whose only effect is to assert each table's current snapshot."""
    return [
        change(name, (AssertRefSnapshotId(ref=MAIN_BRANCH, snapshot_id=snapshot_id),))
        for name, snapshot_id in reads.items()
    ]


def has_transactions(catalog: RestCatalog) -> bool:
    """Return whether the server knows the endpoint; it is asked to commit nothing."""
    return _post(catalog, ()).status_code not in _NOT_THERE


@retry(**rest_private.REST_RETRY)
def commit_transaction(catalog: RestCatalog, changes: Sequence[CommitTableRequest]) -> None:
    """Commit changes of several tables, all or none.

    Raises:
        CommitFailedException: A requirement does not hold; nothing was committed.
        NoSuchTableError: A table is gone; nothing was committed.
        CommitStateUnknownException: The server failed, perhaps after it had committed.
    """
    try:
        _post(catalog, changes).raise_for_status()
    except HTTPError as exc:
        rest_private.raise_rest_error(exc, _ERRORS)


def _post(catalog: RestCatalog, changes: Sequence[CommitTableRequest]) -> Response:
    body = _Transaction(table_changes=tuple(changes)).model_dump_json(by_alias=True)
    url = catalog.url(ENDPOINT, prefixed=True)
    return rest_private.post(catalog, url, body.encode())
