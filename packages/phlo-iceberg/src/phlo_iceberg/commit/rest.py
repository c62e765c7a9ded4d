"""Several tables of a REST catalog in one commit: its endpoint ``transactions/commit``."""

# pyright: reportCallIssue=false
# pyiceberg's models take their fields by name; a type checker sees the aliases alone.

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field
from pyiceberg.catalog.rest import _RETRY_ARGS, RestCatalog
from pyiceberg.catalog.rest.response import _handle_non_200_response
from pyiceberg.exceptions import (
    CommitFailedException,
    CommitStateUnknownException,
    NoSuchTableError,
)
from pyiceberg.table import CommitTableRequest, Namespace, TableIdentifier
from pyiceberg.table.refs import MAIN_BRANCH
from pyiceberg.table.update import AssertRefSnapshotId, TableRequirement, TableUpdate
from pyiceberg.typedef import IcebergBaseModel
from requests import HTTPError, Response
from tenacity import retry

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from phlo.names import TableName

ENDPOINT = "transactions/commit"
_NOT_THERE = (404, 405, 501)
_ERRORS: dict[int, type[Exception]] = {
    404: NoSuchTableError,
    409: CommitFailedException,
    500: CommitStateUnknownException,
    502: CommitStateUnknownException,
    504: CommitStateUnknownException,
}


class _Transaction(IcebergBaseModel):
    table_changes: tuple[CommitTableRequest, ...] = Field(alias="table-changes")


def change(
    name: TableName,
    requirements: tuple[TableRequirement, ...],
    updates: tuple[TableUpdate, ...] = (),
) -> CommitTableRequest:
    """What a transaction does to one table."""
    identifier = TableIdentifier(namespace=Namespace([name.namespace]), name=name.name)
    return CommitTableRequest(identifier=identifier, requirements=requirements, updates=updates)


def assert_heads(reads: Mapping[TableName, int | None]) -> list[CommitTableRequest]:
    """Changes that change nothing, and hold only where tables are as they were read."""
    return [
        change(name, (AssertRefSnapshotId(ref=MAIN_BRANCH, snapshot_id=snapshot_id),))
        for name, snapshot_id in reads.items()
    ]


def has_transactions(catalog: RestCatalog) -> bool:
    """Whether the server knows the endpoint: it is asked to commit nothing."""
    return _post(catalog, ()).status_code not in _NOT_THERE


@retry(**_RETRY_ARGS)
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
        _handle_non_200_response(exc, _ERRORS)


def _post(catalog: RestCatalog, changes: Sequence[CommitTableRequest]) -> Response:
    body = _Transaction(table_changes=tuple(changes)).model_dump_json(by_alias=True)
    return catalog._session.post(catalog.url(ENDPOINT, prefixed=True), data=body.encode())
