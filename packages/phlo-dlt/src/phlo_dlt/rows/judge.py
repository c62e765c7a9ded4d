"""Find the rows of a load that break rules.

Rules that SQL can express are judged in one pass; the others run in Pandera on bounded batches.
What is found stands in the relations of the :class:`~phlo_dlt.rows.workspace.Workspace`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
from phlo.contract.rules import FrameRule, Rule, is_null
from phlo.sql import Identifier, Sql, all_of, any_of, identifiers, sql

from phlo_dlt.attempt import Verdict
from phlo_dlt.rows.conformer import PROBLEMS
from phlo_dlt.rows.samples import MISSING, sample_rows
from phlo_dlt.rows.workspace import ROW_NUMBER, to_duckdb

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from phlo.contract import Contract, ContractColumn

    from phlo_dlt.rows.layout import Origin
    from phlo_dlt.rows.workspace import Workspace
    from phlo_dlt.spec import IngestionSpec

_N = Identifier(ROW_NUMBER)
FRAME_ROWS = 500_000
"""Rows that Pandera sees at once."""


def judge(work: Workspace, spec: IngestionSpec, delivered: frozenset[str]) -> None:
    """Fill ``broken`` and ``warned`` by every rule that is judged before deduplication.

    Args:
        work: The load.
        spec: Its ingestion; ``validate=False`` leaves casts, required columns and keys.
        delivered: Columns that the source delivered: a column that is neither required nor
            delivered is null in every row and breaks nothing.
    """
    for relation in (work.broken, work.warned):
        work.run("CREATE TABLE {r} ({n} BIGINT, rule VARCHAR)", r=relation, n=_N)
    _note_casts(work, spec)
    contract = spec.contract
    rules = [*_null_keys(spec, delivered), *_rules(contract.rules, spec, delivered)]
    _note_rules(work, rules, work.broken)
    if spec.validate:
        for rule in contract.frame_rules:
            _note_frame_rule(work, rule, spec, work.broken)
        _note_warnings(work, spec, delivered)
        for columns in _unique_sets(spec, within_key=False):
            note_duplicates(work, columns, spec, work.rows)
    _forget_consequences(work)


def _note_warnings(work: Workspace, spec: IngestionSpec, delivered: frozenset[str]) -> None:
    warnings = spec.contract.warnings
    in_sql = [rule for rule in warnings if isinstance(rule, Rule)]
    _note_rules(work, _rules(in_sql, spec, delivered), work.warned)
    for rule in warnings:
        if isinstance(rule, FrameRule):
            _note_frame_rule(work, rule, spec, work.warned)


def judge_key_uniqueness(work: Workspace, spec: IngestionSpec) -> None:
    """Judge uniqueness of the key's own columns among the survivors of deduplication."""
    if spec.validate:
        for columns in _unique_sets(spec, within_key=True):
            note_duplicates(work, columns, spec, work.survivors)


def exclude(work: Workspace, spec: IngestionSpec) -> None:
    """Make ``excluded``, the numbers of the rows that are not loaded, anew."""
    work.run("CREATE OR REPLACE TABLE {e} AS {q}", e=work.excluded, q=_excluded(work, spec))


def _excluded(work: Workspace, spec: IngestionSpec) -> Sql:
    if spec.invalid_rows != "keep":
        return sql("SELECT DISTINCT {n} FROM {b}", n=_N, b=work.broken)
    required = _is_null_in([c for c in spec.contract.columns if _is_required(c)])
    keys = _is_null_in([c for c in spec.contract.columns if c.name in spec.unique_key])
    return sql(
        "SELECT {n} FROM {rows} WHERE ({keys}) OR (({required}) AND NOT {delete})",
        n=_N,
        rows=work.rows,
        keys=keys,
        required=required,
        delete=is_delete(spec),
    )


def _is_null_in(columns: Sequence[ContractColumn]) -> Sql:
    return any_of([sql("{c} IS NULL", c=Identifier(c.name)) for c in columns])


def is_delete(spec: IngestionSpec) -> Sql:
    """Return the condition that a row deletes its key.

    Such a row is judged on its key and the delete column alone, since change feeds send nothing
    else of a row that is gone.
    """
    column = spec.merge_config.delete_column
    if column is None or spec.merge_strategy != "merge":
        return Sql("FALSE")
    return sql("coalesce({c}, FALSE)", c=Identifier(column))


