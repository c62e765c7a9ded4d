"""The one function that commits: stages of one or several tables, all or none."""

# pyright: reportCallIssue=false
# pyiceberg's models take their fields by name; a type checker sees the aliases alone.

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from phlo.errors import ConfigurationError, MovedHeadError
from pyiceberg.catalog.rest import RestCatalog
from pyiceberg.catalog.sql import IcebergTables, SqlCatalog
from pyiceberg.exceptions import (
    CommitFailedException,
    NoSuchTableError,
    RESTError,
    TableAlreadyExistsError,
)
from pyiceberg.table import StagedTable
from pyiceberg.table.locations import load_location_provider
from pyiceberg.table.refs import MAIN_BRANCH
from pyiceberg.table.update import (
    AssertCreate,
    AssertCurrentSchemaId,
    AssertRefSnapshotId,
    AssertTableUUID,
    SetPropertiesUpdate,
    TableRequirement,
    TableUpdate,
)
from sqlalchemy import insert, select, update
from sqlalchemy.exc import IntegrityError, NoResultFound, SQLAlchemyError
from sqlalchemy.orm import Session

from phlo_iceberg.commit.rest import (
    assert_heads,
    change,
    commit_transaction,
    has_transactions,
)
from phlo_iceberg.write.data_files import delete_files
from phlo_iceberg.write.metadata_updates import next_metadata

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from phlo.names import TableName
    from pyiceberg.catalog import Catalog
    from pyiceberg.table import CommitTableRequest, Table
    from pyiceberg.table.metadata import TableMetadata
    from pyiceberg.table.refs import SnapshotRef

    from phlo_iceberg.write.stage import StagedLoad

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Commit:
    """One table's part of a publish."""

    name: TableName
    handle: Table
    updates: tuple[TableUpdate, ...]
    requirements: tuple[TableRequirement, ...]
    snapshot_id: int | None
    schema_ids: frozenset[int] | None = None
    """Schemas of the table that a new one was numbered after; ``None`` where none is added."""
    refs: Mapping[str, SnapshotRef] | None = None
    """Branches and tags that spare snapshots from expiry; ``None`` where none are to expire."""

    @property
    def is_new_table(self) -> bool:
        """Whether the table comes into being."""
        return any(isinstance(r, AssertCreate) for r in self.requirements)


def commit_of(staged: StagedLoad, ref: str = MAIN_BRANCH) -> Commit:
    """The commit that publishes a stage: exact compare-and-swap on what it was planned on."""
    requirements: tuple[TableRequirement, ...] = (AssertCreate(),)
    if staged.base is not None:
        requirements = (
            AssertTableUUID(uuid=staged.base.table_uuid),
            AssertCurrentSchemaId(current_schema_id=staged.base.current_schema_id),
            AssertRefSnapshotId(ref=ref, snapshot_id=staged.base_snapshot_id),
        )
    return Commit(
        name=staged.table,
        handle=staged.handle,
        updates=(*staged.updates, *staged.snapshot_updates(ref)),
        requirements=requirements,
        snapshot_id=staged.snapshot.snapshot_id if staged.snapshot else None,
        schema_ids=_ids(staged.base) if staged.base and staged.changes_schema else None,
    )


def _ids(metadata: TableMetadata) -> frozenset[int]:
    return frozenset(schema.schema_id for schema in metadata.schemas)


def _refuse_unplanned(commit: Commit, current: Table) -> None:
    """Refuse what no requirement of Iceberg holds.

    The table may have got schemas since, though its present one is again as planned, or a tag on a
    snapshot that is to expire.
    """
    if commit.schema_ids is not None and _ids(current.metadata) != commit.schema_ids:
        raise CommitFailedException(f"{commit.name} got another schema meanwhile")
    if commit.refs is not None and current.metadata.refs != commit.refs:
        raise CommitFailedException(f"{commit.name} got another branch or tag meanwhile")


def commit_all(
    catalog: Catalog, commits: Sequence[Commit], reads: Mapping[TableName, int | None]
) -> None:
    """Commit tables together, all or none.

    Args:
        catalog: An SQL catalog does it in one database transaction, a REST catalog in one of its
            own; a server that has none takes a single table, and ``reads`` are only compared
            right before: one of them may move in between.
        commits: One per table.
        reads: Snapshots of other tables that must still be their heads.

    Raises:
        MovedHeadError: A table is no longer as planned, or one that was read has moved.
    """
    ordered = sorted(commits, key=lambda c: c.name)
    try:
        if isinstance(catalog, SqlCatalog):
            _commit_in_database(catalog, ordered, reads)
        else:
            _commit_over_rest(catalog, ordered, reads)
    except (CommitFailedException, NoSuchTableError, TableAlreadyExistsError) as exc:
        raise MovedHeadError(
            f"{', '.join(str(c.name) for c in ordered)}: another writer was first. {exc}"
        ) from exc


