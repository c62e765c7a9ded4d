"""Proposing a suite from what a table is like: a first draft for people to judge."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from phlo.names import is_metadata_column
from phlo.sql import Identifier, Sql, quote_table, sql

from phlo_quality.rows import JudgedRows, Reader

if TYPE_CHECKING:
    from collections.abc import Iterator

    from phlo.lake import Lake
    from phlo.names import TableName

MAX_CATEGORIES = 12
"""Different texts up to which a column looks like a list of categories."""

MIN_ROWS_PER_CATEGORY = 5


@dataclass(frozen=True)
class Profile:
    """What a column of a table is like.

    Attributes:
        name: The column.
        family: Its kind.
        row_count: Rows of the table.
        present: Rows that have a value there, NaN apart.
        distinct: Different values, roughly.
        smallest: Smallest value of a number.
        largest: Largest value of a number.
    """

    name: str
    family: str
    row_count: int
    present: int
    distinct: int
    smallest: Any = None
    largest: Any = None

    @property
    def looks_unique(self) -> bool:
        """Whether every row may have a value of its own; ``distinct`` is off by some percent.

        Measurements are no keys, however rarely they repeat.
        """
        if isinstance(self.smallest, float):
            return False
        return self.present == self.row_count > 1 and self.distinct > 0.7 * self.row_count

    @property
    def looks_categorical(self) -> bool:
        """Whether few texts stand in many rows."""
        few = 0 < self.distinct <= MAX_CATEGORIES
        return few and self.family == "text" and self._repeats_often

    @property
    def _repeats_often(self) -> bool:
        return self.present >= MIN_ROWS_PER_CATEGORY * self.distinct


def suggest_suite(table: TableName, lake: Lake) -> str:
    """Write Python code of a suite that the table, as it is, passes.

    Args:
        table: A published table.
        lake: Answers SQL.

    Raises:
        TableNotFoundError: The catalog does not have it.
    """
    reader = Reader(lake.engine)
    rows = JudgedRows(table, reader.columns(table), quote_table(table))
    checks = list(_suggestions(_profiles(rows, reader), rows, reader))
    names = sorted({check.split("(")[0] for check in checks})
    lines = "".join(f"        {check},\n" for check in checks)
    function = "".join(c if c.isalnum() else "_" for c in table.name)
    return (
        f"from phlo_quality import {', '.join(names)}, phlo_quality\n\n\n"
        f'@phlo_quality(\n    table="{table}",\n    checks=[\n{lines}    ],\n)\n'
        f"def {function}_quality():\n    pass\n"
    )


def _profiles(rows: JudgedRows, reader: Reader) -> list[Profile]:
    """Return one query for all columns that describe rows rather than loads."""
    names = [n for n in rows.columns.names if not is_metadata_column(n)]
    measures = [Sql('count(*) AS "rows"')]
    for number, name in enumerate(names):
        measures += _measures(number, name, rows)
    (measured,) = reader.measured(sql("SELECT {m} FROM {r}", m=measures, r=rows.judged))
    return [
        Profile(
            name,
            rows.family(name),
            measured["rows"],
            measured[f"present{number}"],
            measured[f"distinct{number}"],
            measured.get(f"smallest{number}"),
            measured.get(f"largest{number}"),
        )
        for number, name in enumerate(names)
    ]


def _measures(number: int, name: str, rows: JudgedRows) -> Iterator[Sql]:
    column, has_value = Identifier(name), rows.has_values([name])
    templates = {"present": "count(*)", "distinct": "approx_distinct({c})"}
    if rows.family(name) == "number":
        templates |= {"smallest": "min({c})", "largest": "max({c})"}
    elif rows.family(name) == "nested":
        templates["distinct"] = "0"
    for measure, template in templates.items():
        value = sql(template, c=column)
        alias = Identifier(f"{measure}{number}")
        filtered = "{v} FILTER (WHERE {h}) AS {a}" if "(" in template else "{v} AS {a}"
        yield sql(filtered, v=value, h=has_value, a=alias)


def _suggestions(profiles: list[Profile], rows: JudgedRows, reader: Reader) -> Iterator[str]:
    yield "CountCheck(min_count=1)"
    complete = [p.name for p in profiles if 0 < p.row_count == p.present]
    if complete:
        yield f"NullCheck(columns={complete!r})"
    for profile in profiles:
        if profile.looks_unique and _is_unique(profile.name, rows, reader):
            yield f"UniqueCheck(columns=[{profile.name!r}])"
        elif profile.smallest is not None:
            bounds = wider_bounds(profile.smallest, profile.largest)
            arguments = "".join(f", {name}={bound!r}" for name, bound in bounds.items())
            if arguments:
                yield f"RangeCheck(column={profile.name!r}{arguments})"
        elif profile.looks_categorical:
            values = _values(profile, rows, reader)
            yield f"AcceptedValuesCheck({profile.name!r}, values={values!r}, severity='warn')"


def wider_bounds(smallest: Any, largest: Any) -> dict[str, int | float]:
    """Return bounds half a range beyond the values seen, rounded outward, never across zero.

    Today's exact extremes would refuse tomorrow's rows.

    Args:
        smallest: Smallest value seen, an integer, a decimal or a float.
        largest: Largest value seen.

    Returns:
        ``min_value`` and ``max_value`` for ``RangeCheck``; a bound that is not finite is left out.
    """
    low, high = (Fraction(v) if math.isfinite(v) else None for v in (smallest, largest))
    span = (high - low if low is not None and high is not None else None) or abs(
        next((v for v in (high, low) if v), Fraction(1))
    )
    step = Fraction(10) ** (Decimal(span.numerator) / Decimal(span.denominator)).adjusted()
    bounds: dict[str, Fraction] = {}
    if low is not None:
        lower = math.floor((low - span / 2) / step) * step
        bounds["min_value"] = max(lower, Fraction(0)) if low >= 0 else lower
    if high is not None:
        upper = math.ceil((high + span / 2) / step) * step
        bounds["max_value"] = min(upper, Fraction(0)) if high <= 0 != low else upper
    as_float = not (isinstance(smallest, int) and isinstance(largest, int))
    return {n: b for n, v in bounds.items() if (b := _written(v, as_float=as_float)) is not None}


def _written(bound: Fraction, *, as_float: bool) -> int | float | None:
    """Return a bound as people write it; ``None`` beyond the range of a float."""
    if not as_float:
        return math.floor(bound)
    try:
        return float(bound)
    except OverflowError:
        return None


def _is_unique(name: str, rows: JudgedRows, reader: Reader) -> bool:
    """Return whether it is unique exactly, and not roughly as in the profile."""
    query = sql(
        "SELECT count(*) - count(DISTINCT {c}) AS n FROM {r}", c=Identifier(name), r=rows.judged
    )
    return reader.measured(query)[0]["n"] == 0


def _values(profile: Profile, rows: JudgedRows, reader: Reader) -> list[str]:
    query = sql(
        "SELECT DISTINCT {c} AS v FROM {r} WHERE {c} IS NOT NULL ORDER BY 1",
        c=Identifier(profile.name),
        r=rows.judged,
    )
    return [row["v"] for row in reader.rows(query)]
