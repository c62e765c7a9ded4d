"""Which row wins where a load meets stored rows, as SQL that every engine understands alike.

``l`` is a row of the load, ``s`` a stored row of the same key, or the delete of that key by another
load. Each pair is judged by three conditions; what becomes of a key follows from its pairs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from phlo.names import INGESTED_AT_COLUMN, PARTITION_DATE_COLUMN, is_metadata_column
from phlo.sql import Identifier, Sql, qualified, sql

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from phlo.values import Merge, Replace

VERDICT = Sql(
    "CASE WHEN any_value(__phlo_is_delete) AND bool_or(__phlo_loses) THEN 'passed_delete' "
    "WHEN any_value(__phlo_is_delete) THEN 'delete' "
    "WHEN bool_and(__phlo_same) AND count(*) = 1 THEN 'unchanged' "
    "WHEN bool_or(__phlo_loses) THEN 'passed' ELSE 'update' END"
)
"""What becomes of a key, as an aggregate of its pairs: whether both rows are the same, whether the
load's row loses, and whether it is a delete."""


def compared_columns(
    how: Merge | Replace, names: Sequence[str], given: Collection[str]
) -> list[str]:
    """Return the columns in which a row of the load must equal a stored one to be unchanged.

    Args:
        how: How the load is written.
        names: Columns of the table.
        given: Columns of the load.
    """
    columns = [name for name in names if name in given]
    return [n for n in columns if how.compares_metadata or not is_metadata_column(n)]


def is_delete(how: Merge) -> Sql:
    """Build the condition that the load's row ``l`` deletes its key."""
    column = how.delete_column
    return sql("coalesce(l.{c}, FALSE)", c=Identifier(column)) if column else Sql("FALSE")


def stored_wins(how: Merge, names: Collection[str], given: Collection[str]) -> Sql:
    """Build the condition that the stored row ``s`` stays against the loaded row ``l``.

    Args:
        how: The merge.
        names: Columns of the table.
        given: Columns of the load.
    """
    later = Sql("FALSE") if how.compares_metadata else stored_is_later(names, given)
    base = sql("NOT ({later})", later=later) if how.method == "first" else later
    if how.order_by is None:
        return base
    stored, loaded = qualified("s", how.order_by), qualified("l", how.order_by)
    # A delete that carries its key alone has no value to compete by: partition and extraction
    # decide.
    above = sql(
        "coalesce({s} > {l}, {s} IS NOT NULL AND {l} IS NULL AND NOT ({delete}))",
        s=stored,
        l=loaded,
        delete=is_delete(how),
    )
    below = sql("coalesce({s} < {l}, {s} IS NULL AND {l} IS NOT NULL)", s=stored, l=loaded)
    wins, ties = (below, above) if how.method == "first" else (above, below)
    return sql("({wins}) OR (NOT ({loses}) AND ({base}))", wins=wins, loses=ties, base=base)


def delete_wins(how: Merge, names: Collection[str], given: Collection[str]) -> Sql:
    """Build the condition that the delete ``s`` of another load stays against row ``l``."""
    later = stored_is_later(names, given)
    if how.order_by is None:
        return later
    deleted, loaded = qualified("s", how.order_by), qualified("l", how.order_by)
    return sql(
        "coalesce({s} > {l}, {s} IS NOT NULL AND {l} IS NULL AND NOT ({delete})) "
        "OR (NOT coalesce({s} < {l}, FALSE) AND ({later}))",
        s=deleted,
        l=loaded,
        delete=is_delete(how),
        later=later,
    )


def stored_is_later(names: Collection[str], given: Collection[str]) -> Sql:
    """Build the condition that ``s`` is of a later partition, or a later extraction of it."""
    partition, extracted = PARTITION_DATE_COLUMN, INGESTED_AT_COLUMN
    if not {partition, extracted} <= set(names) & set(given):
        return Sql("FALSE")
    return sql(
        "coalesce({sp} > {lp}, FALSE) OR (coalesce({sp} = {lp}, {sp} IS NULL AND {lp} IS NULL)"
        " AND coalesce({se} > {le}, FALSE))",
        sp=qualified("s", partition),
        lp=qualified("l", partition),
        se=qualified("s", extracted),
        le=qualified("l", extracted),
    )


def deleted_columns(how: Merge, names: Sequence[str]) -> list[str]:
    """Return the columns of the table by which the deletes of a load are remembered."""
    remembered = {*how.key, how.order_by, PARTITION_DATE_COLUMN, INGESTED_AT_COLUMN}
    return [name for name in names if name in remembered]
