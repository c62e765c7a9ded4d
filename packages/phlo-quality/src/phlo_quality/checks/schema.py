"""A table as a Pandera schema promises it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Unpack

from phlo.names import is_metadata_column
from phlo.sql import Identifier, Sql, any_of, sql
from phlo.words import counted

from phlo_quality.arguments import refuse
from phlo_quality.checks.base import CheckOptions, SqlCheck, count_where
from phlo_quality.checks.unique import UniqueCheck
from phlo_quality.results import SAMPLE_ROWS, QualityCheckResult

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pyarrow as pa
    from pandera.pandas import DataFrameModel
    from phlo.contract import Contract, ContractColumn, Rule

    from phlo_quality.rows import JudgedRows, Reader

    _Failing = tuple[int, list[dict[str, Any]]]
    """How many rows fail, and the first of them."""


@dataclass(frozen=True)
class _Rule:
    """A rule of the schema that SQL judges: how many rows break it, and which."""

    name: str
    count: Sql
    failing: Sql
    reproducing: Sql


class SchemaCheck(SqlCheck):
    """Columns, types and every rule of a Pandera schema.

    Columns and types are judged even where there are no rows. Rules are judged as SQL where SQL
    can say them, functions by Pandera on the columns they need. Columns that describe a load
    (``_phlo_*``, ``_dlt_*``) are no part of the schema.

    Args:
        schema: A subclass of Pandera's ``DataFrameModel``.
        **options: ``name``, ``severity``, ``description``.

    Raises:
        InvalidArgumentError: ``schema`` is no such class.
        UnsupportedTypeError: A field has a type that tables do not have.

    Source: developer guide, "Built-in Checks".
    """

    def __init__(self, schema: type[DataFrameModel], **options: Unpack[CheckOptions]) -> None:
        super().__init__(**options)
        if not isinstance(schema, type) or not hasattr(schema, "to_schema"):
            refuse(self, "schema", schema, "a subclass of pandera.DataFrameModel")
        self.schema = schema
        self._contract()  # a schema that no table can have is refused where it is written

    @property
    def label(self) -> str:
        """The schema's name."""
        return self.schema.__name__

    def measures(self, rows: JudgedRows) -> Mapping[str, Sql]:
        """Count failing rows by rule, and by all rules about rows; none where columns are wrong."""
        if self._column_problems(rows):
            return {}
        row_rules = any_of([rule.predicate for rule in self._row_rules(rows)])
        counts = {f"rule.{rule.name}": rule.count for rule in self._rules(rows)}
        return {**counts, "row_rules": self._count(row_rules, rows)}

    def examine(
        self, measured: Mapping[str, Any], rows: JudgedRows, reader: Reader
    ) -> QualityCheckResult:
        """Judge the columns, then what SQL counted, then what only Pandera can judge."""
        problems = self._column_problems(rows)
        if problems:
            return QualityCheckResult(
                False,
                message=f"{self.label}: {'; '.join(problems)}.",
                row_count=measured["row_count"],
                metrics={"column_problems": problems},
            )
        if measured["row_count"] == 0:
            return QualityCheckResult.skipped("columns and types hold; no data for the rules")
        in_frames = dict(self._judge_frames(rows, reader))
        broken = {rule.name: measured[f"rule.{rule.name}"] for rule in self._rules(rows)}
        broken |= {name: count for name, (count, _) in in_frames.items()}
        result = self._verdict({n: c for n, c in broken.items() if c}, measured)
        return self._with_sample(result, rows, reader, in_frames)

    def _contract(self) -> Contract:
        from phlo.contract import Contract  # loads pandera, which other checks do not need

        return Contract.of(self.schema)

    def _column_problems(self, rows: JudgedRows) -> list[str]:
        guessed = frozenset(getattr(self.schema, "__phlo_guessed_columns__", ()))
        return list(_column_problems(self._contract(), rows, guessed))

    def _row_rules(self, rows: JudgedRows) -> list[Rule]:
        return [r for r in self._contract().rules if set(r.columns) <= set(rows.columns.names)]

    def _count(self, predicate: Sql, rows: JudgedRows) -> Sql:
        typed, count = self._as_promised(rows), count_where(predicate)
        return count if typed is rows else sql("(SELECT {c} FROM {r})", c=count, r=typed.judged)

    def _as_promised(self, rows: JudgedRows) -> JudgedRows:
        """Build the rows with the schema's defaults for missing values, and floats as floats."""
        columns = {c.name: c for c in self._contract().columns}
        promised = {n: _promised(columns.get(n), n, rows) for n in rows.columns.names}
        if all(expression == Identifier(name) for name, expression in promised.items()):
            return rows
        chosen = [sql("{e} AS {n}", e=e, n=Identifier(n)) for n, e in promised.items()]
        of = partial(sql, "(SELECT {c} FROM {r})", c=chosen)
        return replace(rows, judged=of(r=rows.judged), whole=of(r=rows.whole))

    def _rules(self, rows: JudgedRows) -> Iterator[_Rule]:
        both = rows, rows.of_table()
        for rule in self._row_rules(rows):
            failing = [self._as_promised(r).where(rule.predicate) for r in both]
            yield _Rule(rule.name, self._count(rule.predicate, rows), *failing)
        for columns in self._contract().unique:
            if set(columns) <= set(rows.columns.names):
                check = UniqueCheck(columns)
                failing = [check.failing_rows(self._as_promised(r)) for r in both]
                count = check.measures(self._as_promised(rows))["failed_count"]
                yield _Rule(f"{', '.join(columns)}: unique", count, *failing)

    def _judge_frames(self, rows: JudgedRows, reader: Reader) -> Iterator[tuple[str, _Failing]]:
        for rule in self._contract().frame_rules:
            columns = [c for c in rule.columns if c in rows.columns.names]
            if set(columns) == set(rule.columns) or rule.column is None:
                frame = reader.frame(self._as_promised(rows), columns)
                frame = _conformed(frame, self._contract())
                failing = rule.failing(frame)
                sample = [frame.slice(n, 1).to_pylist()[0] for n in failing[:SAMPLE_ROWS]]
                yield rule.name, (len(failing), sample)

    def _verdict(self, broken: dict[str, int], measured: Mapping[str, Any]) -> QualityCheckResult:
        row_count = measured["row_count"]
        told = "; ".join(
            f"{name} fails in {counted(count, 'row')}" for name, count in broken.items()
        )
        return QualityCheckResult(
            passed=not broken,
            message=f"{self.label}: {told or 'all rules hold for ' + counted(row_count, 'row')}.",
            row_count=row_count,
            failed_count=_failed_rows(broken, measured["row_rules"], self._contract()),
            metrics={"failed_by_rule": broken},
        )

    def _with_sample(
        self,
        result: QualityCheckResult,
        rows: JudgedRows,
        reader: Reader,
        in_frames: Mapping[str, _Failing],
    ) -> QualityCheckResult:
        """Return the rows that break the first broken rule, and the SQL that finds them all."""
        broken = result.metrics["failed_by_rule"]
        first = next((rule for rule in self._rules(rows) if rule.name in broken), None)
        if first is not None:
            return replace(result, sample=reader.sample(first.failing), sql=first.reproducing)
        return replace(result, sample=next((in_frames[n][1] for n in broken), []))


