"""Checks that cannot run over the columns that their table will have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from phlo.errors import ColumnNotFoundError, TableNotFoundError, UnsupportedTypeError
from phlo.values import ProjectProblem

from phlo_quality.checks.base import SqlCheck
from phlo_quality.rows import DELIVERED_RELATION, JudgedRows
from phlo_quality.suite import Suite

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pyarrow as pa
    from phlo.names import TableName
    from phlo.project import Project

    from phlo_quality.declared import DeclaredCheck


def find_problems(
    project: Project, columns_of: Callable[[TableName], pa.Schema | None]
) -> Iterator[ProjectProblem]:
    """Yield the checks whose columns are missing, or of a type that the check cannot judge.

    Checks of tables whose columns nobody knows are left out.
    """

    def require_columns(table: TableName) -> pa.Schema:
        columns = columns_of(table)
        if columns is None:
            raise TableNotFoundError(f"{table} has no columns yet.")
        return columns

    for suite in project.specs(Suite):
        columns = columns_of(suite.table)
        if columns is not None:
            rows = JudgedRows(suite.table, columns, DELIVERED_RELATION, columns_of=require_columns)
            for declared in suite.checks:
                yield from _problems_of(declared, rows)


def _problems_of(declared: DeclaredCheck, rows: JudgedRows) -> Iterator[ProjectProblem]:
    check = declared.check
    try:
        rows.require(check.columns)
        if isinstance(check, SqlCheck):
            check.measures(rows)
    except (ColumnNotFoundError, UnsupportedTypeError) as error:
        yield ProjectProblem(rows.table, f"check {declared.name}", error.message, error.hint or "")
    except TableNotFoundError:
        return  # it compares with a table that is not there yet
