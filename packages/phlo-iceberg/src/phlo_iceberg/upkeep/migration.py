"""Copy the tables of an embedded lake into the catalog of a project, with all that they were.

Data files are copied as they are, under the same names below the table's folder. Metadata of every
kept snapshot is written anew with the new paths, and so is the metadata that the table had before,
which undoing a run needs. A table is named in the catalog once its rows were read from the copy and
compared; until then nobody sees it, and after a kill the files that are there are not copied again.

Each copy says in a property which metadata it is a copy of. By that, another migration knows what
is there, and what the embedded lake has loaded since.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from phlo.errors import (
    ConfigurationError,
    InvalidNameError,
    MigrationError,
    UnreadableTableError,
    UnsupportedCatalogError,
    UnsupportedTableError,
)
from phlo.folders import CATALOG
from phlo.names import MAIN
from pyiceberg.catalog.sql import IcebergNamespaceProperties, IcebergTables, SqlCatalog
from sqlalchemy import insert, select, update

from phlo_iceberg.branches.metadata import MIGRATED_PROPERTY
from phlo_iceberg.branches.names import lake_name, open_branch
from phlo_iceberg.branches.records import (
    BASES,
    created_at_ms,
    make_tables,
    read_bases,
    source_name,
)
from phlo_iceberg.branches.transaction import RefusedError, send_transaction
from phlo_iceberg.commit.branch_lock import BRANCHES, SEPARATOR
from phlo_iceberg.commit.sql import row_of
from phlo_iceberg.pyiceberg_private import table_row
from phlo_iceberg.read.fingerprint import fingerprint
from phlo_iceberg.read.metadata import read_table_metadata
from phlo_iceberg.read.state import TableState
from phlo_iceberg.upkeep.copying import copy_file, each, has_same_bytes, write_metadata_file
from phlo_iceberg.upkeep.embedded import open_embedded
from phlo_iceberg.upkeep.migration_plan import (
    MigrationPlan,
    Planner,
    TableCopy,
    other_content,
    unreadable,
)
from phlo_iceberg.write.files import SYNC_PROPERTY, list_files, sync_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from phlo.branches import Branch
    from phlo.migration import MigratedTable
    from phlo.names import TableName
    from pyiceberg.catalog import Catalog
    from pyiceberg.table.metadata import TableMetadata
    from sqlalchemy.orm import Session


def migrate_lake(
    catalog: Catalog,
    folder: Path,
    tables: Sequence[TableName],
    *,
    dry_run: bool,
    on_table: Callable[[MigratedTable], None],
) -> list[MigratedTable]:
    """Copy tables of an embedded lake (see :class:`phlo.migration.MigratesTables`)."""
    target = _require_target(catalog)
    source = open_embedded(folder, target.name)
    try:
        _refuse_itself(folder, source, target)
        plan = Planner(source, target).plan(tables)
        if not dry_run:
            _carry_out(source, target, plan, on_table)
        return [copy.report for copy in plan.copies]
    finally:
        source.engine.dispose()


def _require_target(catalog: Catalog) -> SqlCatalog:
    if isinstance(catalog, SqlCatalog):
        return open_branch(catalog, MAIN)
    raise UnsupportedCatalogError(
        "This catalog cannot take tables with their history.",
        got=f"a catalog of type {type(catalog).__name__}",
        expected="an SQL catalog, such as PostgreSQL",
        hint="Set PHLO_ICEBERG_CATALOG_TYPE=sql with PHLO_ICEBERG_CATALOG_URI, or load the tables "
        "again: phlo backfill",
    )


def _refuse_itself(folder: Path, source: SqlCatalog, target: SqlCatalog) -> None:
    """Refuse to copy a lake into its own catalog or its own warehouse."""
    other = target.engine.url.database or ""
    is_sqlite = target.engine.name == "sqlite"
    if is_sqlite and CATALOG.path(folder).resolve() == Path(other).resolve():
        raise ConfigurationError(
            "The settings still name the embedded catalog, so there is nothing to copy into.",
            got=f"the catalog {other}",
            expected="another catalog, such as postgresql+psycopg://user:password@host/lake",
            hint="Set PHLO_ICEBERG_CATALOG_URI and PHLO_ICEBERG_WAREHOUSE in .env.",
        )
    mine, theirs = (c.properties["warehouse"].rstrip("/") + "/" for c in (source, target))
    if mine.startswith(theirs) or theirs.startswith(mine):
        raise ConfigurationError(
            "The warehouse of the settings is that of the embedded lake.",
            got=theirs.rstrip("/"),
            expected="another folder, or an address such as s3://lake/warehouse",
            hint="Set PHLO_ICEBERG_WAREHOUSE in .env.",
        )


# -- tables


def _carry_out(
    source: SqlCatalog,
    target: SqlCatalog,
    plan: MigrationPlan,
    on_table: Callable[[MigratedTable], None],
) -> None:
    make_tables(target)
    _copy_namespaces(source, target)
    for copy in plan.of_branch(MAIN):
        if copy.action != "present":
            on_table(copy.report)
            _copy_whole(target, copy)
            _name_table(target, copy)
    for branch in plan.branches:
        copies = plan.of_branch(branch.name)
        for copy in copies:
            on_table(copy.report)
            _copy_whole(target, copy)
        _name_branch(source, target, branch, plan)


def _copy_whole(target: SqlCatalog, copy: TableCopy) -> None:
    """Copy a table's files and write its metadata; nothing names them yet.

    Raises:
        MigrationError: The copy does not have the rows of the original.
    """
    origin, moved = copy.origin.stored.io, copy.relocation.moved
    try:
        each(lambda path: copy_file(origin, path, copy.io, moved(path)), copy.missing)
        metadata = _with_mark(copy, copy.relocation.metadata())
    except FileNotFoundError as error:
        raise unreadable(copy.origin.table, error) from error
    _write_earlier(copy)
    write_metadata_file(metadata, copy.io, copy.location)
    _verify(copy, metadata)
    if target.properties.get(SYNC_PROPERTY) != "false":
        sync_files(path for path, _ in list_files(copy.io, copy.folder))


def _with_mark(copy: TableCopy, metadata: TableMetadata) -> TableMetadata:
    properties = {**metadata.properties, MIGRATED_PROPERTY: copy.origin.stored.location}
    return metadata.model_copy(update={"properties": properties})


def _write_earlier(copy: TableCopy) -> None:
    """Write the metadata that the table had before; what the original lost, the copy lacks."""

    def write(path: str) -> None:
        new_path = copy.relocation.moved(path)
        if copy.io.new_input(new_path).exists():
            return  # of an earlier migration, which may have named it
        try:
            earlier = read_table_metadata(copy.origin.stored.io, path)
        except UnreadableTableError:
            return
        write_metadata_file(_with_mark(copy, copy.relocation.renamed(earlier)), copy.io, new_path)

    each(write, [entry.metadata_file for entry in copy.metadata.metadata_log])


def _verify(copy: TableCopy, metadata: TableMetadata) -> None:
    """Compare the rows of each branch and tag, and the bytes of files that only history needs.

    Raises:
        MigrationError: They differ.
    """
    table, read = copy.origin.table, set[str]()
    for snapshot_id in sorted({ref.snapshot_id for ref in copy.metadata.refs.values()}):
        before = copy.state(snapshot_id)
        try:
            was, now = (
                fingerprint(before),
                fingerprint(TableState(table, metadata, copy.io, snapshot_id)),
            )
        except (UnsupportedTableError, InvalidNameError):
            continue  # phlo cannot read its rows: its files are compared instead
        if was != now:
            raise _differs(
                copy,
                f"{now.row_count} rows with the hash {now.hash_sum}",
                f"{was.row_count} rows with the hash {was.hash_sum}",
            )
        read |= {task.file.file_path for task in before.all_tasks}
    each(lambda path: _compare_bytes(copy, path), sorted(copy.sizes.keys() - read))


def _compare_bytes(copy: TableCopy, path: str) -> None:
    new_path = copy.relocation.moved(path)
    if not has_same_bytes(copy.origin.stored.io, path, copy.io, new_path):
        raise _differs(copy, f"other bytes in {new_path}", f"those of {path}")


def _differs(copy: TableCopy, got: str, expected: str) -> MigrationError:
    return MigrationError(
        f"The copy of {copy.origin.table} differs from the original. The catalog does not name it.",
        got=got,
        expected=expected,
        hint=f"Delete {copy.folder}, and run the migration again.",
        table=copy.origin.table,
    )


# -- the rows of the catalog


def _copy_namespaces(source: SqlCatalog, target: SqlCatalog) -> None:
    """Make the namespaces that are missing, with their properties."""
    for namespace in source.list_namespaces():
        if not target.namespace_exists(namespace):
            target.create_namespace_if_not_exists(
                namespace, source.load_namespace_properties(namespace)
            )


def _name_table(target: SqlCatalog, copy: TableCopy) -> None:
    """Let the catalog name a copy, if it is as it was when the copy was planned."""
    what = f"take the table {copy.origin.table}"
    try:
        send_transaction(target, what, lambda session: _set_row(session, target, copy))
    except RefusedError as error:
        raise other_content([str(copy.origin.table)], target.name) from error


def _set_row(session: Session, catalog: SqlCatalog, copy: TableCopy) -> None:
    name = copy.origin.table
    row = row_of(catalog, name)
    now = session.execute(
        select(IcebergTables.metadata_location).where(*row).with_for_update()
    ).scalar_one_or_none()
    if now != copy.replaced:
        raise RefusedError(str(name))
    if now is None:
        values = table_row(catalog, name.namespace, name.name, copy.location)
        session.execute(insert(IcebergTables).values(**values))
    else:
        values = {"metadata_location": copy.location, "previous_metadata_location": now}
        session.execute(update(IcebergTables).where(*row).values(**values))


def _name_branch(
    source: SqlCatalog, target: SqlCatalog, branch: Branch, plan: MigrationPlan
) -> None:
    """Let the catalog have a branch with its tables, and with what they began from."""
    old, new = open_branch(source, branch.name), open_branch(target, branch.name)
    copies = plan.of_branch(branch.name)
    bases = list(_moved_bases(old, new, [*plan.of_branch(MAIN), *copies]))
    namespaces = [(n, old.load_namespace_properties(n)) for n in old.list_namespaces()]

    def change(session: Session) -> None:
        if session.execute(select(BRANCHES).where(BRANCHES.c.catalog_name == new.name)).first():
            raise RefusedError(new.name)
        session.execute(insert(BRANCHES).values(**_branch_row(source, target, branch)))
        for copy in copies:
            _set_row(session, new, copy)
        if bases:
            session.execute(insert(BASES), bases)
        for namespace, properties in namespaces:
            _insert_namespace(session, new.name, ".".join(namespace), properties)

    try:
        send_transaction(target, f"take the branch {branch.name}", change)
    except RefusedError as error:
        raise MigrationError(
            f"Another process made the branch {branch.name!r} meanwhile.",
            hint="Run the migration again.",
        ) from error


def _branch_row(source: SqlCatalog, target: SqlCatalog, branch: Branch) -> dict[str, object]:
    of = source_name(source, branch).partition(SEPARATOR)
    return {
        "catalog_name": f"{lake_name(target.name)}{SEPARATOR}{branch.name}",
        "source": f"{lake_name(target.name)}{of[1]}{of[2]}",
        "created_at_ms": created_at_ms(branch),
    }


def _moved_bases(
    old: SqlCatalog, new: SqlCatalog, copies: Sequence[TableCopy]
) -> Iterable[dict[str, object]]:
    """Yield the records of what the tables of a branch began from, with the new paths.

    Args:
        old: The branch in the embedded lake.
        new: The branch in the target.
        copies: Tables of main and of the branch.
    """
    for base in read_bases(old).values():
        paths = {
            name: _moved_path(old, new, copies, getattr(base, name))
            for name in ("base_location", "branch_location")
        }
        yield {**base._asdict(), **paths, "catalog_name": new.name}


def _moved_path(old: SqlCatalog, new: SqlCatalog, copies: Sequence[TableCopy], path: str) -> str:
    """Return where metadata is now: in the folder of a copy, or of a table that nobody has."""
    for copy in copies:
        if path.startswith(copy.metadata.location.rstrip("/") + "/"):
            return copy.relocation.moved(path)
    mine, theirs = (c.properties["warehouse"].rstrip("/") for c in (old, new))
    return theirs + path.removeprefix(mine) if path.startswith(f"{mine}/") else path


def _insert_namespace(
    session: Session, catalog: str, namespace: str, properties: Mapping[str, str]
) -> None:
    for key, value in (properties or {"exists": "true"}).items():
        session.execute(
            insert(IcebergNamespaceProperties).values(
                catalog_name=catalog, namespace=namespace, property_key=key, property_value=value
            )
        )