def _judges(spec: IngestionSpec, columns: Iterable[str]) -> Sql:
    """Return the condition that a rule over these columns judges a row."""
    telling = {*spec.unique_key, spec.merge_config.delete_column}
    delete = is_delete(spec)
    if set(columns) <= telling or delete == "FALSE":
        return Sql("TRUE")
    return sql("NOT {d}", d=delete)


def verdict(
    work: Workspace, spec: IngestionSpec, origins: Mapping[int, Origin] | None = None
) -> Verdict:
    """Sum up ``broken``, ``warned`` and ``excluded``; rows' files are known by their batches."""
    return Verdict(
        row_count=work.value("SELECT count(DISTINCT {n}) FROM {b}", n=_N, b=work.broken),
        by_rule=_by_rule(work, work.broken),
        warned=_by_rule(work, work.warned),
        sample=tuple(sample_rows(work, spec, work.broken, origins or {})),
        excluded=work.value("SELECT count(*) FROM {e}", e=work.excluded),
    )


def _by_rule(work: Workspace, relation: Identifier) -> dict[str, int]:
    query = "SELECT rule, count(*) FROM {r} GROUP BY rule ORDER BY 2 DESC, 1"
    return dict(work.run(query, r=relation).fetchall())


def _note_casts(work: Workspace, spec: IngestionSpec) -> None:
    telling = [f"{name}: cannot be cast" for name in spec.unique_key]
    work.run(
        "INSERT INTO {b} SELECT {n}, rule FROM ("
        "SELECT {n}, unnest(from_json({p}, '[\"VARCHAR\"]')) AS rule, {delete} AS is_delete "
        "FROM {rows} WHERE {p} IS NOT NULL"
        ") WHERE NOT is_delete OR {telling}",
        b=work.broken,
        n=_N,
        p=Identifier(PROBLEMS),
        rows=work.rows,
        delete=is_delete(spec),
        telling=any_of([sql("starts_with(rule, {t})", t=text) for text in telling]),
    )


RULES_PER_PASS = 100
"""Rules judged at once: DuckDB holds every column they read, whatever its memory limit is."""


def _note_rules(work: Workspace, rules: Sequence[tuple[str, Sql]], into: Identifier) -> None:
    """Judge rules in as few passes over the rows as memory allows."""
    for first in range(0, len(rules), RULES_PER_PASS):
        _note_pass(work, rules[first : first + RULES_PER_PASS], into)


def _note_pass(work: Workspace, rules: Sequence[tuple[str, Sql]], into: Identifier) -> None:
    names = [sql("CASE WHEN {p} THEN {name} END", p=p, name=name) for name, p in rules]
    work.run(
        "INSERT INTO {into} SELECT {n}, _phlo_rule FROM (SELECT {n}, "
        "unnest([{names}]) AS _phlo_rule FROM {rows} WHERE {any}) WHERE _phlo_rule IS NOT NULL",
        into=into,
        n=_N,
        names=names,
        rows=work.rows,
        any=any_of([p for _, p in rules]),
    )


def _null_keys(spec: IngestionSpec, delivered: frozenset[str]) -> list[tuple[str, Sql]]:
    if spec.merge_strategy != "merge":
        return []
    columns = [c for c in spec.contract.columns if c.name in spec.unique_key]
    return [
        (_name(f"{c.name}: null key", c.name, delivered), to_duckdb(is_null(c))) for c in columns
    ]


def _rules(
    rules: Iterable[Rule], spec: IngestionSpec, delivered: frozenset[str]
) -> list[tuple[str, Sql]]:
    return [
        (
            _name(rule.name, rule.columns[0], delivered),
            all_of([to_duckdb(rule.predicate), _judges(spec, rule.columns)]),
        )
        for rule in rules
        if _applies(rule, spec, delivered)
    ]


def _name(rule: str, column: str, delivered: frozenset[str]) -> str:
    """Return the rule as it is told: a null in a column that no row has is no null of a row."""
    is_null_rule = rule in (f"{column}: not_nullable", f"{column}: null key")
    return f"{column}: {MISSING}" if is_null_rule and column not in delivered else rule


