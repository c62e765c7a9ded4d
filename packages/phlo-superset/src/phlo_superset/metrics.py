"""Metrics of published marts: those that a mart declares, and one for each column of numbers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from phlo.errors import ConfigurationError
from phlo.sql import Identifier, Sql, sql

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from phlo_superset.columns import Column


@dataclass(frozen=True)
class Metric:
    """A metric of a dataset.

    Attributes:
        name: Its name, unique in the dataset.
        expression: SQL that aggregates rows.
        label: What people read.
        description: What it says.
        format: d3's format of its numbers; empty: Superset's own.
    """

    name: str
    expression: str
    label: str = ""
    description: str = ""
    format: str = ""

    def as_superset(self) -> dict[str, str]:
        """Return the attributes that Superset keeps."""
        return {
            "expression": self.expression,
            "verbose_name": self.label,
            "description": self.description,
            "d3format": self.format,
        }


_OPTIONS = {"expression", "label", "description", "format"}
_SHARE = re.compile(r"(^|_)(share|rate|ratio|fraction)($|_)")
_MEAN = re.compile(r"(^|_)(avg|average|mean|median|pct|percent|std|stddev|min|max|p\d+)($|_)")
_IDENTIFIER = re.compile(r"(^|_)(id|key|code|year|month|day|hour|week|number|no)$")


def default_metrics(columns: Sequence[Column]) -> Iterator[Metric]:
    """Yield the number of rows, then a mean or a sum for each column of numbers.

    Shares and means get a mean, and so do numbers with a fraction; whole numbers get a sum, but
    those of keys and of calendars get nothing.
    """
    averages = [column for column in columns if _aggregate(column) == "AVG"]
    sums = [column for column in columns if _aggregate(column) == "SUM"]
    yield from (_of_column(column, "AVG", "mean") for column in averages)
    yield from (_of_column(column, "SUM", "total") for column in sums)


def _of_column(column: Column, aggregate: str, word: str) -> Metric:
    return Metric(
        name=f"{aggregate.lower()}__{column.name}",
        expression=str(sql("{a}({c})", a=Sql(aggregate), c=Identifier(column.name))),
        label=f"{column.name.replace('_', ' ')} ({word})",
        description=column.description,
        format=".1%" if _SHARE.search(column.name) else "",
    )


def _aggregate(column: Column) -> str:
    """Return the aggregate that makes sense of a column; empty for none."""
    if not column.is_numeric or column.is_key or _IDENTIFIER.search(column.name):
        return ""
    is_mean = _SHARE.search(column.name) or _MEAN.search(column.name)
    return "AVG" if is_mean or not column.is_whole else "SUM"


def declared_metrics(source: str, options: Any) -> Iterator[Metric]:
    """Yield the metrics that a mart declares: ``meta: {phlo: {superset: {metrics: ...}}}``.

    Each has a name, and SQL or a mapping of ``expression``, ``label``, ``description``, ``format``.

    Raises:
        ConfigurationError: The declaration cannot be read.
    """
    if options is True:
        return
    if not isinstance(options, dict) or set(options) - {"metrics"}:
        raise _wrong(source, options, "`superset: false`, or `superset: {metrics: ...}`")
    metrics = options.get("metrics") or {}
    if not isinstance(metrics, dict):
        raise _wrong(source, metrics, "metrics by name")
    for name, declared in metrics.items():
        parts = {"expression": declared} if isinstance(declared, str) else declared
        if not _is_metric(parts):
            expected = f"SQL, or a mapping of {', '.join(sorted(_OPTIONS))} as text"
            raise _wrong(source, {name: declared}, expected)
        yield Metric(str(name), **parts)


def _is_metric(parts: Any) -> bool:
    return (
        isinstance(parts, dict)
        and bool(parts.get("expression"))
        and set(parts) <= _OPTIONS
        and all(isinstance(value, str) for value in parts.values())
    )


def _wrong(source: str, got: Any, expected: str) -> ConfigurationError:
    return ConfigurationError(
        f"`meta: {{phlo: {{superset: ...}}}}` of {source} cannot be read.",
        got=repr(got),
        expected=expected,
        hint='Write, for example, `superset: {metrics: {revenue: "sum(amount)"}}`.',
    )
