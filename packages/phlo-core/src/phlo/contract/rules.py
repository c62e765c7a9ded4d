"""Pandera's checks as SQL, and those that only Pandera can judge.

A rule's predicate is TRUE for rows that break it; nulls (and NaN, which Pandera counts as null)
pass every rule but ``not_nullable``.
"""

from __future__ import annotations

import json
import logging
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from phlo.contract.pandera_private import with_function
from phlo.contract.patterns import to_sql_pattern
from phlo.errors import QueryError
from phlo.sql import Identifier, Sql, SqlValue, all_of, literal, sql

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    import pandas as pd
    from pandera.api.checks import Check
    from pandera.api.pandas.container import DataFrameSchema
    from phlo.contract.patterns import Where
    from phlo.contract.types import ContractColumn

    _Compiler = Callable[[ContractColumn, Mapping[str, Any]], Sql]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule that SQL can judge.

    Attributes:
        name: For people, such as ``value: in_range(0, 100)``.
        columns: What it reads.
        predicate: SQL in Trino's dialect, TRUE for rows that break the rule.
    """

    name: str
    columns: tuple[str, ...]
    predicate: Sql


@dataclass(frozen=True, slots=True)
class FrameRule:
    """A rule that only Pandera can judge: a function, a group, a pattern SQL does not know.

    Attributes:
        name: For people.
        columns: What it needs; all columns for a rule about whole rows.
        check: Pandera's check.
        column: The column it is about; ``None``: whole rows.
        schema: The contract's columns by name, for the types of the frame.
        reader: The check's function, where it reads other columns as attributes of ``cls``; see
            :class:`_ColumnsOfRows`.
    """

    name: str
    columns: tuple[str, ...]
    check: Check
    column: str | None
    schema: Mapping[str, ContractColumn]
    reader: Callable[..., Any] | None = None

    def failing(self, rows: pa.Table) -> list[int]:
        """Return positions of rows that break the rule.

        Args:
            rows: Conformed rows with ``columns``; zero rows allowed. A rule about whole rows
                sees those that are there.

        Returns:
            Positions from 0, ascending. A check that answers with one verdict for all rows, or
            that raises, fails every row, as in Pandera.
        """
        if rows.num_rows == 0:
            return []
        present = [name for name in self.columns if name in rows.column_names]
        frame = to_frame(rows.select(present), self.schema)
        return self._judge(frame)

    def _judge(self, frame: pd.DataFrame) -> list[int]:
        everything = list(range(len(frame)))
        try:
            verdict = self._call(frame)
        except Exception as exc:  # noqa: BLE001 - Pandera counts a check that raises as failed
            logger.warning("The check %s raised %r, so every row fails it.", self.name, exc)
            return everything
        if bool(verdict.check_passed):
            return []
        output = verdict.check_output
        if hasattr(output, "columns"):
            output = output.all(axis=1)
        if not hasattr(output, "index") or not set(output.index) <= set(frame.index):
            return everything
        return sorted(int(i) for i in output.index[~output.astype(bool)])

    def _call(self, frame: pd.DataFrame) -> Any:
        if self.column is None:
            return self.check(frame)
        if self.check.groupby:
            return self.check(frame, self.column)
        check = self.check if self.reader is None else self._with_columns(self.reader, frame)
        return check(frame[self.column])

    def _with_columns(self, reader: Callable[..., Any], frame: pd.DataFrame) -> Check:
        """Return the check with a ``cls`` that has the rows' columns."""

        def judge(values: pd.Series) -> Any:
            return reader(_ColumnsOfRows(frame.loc[values.index]), values)

        return with_function(self.check, judge)


class _ColumnsOfRows:
    """Stands for a model in a check that compares a column with ``cls.other_column``.

    In Pandera an attribute of the model is the column's name, so that such a check could never
    pass; here it is the column, for the rows that are judged.
    """

    def __init__(self, frame: pd.DataFrame) -> None:
        self._frame = frame

    def __getattr__(self, name: str) -> Any:
        try:
            return self._frame[name]
        except KeyError as exc:
            raise AttributeError(name) from exc


def compile_rules(
    schema: DataFrameSchema,
    columns: Sequence[ContractColumn],
    patterns: Mapping[str, str],
    readers: Mapping[str, Callable[..., Any]],
) -> tuple[tuple[Rule, ...], tuple[FrameRule, ...], tuple[Rule | FrameRule, ...]]:
    """Split a schema's checks into what SQL judges and what Pandera must.

    Args:
        schema: Pandera's schema.
        columns: Its columns as the contract has them.
        patterns: Whole-value patterns by column.
        readers: Functions of checks that read other columns from ``cls``, by their name.

    Returns:
        The rules for SQL, the others, and those of either kind that only warn
        (``raise_warning=True``).
    """
    found = list(_compiled(schema, columns, patterns, readers))
    rules = [rule for rule, warns in found if not warns]
    return (
        tuple(rule for rule in rules if isinstance(rule, Rule)),
        tuple(rule for rule in rules if isinstance(rule, FrameRule)),
        tuple(rule for rule, warns in found if warns),
    )