def _commit_over_rest(
    catalog: Catalog, commits: Sequence[Commit], reads: Mapping[TableName, int | None]
) -> None:
    current = [_as_planned(catalog, commit) for commit in commits if not commit.is_new_table]
    for name, snapshot_id in reads.items():
        _assert_head(catalog, name, snapshot_id)
    if len(commits) == 1 and not reads:
        _commit_one(commits[0])
    elif isinstance(catalog, RestCatalog) and has_transactions(catalog):
        _commit_together(catalog, commits, reads)
        for table in current:
            _tidy(catalog, table)
    else:
        _commit_alone(commits)


def _tidy(catalog: RestCatalog, before: Table) -> None:
    """Delete metadata that a commit made old; whatever fails here, the commit has landed."""
    try:
        _delete_old_metadata(catalog, before, catalog.load_table(before.name()))
    except (OSError, RESTError, NoSuchTableError):
        logger.warning("Old metadata of %s stays until the next commit.", before.name())


def _as_planned(catalog: Catalog, commit: Commit) -> Table:
    """The table as it is; a commit that cannot hold is refused before anything is made for it."""
    table = catalog.load_table((commit.name.namespace, commit.name.name))
    _refuse_unplanned(commit, table)
    for requirement in commit.requirements:
        requirement.validate(table.metadata)
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
            _create_empty(commit)
    changes = [_change(commit) for commit in commits]
    commit_transaction(catalog, [*changes, *assert_heads(reads)])


def _create_empty(commit: Commit) -> None:
    bare, _ = _split(commit.updates)
    commit.handle._do_commit(bare, commit.requirements)


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
    """What makes a table, which pyiceberg ends with its first properties, and what follows.

    A source's cursor, a later property, must not be visible before the rows are.
    """
    end = 1 + next(i for i, u in enumerate(updates) if isinstance(u, SetPropertiesUpdate))
    return updates[:end], updates[end:]


def _commit_alone(commits: Sequence[Commit]) -> None:
    """Commit to a server that takes one table at a time."""
    if len(commits) != 1:
        raise ConfigurationError(
            "This catalog commits one table at a time, so several tables cannot be published "
            "together.",
            got=", ".join(str(c.name) for c in commits),
            expected="one table",
            hint="Use a REST catalog that takes several (POST /v1/{prefix}/transactions/commit), "
            "or an SQL catalog (PHLO_ICEBERG_CATALOG_TYPE=sql).",
        )
    _warn_of_reads()
    _commit_one(commits[0])


def _commit_one(commit: Commit) -> None:
    commit.handle._do_commit(commit.updates, commit.requirements)


@cache
def _warn_of_reads() -> None:
    logger.warning(
        "This catalog commits one table at a time: a table that a check read may move between the "
        "last look at it and the commit. An SQL catalog (PHLO_ICEBERG_CATALOG_TYPE=sql) holds it."
    )


@dataclass(frozen=True)
class _Swap:
    """A table's next metadata, to take the place of the present one."""

    commit: Commit
    current: Table | None
    new: StagedTable


def _commit_in_database(
    catalog: SqlCatalog, commits: Sequence[Commit], reads: Mapping[TableName, int | None]
) -> None:
    swaps: list[_Swap] = []
    try:
        for commit in commits:
            swaps.append(_next_metadata(catalog, commit))
            catalog._write_metadata(
                swaps[-1].new.metadata, swaps[-1].new.io, swaps[-1].new.metadata_location
            )
    except BaseException:
        _delete_unused(swaps)
        raise
    try:
        _swap_all(catalog, swaps, reads)
    except (CommitFailedException, MovedHeadError):
        _delete_unused(swaps)
        raise
    for swap in swaps:
        if swap.current is not None:
            _delete_old_metadata(catalog, swap.current, swap.new)


def _next_metadata(catalog: SqlCatalog, commit: Commit) -> _Swap:
    current = _current(catalog, commit)
    if current is None:
        name = (commit.name.namespace, commit.name.name)
        new = catalog._update_and_stage_table(None, name, commit.requirements, commit.updates)
        return _Swap(commit, None, new)
    _refuse_unplanned(commit, current)
    for requirement in commit.requirements:
        requirement.validate(current.metadata)
    metadata = next_metadata(current, commit.updates)
    version = catalog._parse_metadata_version(current.metadata_location) + 1
    provider = load_location_provider(metadata.location, metadata.properties)
    location = provider.new_table_metadata_file_location(version)
    io = catalog._load_file_io(properties=metadata.properties, location=location)
    return _Swap(commit, current, StagedTable(current.name(), metadata, location, io, catalog))


