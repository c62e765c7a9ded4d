"""Judge a frame by a check written in SQL, as in notebooks and in tests of suites."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa
import pyarrow.dataset as ds
from phlo.errors import MissingProviderError
from phlo.lake import open_lake
from phlo.names import TableName
from phlo.sql import Identifier, Sql, sql

from phlo_quality.rows import DELIVERED, DELIVERED_RELATION, JudgedRows, Reader

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from phlo.protocols import QueryEngine

    from phlo_quality.results import QualityCheckResult

_FRAME = TableName("memory", "frame")


class _MeasuringCheck(Protocol):
    """What :class:`phlo_quality.checks.SqlCheck` offers to judge rows."""

    @property
    def columns(self) -> Sequence[str]:
        """Columns that the rows must have."""
        ...

    def measures(self, rows: JudgedRows) -> Mapping[str, Sql]:
        """Return the aggregates to select."""
        ...

    def examine(
        self, measured: Mapping[str, Any], rows: JudgedRows, reader: Reader
    ) -> QualityCheckResult:
        """Judge their values."""
        ...


def judge_frame(check: _MeasuringCheck, df: pd.DataFrame) -> QualityCheckResult:
    """Judge all rows of a frame by a check.

    Args:
        check: A check written in SQL; the current project's query engine answers it, or where no
            plugin provides one, DuckDB alone.
        df: The rows. Its index is no column.

    Raises:
        ColumnNotFoundError: The frame lacks a column of the check.
        UnsupportedTypeError: A column is of a type that the check cannot judge.
        MissingProviderError: The check reads another table, and no plugin provides a store.
    """
    table = pa.Table.from_pandas(df, preserve_index=False)
    rows = JudgedRows(
        _FRAME, table.schema, DELIVERED_RELATION, whole=DELIVERED_RELATION, label="frame"
    )
    rows.require(check.columns)
    reader = Reader(_engine(), relations={DELIVERED: ds.dataset(table)})
    rows = replace(rows, columns_of=reader.columns)
    measures = {**check.measures(rows), "row_count": Sql("count(*)")}
    values = [sql("{a} AS {n}", a=a, n=Identifier(n)) for n, a in measures.items()]
    (measured,) = reader.measured(sql("SELECT {v} FROM {rows}", v=values, rows=rows.judged))
    result = check.examine(measured, rows, reader)
    # The SQL reads the frame, which nobody else can.
    return replace(
        result,
        sql=None,
        check_name=type(check).__name__,
        columns=tuple(result.columns) or tuple(check.columns),
        scope=rows.label,
    )


def _engine() -> QueryEngine:
    try:
        return open_lake().embedded_engine
    except MissingProviderError:
        from phlo_quality.frame_engine import FrameEngine

        return FrameEngine()