def _applies(rule: Rule, spec: IngestionSpec, delivered: frozenset[str]) -> bool:
    column = spec.contract.column(rule.columns[0])
    assert column is not None
    is_nullability = rule.name == f"{column.name}: not_nullable"
    if is_nullability and column.name in spec.unique_key and spec.merge_strategy == "merge":
        return False  # judged as a null key
    if not column.required and column.name not in delivered:
        return False
    return spec.validate or (is_nullability and _is_required(column))


def _is_required(column: ContractColumn) -> bool:
    return not column.field.nullable


def _unique_sets(spec: IngestionSpec, *, within_key: bool) -> list[tuple[str, ...]]:
    """Return sets of unique columns; those within the key are judged after deduplication.

    Rows of an append are not deduplicated, so there all are judged on the load as it came.
    """
    key = set(spec.unique_key) if spec.merge_strategy != "append" else set()
    return [c for c in spec.contract.unique if (set(c) <= key) == within_key]


def note_duplicates(
    work: Workspace, columns: tuple[str, ...], spec: IngestionSpec, relation: Identifier
) -> None:
    """Note every row of a repeated combination; rows with a null in it are no duplicates."""
    names = identifiers(columns)
    chosen = [c for c in spec.contract.columns if c.name in columns]
    present = to_duckdb(sql("NOT ({p})", p=any_of([is_null(c) for c in chosen])))
    work.run(
        "INSERT INTO {b} SELECT {n}, {rule} FROM {rel} WHERE {present} "
        "AND {judged} AND {candidate} QUALIFY count(*) OVER (PARTITION BY {names}) > 1",
        b=work.broken,
        n=_N,
        rule=f"{', '.join(columns)}: unique",
        rel=relation,
        present=present,
        judged=_judges(spec, columns),
        candidate=may_repeat(columns, relation),
        names=names,
    )


def may_repeat(columns: Sequence[str], relation: Identifier) -> Sql:
    """Build a condition that holds for every row of a repeated combination, and for few others.

    It groups hashes rather than values, which takes a fraction of the memory; what passes is
    compared exactly.
    """
    return sql(
        "hash({names}) IN (SELECT hash({names}) FROM {rel} GROUP BY 1 HAVING count(*) > 1)",
        names=identifiers(columns),
        rel=relation,
    )


def _note_frame_rule(
    work: Workspace, rule: FrameRule, spec: IngestionSpec, into: Identifier
) -> None:
    batches = work.batches(
        "SELECT {n}, {names} FROM {rows} WHERE {judged} ORDER BY {n}",
        FRAME_ROWS,
        n=_N,
        names=identifiers(rule.columns),
        rows=work.rows,
        judged=_judges(spec, rule.columns),
    )
    for batch in batches:
        rows = pa.Table.from_batches([batch])
        conformed = _conformed(rows, rule.columns, spec.contract)
        failing = rows.column(ROW_NUMBER).take(pa.array(rule.failing(conformed), pa.int64()))
        _note(work, failing, rule.name, into)


def _conformed(rows: pa.Table, columns: Sequence[str], contract: Contract) -> pa.Table:
    """Cast rows to the contract's own types, which DuckDB's Arrow output mostly has already."""
    fields = [pa.field(c.name, c.type) for c in contract.columns if c.name in columns]
    return rows.select([f.name for f in fields]).cast(pa.schema(fields))


def _note(work: Workspace, numbers: pa.ChunkedArray, rule: str, into: Identifier) -> None:
    if len(numbers):
        work.run(
            "INSERT INTO {into} SELECT unnest([{numbers}]), {rule}",
            into=into,
            numbers=numbers.to_pylist(),
            rule=rule,
        )


def _forget_consequences(work: Workspace) -> None:
    """Delete the null rules of values that are null only because they cannot be cast."""
    work.run(
        "DELETE FROM {b} WHERE regexp_matches(rule, {null}) AND "
        "({n}, regexp_replace(rule, {null}, '')) IN "
        "(SELECT ({n}, split_part(rule, {cast}, 1)) FROM {b} WHERE contains(rule, {cast}))",
        b=work.broken,
        n=_N,
        null=": (not_nullable|null key)$",
        cast=": cannot be cast",
    )