def _current(catalog: SqlCatalog, commit: Commit) -> Table | None:
    """The table as it is; read again only where it moved since the load was planned."""
    try:
        if not commit.is_new_table:
            at = metadata_location(catalog, commit.name)
            if at == commit.handle.metadata_location:
                return commit.handle
        return catalog.load_table((commit.name.namespace, commit.name.name))
    except (NoSuchTableError, NoResultFound):
        return None


def _swap_all(
    catalog: SqlCatalog, swaps: Sequence[_Swap], reads: Mapping[TableName, int | None]
) -> None:
    try:
        with Session(catalog.engine) as session:
            for swap in swaps:
                _swap(catalog, session, swap)
            _assert_unmoved(catalog, session, reads)
            session.commit()
    except SQLAlchemyError as exc:
        # The outcome is unknown: the database may have committed before it failed to say so. A
        # connection that failed may still show its own uncommitted rows: a new one is asked.
        catalog.engine.dispose()
        if not all(_has_landed(catalog, swap.commit) for swap in swaps):
            raise MovedHeadError(
                f"The catalog did not take the commit: {type(exc).__name__}."
            ) from exc


def _delete_unused(swaps: Sequence[_Swap]) -> None:
    """Delete metadata that no catalog will name: whoever looks for the newest must not find it."""
    for swap in swaps:
        delete_files(swap.new.io, [swap.new.metadata_location])


def _swap(catalog: SqlCatalog, session: Session, swap: _Swap) -> None:
    name, current, new = swap.commit.name, swap.current, swap.new
    if current is None:
        row = catalog._create_table_row(name.namespace, name.name, new.metadata_location)
        try:
            session.execute(insert(IcebergTables).values(**row))
        except IntegrityError as exc:
            raise CommitFailedException(f"{name} was made by another process") from exc
        return
    moved = session.execute(
        update(IcebergTables)
        .where(
            *row_of(catalog, name),
            IcebergTables.metadata_location == current.metadata_location,
        )
        .values(
            metadata_location=new.metadata_location,
            previous_metadata_location=current.metadata_location,
        )
    )
    if moved.rowcount != 1:  # pyright: ignore[reportAttributeAccessIssue] - a cursor result
        raise CommitFailedException(f"{name} was changed by another process")


def row_of(catalog: SqlCatalog, name: TableName) -> tuple:
    """The condition for a table's row in the catalog's database."""
    return (
        IcebergTables.catalog_name == catalog.name,
        IcebergTables.table_namespace == name.namespace,
        IcebergTables.table_name == name.name,
    )


def metadata_location(catalog: SqlCatalog, name: TableName) -> str:
    """Where the catalog says that a table's metadata is, without reading it."""
    with Session(catalog.engine) as session:
        query = select(IcebergTables.metadata_location).where(*row_of(catalog, name))
        return str(session.execute(query).scalar_one())


def point_at(catalog: SqlCatalog, name: TableName, old: str, new: str) -> None:
    """Let the catalog name other metadata of a table.

    Raises:
        MovedHeadError: It names other metadata than ``old`` meanwhile.
    """
    with Session(catalog.engine) as session:
        moved = session.execute(
            update(IcebergTables)
            .where(*row_of(catalog, name), IcebergTables.metadata_location == old)
            .values(metadata_location=new, previous_metadata_location=None)
        )
        if moved.rowcount != 1:  # pyright: ignore[reportAttributeAccessIssue] - a cursor result
            raise MovedHeadError(f"{name} was changed by another process.")
        session.commit()


def _assert_unmoved(
    catalog: SqlCatalog, session: Session, reads: Mapping[TableName, int | None]
) -> None:
    """Hold the rows of tables that were read, in name order, and compare their heads."""
    for name in sorted(reads):
        query = select(IcebergTables.metadata_location).where(*row_of(catalog, name))
        session.execute(query.with_for_update())
        _assert_head(catalog, name, reads[name])


def _assert_head(catalog: Catalog, name: TableName, snapshot_id: int | None) -> None:
    head = catalog.load_table((name.namespace, name.name)).metadata.current_snapshot_id
    if head != snapshot_id:
        raise CommitFailedException(f"{name}, which a check read, was changed meanwhile")


def _has_landed(catalog: SqlCatalog, commit: Commit) -> bool:
    try:
        table = catalog.load_table((commit.name.namespace, commit.name.name))
    except NoSuchTableError:
        return False
    if commit.snapshot_id is None:
        return commit.is_new_table
    return table.metadata.snapshot_by_id(commit.snapshot_id) is not None


def _delete_old_metadata(catalog: Catalog, current: Table, new: Table) -> None:
    try:
        catalog._delete_old_metadata(new.io, current.metadata, new.metadata)
    except OSError:
        logger.warning("Old metadata of %s stays until the next commit.", new.name())
