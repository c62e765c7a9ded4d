"""Fields inside nested columns, which DuckDB finds by name and Iceberg by id.

Columns are read by field id, fields inside a struct by name. The two part where an engine renamed
such a field, or dropped it and added one of the same name: read by name, what was written before
would be null, or another field's. Such files are refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow.parquet as pq
from phlo.errors import UnsupportedTypeError
from pyiceberg.io.pyarrow import pyarrow_to_schema
from pyiceberg.schema import Schema, index_by_id, index_name_by_id
from pyiceberg.types import NestedField

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pyiceberg.table import FileScanTask

    from phlo_iceberg.scan import TableState

Paths = dict[int, str]
"""Where the fields of one column stand, by their ids, the column itself called ``c``."""


def refuse_moved(state: TableState, columns: Iterable[str], tasks: Sequence[FileScanTask]) -> None:
    """Refuse files in which a field inside a column has another name or id than in the schema.

    Files are opened only where the table's schemas show that a field was renamed.

    Raises:
        UnsupportedTypeError: Such a file is there.
    """
    for column in map(state.schema.find_field, columns):
        if column.field_type.is_primitive:
            continue
        now = _paths(state.schema, column.field_id)
        if any(_moved(now, _paths(s, column.field_id)) for s in state.metadata.schemas):
            for task in tasks:
                _refuse_file(state, column, now, task.file.file_path)


def _refuse_file(state: TableState, column: NestedField, now: Paths, path: str) -> None:
    with state.io.new_input(path).open() as file:
        written = pyarrow_to_schema(pq.read_schema(file))
    if moved := _moved(now, _paths(written, column.field_id)):
        raise UnsupportedTypeError(
            f"{state.name}: a field inside {column.name!r} was renamed, and what was written "
            "before cannot be read.",
            got=moved,
            expected="fields inside a column that keep their names",
            hint="Rename it back, or let the engine that renamed it write the table anew.",
            table=state.name,
            column=column.name,
        )


def _paths(schema: Schema, column_id: int) -> Paths:
    column = index_by_id(schema).get(column_id)
    if column is None:
        return {}
    alone = Schema(NestedField(column_id, "c", column.field_type, column.required))
    return index_name_by_id(alone)


def _moved(now: Paths, before: Paths) -> str:
    """How two layouts contradict each other, for people; nothing where they do not."""
    ids = {path: number for number, path in now.items()}
    for number, path in before.items():
        if ids.get(path, number) != number:
            return f"another field that was called {path.removeprefix('c.')!r}"
        if now.get(number, path) != path:
            return f"{path.removeprefix('c.')!r}, now {now[number].removeprefix('c.')!r}"
    return ""
