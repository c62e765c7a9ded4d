"""Proposing a suite from what a table is like: a first draft for people to judge."""

from __future__ import annotations

import math
from dataclasses import dataclass
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
    """Python code of a suite that the table, as it is, passes.

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
    """One query for all columns that describe rows rather than loads."""
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
            bounds = {"min_value": profile.smallest, "max_value": profile.largest}
            arguments = "".join(
                f", {name}={_number(bound)!r}"
                for name, bound in bounds.items()
                if math.isfinite(bound)
            )
            if arguments:
                yield f"RangeCheck(column={profile.name!r}{arguments})"
        elif profile.looks_categorical:
            values = _values(profile, rows, reader)
            yield f"AcceptedValuesCheck({profile.name!r}, values={values!r})"


def _number(value: Any) -> int | float:
    """A bound as people write it: checks take the text of a float for its exact value."""
    return value if isinstance(value, int) else float(value)


def _is_unique(name: str, rows: JudgedRows, reader: Reader) -> bool:
    """Exactly, and not roughly as in the profile."""
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