def _compiled(
    schema: DataFrameSchema,
    columns: Sequence[ContractColumn],
    patterns: Mapping[str, str],
    readers: Mapping[str, Callable[..., Any]],
) -> Iterator[tuple[Rule | FrameRule, bool]]:
    """Yield every rule, and whether it only warns."""
    by_name = {c.name: c for c in columns}
    for column in columns:
        yield from ((rule, False) for rule in _nullability(column))
        checks = [*schema.columns[column.name].checks, *_pattern_check(patterns.get(column.name))]
        for check in checks:
            rule = _compile_rule(check, column, by_name, readers.get(str(check.name)))
            yield rule, check.raise_warning
    for check in schema.checks or []:
        rule = FrameRule(_check_name(check), tuple(by_name), check, None, by_name)
        yield rule, check.raise_warning


def _compile_rule(
    check: Check,
    column: ContractColumn,
    by_name: Mapping[str, ContractColumn],
    reader: Callable[..., Any] | None,
) -> Rule | FrameRule:
    name = f"{column.name}: {_check_name(check)}"
    predicate = compile_check(check, column)
    if predicate is not None:
        return Rule(name, (column.name,), predicate)
    is_alone = not check.groupby and reader is None
    needed = (column.name,) if is_alone else tuple(by_name)
    return FrameRule(name, needed, check, column.name, by_name, reader)


def _nullability(column: ContractColumn) -> Iterable[Rule]:
    if not column.nullable:
        yield Rule(f"{column.name}: not_nullable", (column.name,), is_null(column))


def is_null(column: ContractColumn) -> Sql:
    """Return the condition that a value is null as Pandera sees it: NaN is."""
    name = Identifier(column.name)
    if pa.types.is_floating(column.type):
        return sql("{c} IS NULL OR is_nan({c})", c=name)
    return sql("{c} IS NULL", c=name)


def _check_name(check: Check) -> str:
    return str(check.error or check.name)


def _pattern_check(pattern: str | None) -> list[Check]:
    if pattern is None:
        return []
    import pandera.pandas as pandera

    def matches_whole(values: pd.Series) -> pd.Series:
        return values.map(lambda value: re.fullmatch(pattern, value) is not None)

    check = pandera.Check(matches_whole, error=f"matches({pattern!r})")
    check.statistics = {"whole_pattern": pattern}
    return [check]


def compile_check(check: Check, column: ContractColumn) -> Sql | None:
    """Return the predicate of rows that break a check; ``None``: only Pandera can judge it."""
    if check.groupby or check.element_wise or not check.ignore_na or column.is_nested:
        return None
    facts = check.statistics
    name = "whole_pattern" if "whole_pattern" in facts else str(check.registry_name)
    holds = _holds(name, column, facts)
    if holds is None:
        return None
    if pa.types.is_floating(column.type):
        return sql("NOT is_nan({c}) AND NOT ({h})", c=Identifier(column.name), h=holds)
    return sql("NOT ({h})", h=holds)


def _holds(name: str, column: ContractColumn, facts: Mapping[str, Any]) -> Sql | None:
    try:
        compiler = _COMPILERS.get(name)
        return compiler(column, facts) if compiler is not None else None
    except (KeyError, QueryError, _NotInSqlError):
        return None


class _NotInSqlError(Exception):
    """SQL would judge the value otherwise than Pandera."""


def _compare(operator: str, fact: str) -> _Compiler:
    def compiler(column: ContractColumn, facts: Mapping[str, Any]) -> Sql:
        value = _value(column, facts[fact])
        return sql("{c} {o} {v}", c=Identifier(column.name), o=Sql(operator), v=value)

    return compiler


def _in_range(column: ContractColumn, facts: Mapping[str, Any]) -> Sql:
    above = _compare(">=" if facts.get("include_min", True) else ">", "min_value")
    below = _compare("<=" if facts.get("include_max", True) else "<", "max_value")
    return all_of([above(column, facts), below(column, facts)])


def _is_in(column: ContractColumn, facts: Mapping[str, Any], fact: str = "allowed_values") -> Sql:
    if isinstance(facts[fact], str):
        raise _NotInSqlError  # Pandera means the characters of the text
    values = [_value(column, value) for value in facts[fact]]
    if not values:
        return Sql("FALSE")
    return sql("{c} IN ({v})", c=Identifier(column.name), v=values)


def _not_in(column: ContractColumn, facts: Mapping[str, Any]) -> Sql:
    return sql("NOT ({p})", p=_is_in(column, facts, "forbidden_values"))


def _matches(where: Where, fact: str = "pattern") -> _Compiler:
    def compiler(column: ContractColumn, facts: Mapping[str, Any]) -> Sql:
        pattern = facts[fact]
        text = to_sql_pattern(pattern, where) if isinstance(pattern, str) else None
        if text is None or not pa.types.is_string(column.type):
            raise _NotInSqlError
        return sql("regexp_like({c}, {p})", c=Identifier(column.name), p=text)

    return compiler


