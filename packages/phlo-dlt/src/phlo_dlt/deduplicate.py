"""One row per key within a load (R37)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from phlo.sql import Identifier, Sql, all_of, identifiers, sql

from phlo_dlt.judge import EXCLUDED
from phlo_dlt.workspace import ROW_NUMBER, ROWS

if TYPE_CHECKING:
    from phlo_dlt.spec import IngestionSpec
    from phlo_dlt.workspace import Workspace

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
    names = identifiers(spec.unique_key)
    same = all_of([sql("r.{c} = d.{c}", c=name) for name in names])
    return sql(
        "WITH valid AS (SELECT {n}, {columns} FROM {rows} WHERE {n} NOT IN (SELECT {n} FROM {e})), "
        "repeated AS (SELECT {names} FROM valid GROUP BY {names} HAVING count(*) > 1) "
        "SELECT r.{n} FROM valid r JOIN repeated d ON {same} QUALIFY row_number() OVER "
        "(PARTITION BY {keys} ORDER BY {order}) > 1",
        n=_N,
        columns=identifiers(dict.fromkeys([*spec.unique_key, *_order_columns(spec)])),
        rows=ROWS,
        e=EXCLUDED,
        names=names,
        same=same,
        keys=[sql("r.{c}", c=name) for name in names],
        order=_order(spec),
    )


def _order_columns(spec: IngestionSpec) -> list[str]:
    return [spec.merge_config.order_by] if spec.merge_config.order_by else []


def _order(spec: IngestionSpec) -> Sql:
    is_first = spec.merge_config.deduplication_method == "first"
    direction = Sql("ASC NULLS FIRST" if is_first else "DESC NULLS LAST")
    columns = identifiers([*_order_columns(spec), ROW_NUMBER])
    return Sql(", ".join(sql("r.{c} {d}", c=name, d=direction) for name in columns))