_FLOATS = ("double", "float", "halffloat")


def _promised(column: ContractColumn | None, name: str, rows: JudgedRows) -> Sql | Identifier:
    """Build a column as the schema's rules expect it; rules about floats rely on ``is_nan``."""
    value: Sql | Identifier = Identifier(name)
    if column is not None and column.default is not None:
        default = rows.comparable(column.default, name)
        missing = rows.is_missing(name)
        value = sql("CASE WHEN {m} THEN {d} ELSE {c} END", m=missing, d=default, c=value)
    if column is not None and str(column.type) in _FLOATS and not rows.is_float(name):
        return sql("CAST({c} AS DOUBLE)", c=value)
    return value


def _failed_rows(broken: Mapping[str, int], by_row_rules: int, contract: Contract) -> int | None:
    """Count the rows that fail; ``None`` where rules fail whose rows may overlap."""
    names = {rule.name for rule in contract.rules}
    if set(broken) <= names:
        return by_row_rules
    return next(iter(broken.values())) if len(broken) == 1 else None


def _conformed(frame: pa.Table, contract: Contract) -> pa.Table:
    """Return the rows in the types of the contract, as its rules expect them."""
    fields = {c.name: c.field.with_nullable(nullable=True) for c in contract.columns}
    for number, name in enumerate(frame.column_names):
        frame = frame.set_column(number, fields[name], frame.column(number).cast(fields[name].type))
    return frame


def _column_problems(
    contract: Contract, rows: JudgedRows, guessed: frozenset[str]
) -> Iterator[str]:
    """Say what is wrong with a table's columns, one sentence each.

    The types of ``guessed`` columns are no promise: a schema made of dbt's YAML guesses them.
    """
    from phlo_quality.families import fits  # loads pyarrow, which declaring a check spares

    names = rows.columns.names
    for column in contract.columns:
        if column.name not in names:
            if column.required:
                yield f"column {column.name!r} is missing"
            continue
        held = rows.columns.field(column.name).type
        is_promised = column.name not in guessed
        if is_promised and not fits(held, column.type, coerce=column.coerce):
            yield f"column {column.name!r} is {held}, not {column.type}"
    if contract.strict:
        known = set(contract.column_names)
        unknown = [n for n in names if n not in known and not is_metadata_column(n)]
        yield from (f"column {name!r} is not in the schema" for name in unknown)