def _starts(column: ContractColumn, facts: Mapping[str, Any]) -> Sql:
    start = _text(column, facts["string"])
    part = sql("substr({c}, 1, {n})", c=Identifier(column.name), n=len(start))
    return sql("{p} = {s}", p=part, s=start)


def _ends(column: ContractColumn, facts: Mapping[str, Any]) -> Sql:
    end = _text(column, facts["string"])
    if not end:
        return Sql("TRUE")
    name = Identifier(column.name)
    part = sql("substr({c}, length({c}) - {n})", c=name, n=len(end) - 1)
    return sql("length({c}) >= {n} AND {p} = {e}", c=name, n=len(end), p=part, e=end)


def _length(column: ContractColumn, facts: Mapping[str, Any]) -> Sql:
    _text(column, "")
    bounds = (("exact_value", "="), ("min_value", ">="), ("max_value", "<="))
    if facts.get("exact_value") is not None:
        bounds = bounds[:1]
    name = Identifier(column.name)
    return all_of(
        [
            sql("length({c}) {o} {v}", c=name, o=Sql(operator), v=int(facts[fact]))
            for fact, operator in bounds
            if facts.get(fact) is not None
        ]
    )


def _text(column: ContractColumn, value: Any) -> str:
    if not isinstance(value, str) or not pa.types.is_string(column.type):
        raise _NotInSqlError
    return value


_COMPILERS: dict[str, _Compiler] = {
    "equal_to": _compare("=", "value"),
    "not_equal_to": _compare("<>", "value"),
    "greater_than": _compare(">", "min_value"),
    "greater_than_or_equal_to": _compare(">=", "min_value"),
    "less_than": _compare("<", "max_value"),
    "less_than_or_equal_to": _compare("<=", "max_value"),
    "in_range": _in_range,
    "isin": _is_in,
    "notin": _not_in,
    "str_matches": _matches("start"),
    "str_contains": _matches("anywhere"),
    "whole_pattern": _matches("whole", "whole_pattern"),
    "str_startswith": _starts,
    "str_endswith": _ends,
    "str_length": _length,
}


def _value(column: ContractColumn, value: Any) -> Sql:
    """Return a value of the column's own kind as a literal; Pandera alone compares others."""
    value = value.item() if hasattr(value, "item") else value
    value = value.to_pydatetime() if hasattr(value, "to_pydatetime") else value
    if value is None or not _is_same_kind(column.type, value):
        raise _NotInSqlError
    if isinstance(value, datetime):
        value = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    return literal(value)


def _is_same_kind(kind: pa.DataType, value: SqlValue) -> bool:
    if isinstance(value, bool):
        return pa.types.is_boolean(kind)
    if isinstance(value, int):
        return pa.types.is_integer(kind) or pa.types.is_decimal(kind) or kind == pa.float64()
    if isinstance(value, float):
        return value == value and (pa.types.is_integer(kind) or kind == pa.float64())
    if isinstance(value, Decimal):
        return pa.types.is_decimal(kind)
    if isinstance(value, str):
        return pa.types.is_string(kind)
    if isinstance(value, datetime):
        return pa.types.is_timestamp(kind)
    return isinstance(value, date) and pa.types.is_date(kind)


def to_frame(rows: pa.Table, columns: Mapping[str, ContractColumn]) -> pd.DataFrame:
    """Return conformed rows as the frame Pandera would see.

    Args:
        rows: Columns of the contract, in its Arrow types.
        columns: The contract's columns by name.

    Returns:
        A frame with the index 0, 1, ...; integers with nulls are ``Int64``, times are naive UTC
        unless the contract names a zone, nested values are lists and dicts again.
    """
    import pandas as pd

    return pd.DataFrame(
        {name: _series(rows.column(name), columns[name]) for name in rows.column_names}
    )


def _series(values: pa.ChunkedArray, column: ContractColumn) -> pd.Series:
    import pandas as pd

    if column.is_nested:
        texts = values.to_pylist()
        return pd.Series([None if t is None else json.loads(t) for t in texts], dtype=object)
    if pa.types.is_timestamp(column.type):
        times = values.to_pandas()
        zone = column.time_zone
        times = (
            times.dt.tz_convert(zone) if zone else times.dt.tz_convert("UTC").dt.tz_localize(None)
        )
        # Microseconds, as the table has them: nanoseconds end in the year 2262.
        return times.astype(f"datetime64[us, {zone}]" if zone else "datetime64[us]")
    if values.null_count and pa.types.is_integer(column.type):
        return values.to_pandas(types_mapper={column.type: pd.Int64Dtype()}.get)
    if values.null_count and pa.types.is_boolean(column.type):
        return values.to_pandas(types_mapper={column.type: pd.BooleanDtype()}.get)
    return values.to_pandas()
