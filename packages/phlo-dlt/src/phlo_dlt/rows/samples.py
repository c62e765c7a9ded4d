"""Show a few broken rows: where each stands, what was delivered, and what would cure it."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from phlo.errors import nearest
from phlo.redaction import MASK
from phlo.sql import Identifier, identifiers

from phlo_dlt.rows.casting import convert
from phlo_dlt.rows.conformer import ORIGINAL
from phlo_dlt.rows.naming import resolve_name
from phlo_dlt.rows.workspace import ROW_NUMBER

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from phlo.contract import Contract, ContractColumn

    from phlo_dlt.rows.layout import Origin
    from phlo_dlt.rows.workspace import Workspace
    from phlo_dlt.spec import IngestionSpec

SHOWN_CHARACTERS = 60
SAMPLED_ROWS = 5
MISSING = "missing from the source"
_BATCH = 1 << 32
_TOO_MANY_DIGITS = re.compile(
    r"(.+): cannot be cast to decimal128\((\d+), (\d+)\) \(too many digits\)"
)
_PLAIN_DECIMAL = (28, 0)
"""Precision and scale that Pandera gives a field annotated ``Decimal``."""
_USUAL_DIGITS, _MOST_DIGITS = 18, 38
"""Digits of a decimal that is proposed, at least, and those that Iceberg has at most."""
_N = Identifier(ROW_NUMBER)


def sample_rows(
    work: Workspace, spec: IngestionSpec, broken: Identifier, origins: Mapping[int, Origin]
) -> Iterator[dict[str, Any]]:
    """Read the first broken rows.

    Yields:
        ``row``: its number; ``key``; ``rules``; ``values``: what was delivered in the columns of
        these rules, as text; ``place``: file and line, ``None`` for rows of no file; ``coerces``:
        columns whose delivered value a schema with ``coerce = True`` would take.
    """
    found = work.run(
        "SELECT {n}, list(rule ORDER BY rule) FROM {b} GROUP BY {n} ORDER BY {n} LIMIT {most}",
        n=_N,
        b=broken,
        most=SAMPLED_ROWS,
    ).fetchall()
    columns = _columns_of((rule for _, rules in found for rule in rules), spec)
    values = _values(work, [number for number, _ in found], columns)
    for number, rules in found:
        row, original = values[number]
        delivered = row | _by_column(original, spec.contract)
        about = [c for c in columns if any(_is_about(rule, c.name) for rule in rules)]
        yield {
            "row": number,
            "key": {
                c.name: MASK if c.is_sensitive else row[c.name]
                for c in columns
                if c.name in spec.unique_key
            },
            "rules": rules,
            "values": {c.name: show(delivered[c.name], c) for c in about},
            "place": _place(work, number, origins),
            "coerces": [c.name for c in about if _would_coerce(delivered[c.name], c, rules)],
        }


def _columns_of(rules: Iterable[str], spec: IngestionSpec) -> list[ContractColumn]:
    """Return the key's columns first, then those that rules are about."""
    texts = set(rules)
    names = dict.fromkeys(spec.unique_key)
    for column in spec.contract.columns:
        if any(_is_about(text, column.name) for text in texts):
            names[column.name] = None
    return [c for name in names if (c := spec.contract.column(name)) is not None]


def _is_about(rule: str, column: str) -> bool:
    return column in rule.rpartition(": ")[0].split(", ") or rule.startswith(f"{column}: ")


def _values(
    work: Workspace, numbers: Sequence[int], columns: Sequence[ContractColumn]
) -> dict[int, tuple[dict[str, Any], dict[str, Any]]]:
    """Return the conformed values and those that could not be cast, by row number."""
    if not numbers:
        return {}
    names = [c.name for c in columns]
    rows = work.run(
        "SELECT {n}, {o}, {names} FROM {rows} WHERE {n} IN ({numbers})",
        n=_N,
        o=Identifier(ORIGINAL),
        names=identifiers(names),
        rows=work.rows,
        numbers=list(numbers),
    ).fetchall()
    return {
        number: (
            dict(zip(names, values, strict=True)),
            json.loads(original, parse_float=Decimal) if original else {},
        )
        for number, original, *values in rows
    }


def _by_column(original: Mapping[str, Any], contract: Contract) -> dict[str, Any]:
    return {
        resolve_name(name, contract.column_names) or name: value for name, value in original.items()
    }


def show(value: Any, column: ContractColumn) -> str:
    """Return a value as messages show it: short, and masked where the schema says so."""
    if column.is_sensitive:
        return MASK
    text = str(value) if isinstance(value, Decimal) else repr(value)
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 3] + "..."


