"""What a commit changes, and on which state of its table it was planned."""

# pyright: reportCallIssue=false
# pyiceberg's models take their fields by name; a type checker sees the aliases alone.

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pyiceberg.exceptions import CommitFailedException, NoSuchTableError
from pyiceberg.table.refs import MAIN_BRANCH
from pyiceberg.table.update import (
    AddSnapshotUpdate,
    AssertCreate,
    AssertCurrentSchemaId,
    AssertRefSnapshotId,
    AssertTableUUID,
    RemoveSnapshotsUpdate,
    TableRequirement,
    TableUpdate,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from phlo.names import TableName
    from pyiceberg.catalog import Catalog
    from pyiceberg.table import Table
    from pyiceberg.table.metadata import TableMetadata
    from pyiceberg.table.refs import SnapshotRef

    from phlo_iceberg.write.stage import StagedLoad

Outcome = Literal["landed", "unknown", "refused"]


@dataclass(frozen=True)
class Commit:
    """One table's part of a publish.

    Attributes:
        name: The table.
        handle: The table as it was planned on.
        updates: What changes.
        requirements: What must hold of the table when the commit lands.
        snapshot_id: The new snapshot; ``None`` where none is made.
        schema_ids: Schemas of the table that a new one was numbered after; ``None`` where none
            is added.
        refs: Branches and tags that spare snapshots from expiry; ``None`` where none expire.
        files: New files that the commit makes part of the table.
    """

    name: TableName
    handle: Table
    updates: tuple[TableUpdate, ...]
    requirements: tuple[TableRequirement, ...]
    snapshot_id: int | None
    schema_ids: frozenset[int] | None = None
    refs: Mapping[str, SnapshotRef] | None = None
    files: tuple[str, ...] = ()

    @property
    def is_new_table(self) -> bool:
        """Whether the commit creates the table."""
        return any(isinstance(r, AssertCreate) for r in self.requirements)

    @property
    def identifier(self) -> tuple[str, str]:
        """The table's name as pyiceberg takes it."""
        return (self.name.namespace, self.name.name)


def commit_of(staged: StagedLoad, ref: str = MAIN_BRANCH) -> Commit:
    """Build the commit that publishes a stage: a compare-and-swap on what it was planned on."""
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
        schema_ids=_schema_ids(staged.base) if staged.base and staged.changes_schema else None,
        files=tuple(staged.change.written),
    )


def check_as_planned(commit: Commit, current: Table) -> None:
    """Check that a commit can still land on the table as it is now.

    Beside Iceberg's requirements it checks what these cannot express: schemas added, refs set, or
    snapshots removed, since the commit was planned.

    Raises:
        CommitFailedException: The table is no longer as planned.
    """
    if commit.schema_ids is not None and _schema_ids(current.metadata) != commit.schema_ids:
        raise CommitFailedException(f"{commit.name} got another schema meanwhile")
    if commit.refs is not None and current.metadata.refs != commit.refs:
        raise CommitFailedException(f"{commit.name} got another branch or tag meanwhile")
    if not _removed_snapshots(commit) <= {s.snapshot_id for s in current.metadata.snapshots}:
        raise CommitFailedException(f"{commit.name} lost the same old snapshots meanwhile")
    for requirement in commit.requirements:
        requirement.validate(current.metadata)


def assert_head(catalog: Catalog, name: TableName, snapshot_id: int | None) -> None:
    """Check that the head of a table which was read is still this snapshot.

    Raises:
        CommitFailedException: It is another one.
    """
    head = catalog.load_table((name.namespace, name.name)).metadata.current_snapshot_id
    if head != snapshot_id:
        raise CommitFailedException(f"{name}, which a check read, was changed meanwhile")


def outcome_of(catalog: Catalog, commits: Sequence[Commit]) -> Outcome:
    """Find out whether commits of one transaction landed, after one that was refused.

    A snapshot may have landed and expired since. Iceberg gives each commit to a table the next
    sequence number: only where another snapshot is seen to have the number of this one, or none
    has come so far, is it sure that this one did not land.

    Returns:
        ``landed``, ``refused``, or ``unknown``: then no file of the commits may be deleted.
    """
    certain = [c for c in commits if c.snapshot_id is not None or c.is_new_table]
    outcomes = {_outcome(_metadata_of(catalog, commit), commit) for commit in certain or commits}
    order: tuple[Outcome, ...] = ("landed", "unknown", "refused")
    return next(outcome for outcome in order if outcome in outcomes)


def _metadata_of(catalog: Catalog, commit: Commit) -> TableMetadata | None:
    try:
        return catalog.load_table(commit.identifier).metadata
    except NoSuchTableError:
        return None


def _outcome(metadata: TableMetadata | None, commit: Commit) -> Outcome:
    if metadata is None:
        return "refused"
    if commit.snapshot_id is not None:
        return _outcome_of_snapshot(metadata, commit)
    if commit.is_new_table:
        landed = metadata.table_uuid == commit.handle.metadata.table_uuid
    else:
        landed = _properties_set_by(commit).items() <= metadata.properties.items()
    return "landed" if landed else "refused"


def _outcome_of_snapshot(metadata: TableMetadata, commit: Commit) -> Outcome:
    if metadata.snapshot_by_id(commit.snapshot_id or -1) is not None:
        return "landed"
    if commit.is_new_table and metadata.table_uuid != commit.handle.metadata.table_uuid:
        return "refused"
    number = _sequence_number(commit)
    if number and metadata.next_sequence_number() <= number:
        return "refused"
    if number and any(s.sequence_number == number for s in metadata.snapshots):
        return "refused"
    return "unknown"


def _sequence_number(commit: Commit) -> int | None:
    """Return the number that the commit's snapshot would have; tables of format 1 have none."""
    added = (u.snapshot for u in commit.updates if isinstance(u, AddSnapshotUpdate))
    return next((snapshot.sequence_number for snapshot in added), None)


def _properties_set_by(commit: Commit) -> dict[str, str]:
    updates = [getattr(update, "updates", None) for update in commit.updates]
    return {k: v for values in updates if isinstance(values, dict) for k, v in values.items()}


def _removed_snapshots(commit: Commit) -> set[int]:
    removals = (u for u in commit.updates if isinstance(u, RemoveSnapshotsUpdate))
    return {snapshot_id for removal in removals for snapshot_id in removal.snapshot_ids}


def _schema_ids(metadata: TableMetadata) -> frozenset[int]:
    return frozenset(schema.schema_id for schema in metadata.schemas)
