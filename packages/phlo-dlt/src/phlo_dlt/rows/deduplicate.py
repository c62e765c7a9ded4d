"""Choose one row per key within a load."""

from __future__ import annotations

from typing import TYPE_CHECKING

from phlo.sql import Identifier, Sql, identifiers, sql

from phlo_dlt.rows.judge import is_delete, may_repeat
from phlo_dlt.rows.workspace import ROW_NUMBER

if TYPE_CHECKING:
    from phlo_dlt.rows.workspace import Workspace
    from phlo_dlt.spec import IngestionSpec

_N, _RANK = Identifier(ROW_NUMBER), Identifier("_phlo_rank")


def deduplicate(work: Workspace, spec: IngestionSpec) -> int:
    """Create ``survivors``, the rows to load, from those that are not excluded.

    For a merge one row per key survives: with ``last`` and ``hash`` the last that arrived, with
    ``first`` the first; with ``order_by`` the latest or earliest by that column, where nulls are
    lowest and ties go by arrival.

    Returns:
        How many rows were passed over for another row of the load.
    """
    work.run("CREATE TABLE {p} ({n} BIGINT)", p=work.passed_over, n=_N)
    if spec.merge_strategy == "merge":
        work.run("INSERT INTO {p} {q}", p=work.passed_over, q=_passed_over(work, spec))
    work.run(
        "CREATE VIEW {s} AS SELECT * FROM {rows} WHERE {n} NOT IN (SELECT {n} FROM {e}) "
        "AND {n} NOT IN (SELECT {n} FROM {p})",
        s=work.survivors,
        rows=work.rows,
        n=_N,
        e=work.excluded,
        p=work.passed_over,
    )
    return work.value("SELECT count(*) FROM {p}", p=work.passed_over)


def _passed_over(work: Workspace, spec: IngestionSpec) -> Sql:
    """Select the rows that lose; only rows of repeated keys are sorted, which bounds memory."""
    return sql(
        "SELECT {n} FROM (SELECT {n}, {keys}, {rank} FROM {rows} "
        "WHERE {n} NOT IN (SELECT {n} FROM {e}) AND {candidate}) "
        "QUALIFY row_number() OVER (PARTITION BY {keys} ORDER BY {order}) > 1",
        n=_N,
        rows=work.rows,
        e=work.excluded,
        candidate=may_repeat(spec.unique_key, work.rows),
        keys=identifiers(spec.unique_key),
        rank=_rank(spec),
        order=_order(spec),
    )


def _rank(spec: IngestionSpec) -> Sql:
    """Select what rows of a key compete by, before their arrival.

    A delete that carries its key alone has no value there: it comes right after the rows of its
    key that arrived before it.
    """
    config = spec.merge_config
    if config.order_by is None:
        return sql("NULL AS {r}", r=_RANK)
    column = Identifier(config.order_by)
    if config.delete_column is None or config.deduplication_method == "first":
        return sql("{c} AS {r}", c=column, r=_RANK)
    return sql(
        "CASE WHEN {c} IS NULL AND {delete} THEN max({c}) OVER ("
        "PARTITION BY {keys} ORDER BY {n} ROWS UNBOUNDED PRECEDING) ELSE {c} END AS {r}",
        c=column,
        delete=is_delete(spec),
        keys=identifiers(spec.unique_key),
        n=_N,
        r=_RANK,
    )


def _order(spec: IngestionSpec) -> Sql:
    is_first = spec.merge_config.deduplication_method == "first"
    direction = Sql("ASC NULLS FIRST" if is_first else "DESC NULLS LAST")
    return sql("{r} {d}, {n} {d}", r=_RANK, n=_N, d=direction)