def _would_coerce(value: Any, column: ContractColumn, rules: Sequence[str]) -> bool:
    is_cast = any(rule.startswith(f"{column.name}: cannot be cast") for rule in rules)
    if column.coerce or not is_cast:
        return False
    try:
        return convert(value, replace(column, coerce=True)) is not None
    except (ValueError, TypeError, OverflowError):
        return False


def _place(work: Workspace, number: int, origins: Mapping[int, Origin]) -> str | None:
    batch = number // _BATCH
    if batch not in origins:
        return None
    first = work.value(
        "SELECT min({n}) FROM {rows} WHERE {n} BETWEEN {low} AND {high}",
        n=_N,
        rows=work.rows,
        low=batch * _BATCH,
        high=(batch + 1) * _BATCH - 1,
    )
    return origins[batch].place(number - first)


def describe_row(row: Mapping[str, Any]) -> str:
    """Return one broken row in words.

    >>> describe_row({"row": 7, "key": {"id": "a"}, "rules": ["v: ge(0)"], "values": {"v": "-1"},
    ...               "place": "a.csv:3", "coerces": []})
    "id='a' breaks v: ge(0) (got v=-1 in a.csv:3)"
    """
    key = ", ".join(f"{name}={value!r}" for name, value in row["key"].items() if value is not None)
    got = [f"{name}={value}" for name, value in row["values"].items() if name not in row["key"]]
    got = got or [f"{name}={value}" for name, value in row["values"].items()]
    place = f" in {row['place']}" if row["place"] else ""
    shown = f" (got {', '.join(got)}{place})" if got else place
    name = key or f"row {row['row'] % _BATCH + 1}"
    return f"{name} breaks {', '.join(row['rules'])}{shown}"


def cures(sample: Sequence[Mapping[str, Any]], spec: IngestionSpec, dropped: Iterable[str]) -> str:
    """Return the edits of the schema or the function that would cure the rows, if any is known."""
    rules = [rule for row in sample for rule in row["rules"]]
    sentences = [_alias(rule.partition(": ")[0], dropped) for rule in rules if MISSING in rule]
    if any(row["coerces"] for row in sample):
        columns = dict.fromkeys(name for row in sample for name in row["coerces"])
        sentences.append(
            f"Set `coerce = True` in Config of {spec.contract.name}: then "
            f"{', '.join(columns)} takes such values."
        )
    sentences += _wider_decimals(sample)
    if any("finer than a microsecond" in rule for rule in rules):
        sentences.append(
            "Tables keep microseconds: round the times in the ingestion function, "
            'for example by `.dt.floor("us")`.'
        )
    return " ".join(dict.fromkeys(s for s in sentences if s))


def _wider_decimals(sample: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Propose a decimal with the digits of the rows: a plain ``Decimal`` is a whole number."""
    whole, scale = Counter[str](), Counter[str]()
    for row in sample:
        for match in filter(None, map(_TOO_MANY_DIGITS.match, row["rules"])):
            column, held = match[1], (int(match[2]), int(match[3]))
            digits = _digits(row["values"][column])
            if digits is None:  # the value is masked or cut
                continue
            held_whole = 0 if held == _PLAIN_DECIMAL else held[0] - held[1]
            whole[column] = max(whole[column], digits[0], held_whole)
            scale[column] = max(scale[column], digits[1], held[1])
    for column in whole:
        precision = max(_USUAL_DIGITS, whole[column] + scale[column])
        if precision <= _MOST_DIGITS:
            yield (
                f"For all digits, write `{column}: Annotated[pd.ArrowDtype, "
                f"pyarrow.decimal128({precision}, {scale[column]})]`."
            )


def _digits(text: str) -> tuple[int, int] | None:
    """Return the digits of a number before and after its point; ``None`` for other text.

    >>> _digits("'-12.50'"), _digits("1E+3"), _digits("0.001"), _digits("***"), _digits("NaN")
    ((2, 2), (4, 0), (0, 3), None, None)
    """
    try:
        number = Decimal(text.strip("'"))
    except InvalidOperation:
        return None
    exponent = number.as_tuple().exponent
    return (max(0, number.adjusted() + 1), max(0, -exponent)) if isinstance(exponent, int) else None


def _alias(column: str, dropped: Iterable[str]) -> str:
    near = nearest(column, list(dropped))
    if not near:
        return ""
    field = f'{column}: ... = Field(alias="{near[0]}")'
    return f"The source has {near[0]!r}: if that is it, write `{field}`."
