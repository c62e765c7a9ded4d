"""One row per key within a load."""

from __future__ import annotations

from typing import TYPE_CHECKING

from phlo.sql import Identifier, Sql, identifiers, sql

from phlo_dlt.rows.judge import EXCLUDED, may_repeat
from phlo_dlt.rows.workspace import ROW_NUMBER, ROWS

if TYPE_CHECKING:
    from phlo_dlt.rows.workspace import Workspace
    from phlo_dlt.spec import IngestionSpec

PASSED_OVER, SURVIVORS = Identifier("passed_over"), Identifier("survivors")
_N = Identifier(ROW_NUMBER)


def deduplicate(work: Workspace, spec: IngestionSpec) -> int:
    """Make ``survivors``, the rows to load, from those that are not excluded.

    For a merge one row per key survives: with ``last`` and ``hash`` the last that arrived, with
    ``first`` the first; with ``order_by`` the latest or earliest by that column, where nulls are
    lowest and ties go by arrival.

    Returns:
        How many rows were passed over for another row of the load.
    """
    work.run("CREATE TABLE {p} ({n} BIGINT)", p=PASSED_OVER, n=_N)
    if spec.merge_strategy == "merge":
        work.run("INSERT INTO {p} {q}", p=PASSED_OVER, q=_passed_over(spec))
    work.run(
        "CREATE VIEW {s} AS SELECT * FROM {rows} WHERE {n} NOT IN (SELECT {n} FROM {e}) "
        "AND {n} NOT IN (SELECT {n} FROM {p})",
        s=SURVIVORS,
        rows=ROWS,
        n=_N,
        e=EXCLUDED,
        p=PASSED_OVER,
    )
    return work.value("SELECT count(*) FROM {p}", p=PASSED_OVER)


def _passed_over(spec: IngestionSpec) -> Sql:
    """Only rows of repeated keys are sorted, so that memory goes with their number."""
    return sql(
        "SELECT {n} FROM {rows} WHERE {n} NOT IN (SELECT {n} FROM {e}) AND {candidate} "
        "QUALIFY row_number() OVER (PARTITION BY {keys} ORDER BY {order}) > 1",
        n=_N,
        rows=ROWS,
        e=EXCLUDED,
        candidate=may_repeat(spec.unique_key, ROWS),
        keys=identifiers(spec.unique_key),
        order=_order(spec),
    )


def _order(spec: IngestionSpec) -> Sql:
    is_first = spec.merge_config.deduplication_method == "first"
    direction = Sql("ASC NULLS FIRST" if is_first else "DESC NULLS LAST")
    columns = [name for name in (spec.merge_config.order_by, ROW_NUMBER) if name is not None]
    return sql("{c}", c=[sql("{c} {d}", c=Identifier(name), d=direction) for name in columns])
