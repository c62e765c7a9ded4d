"""What will fail when assets are made, known without making them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
from phlo.errors import PhloError
from phlo.lake import open_lake

if TYPE_CHECKING:
    from collections.abc import Collection

    from phlo.names import TableName
    from phlo.project import Project
    from phlo.values import ProjectProblem


def find_problems(project: Project, tables: Collection[str] | None = None) -> list[ProjectProblem]:
    """Ask all plugins for the problems of a project, or of some of its tables."""
    columns = _Columns(project)
    handed_over = project.hooks.phlo_register_problems(project=project, columns_of=columns.of)
    problems = [problem for part in handed_over for problem in part]
    return [p for p in problems if tables is None or str(p.table) in tables]


class _Columns:
    """The columns that tables will have after their next load."""

    def __init__(self, project: Project) -> None:
        self._project = project

    def of(self, table: TableName) -> pa.Schema | None:
        """Return the declared columns, and the stored ones that the declaration leaves out."""
        asset = self._project.tables.get(table)
        declare = asset.declared_schema if asset is not None else None
        declared = declare() if declare is not None else None
        stored = _stored_columns(table)
        if declared is None or stored is None:
            return declared if stored is None else stored
        kept = [field for field in stored if field.name not in declared.names]
        return pa.schema([*declared, *kept])


def _stored_columns(table: TableName) -> pa.Schema | None:
    try:
        store = open_lake().store
        return store.load(table).schema if store.exists(table) else None
    except PhloError:
        return None  # doctor tells of the store apart
