"""What a real Trino answers, recorded, and DuckDB's answer in the same words."""

from __future__ import annotations

import ast
import json
import re
import struct
import uuid
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta, timezone
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from phlo.errors import QueryError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from trino.dbapi import Connection

_TRINO_FAULT = "GENERIC_INTERNAL_ERROR"


@dataclass
class Comparison:
    """How two engines answer the same queries.

    Attributes:
        counts: ``equal``, ``equal error``, ``refused`` (by name, before it runs) and ``different``.
        different: The queries of the last kind, each with both answers.
    """

    counts: Counter[str] = field(default_factory=Counter)
    different: list[str] = field(default_factory=list)


def read_answers(file: Path) -> list[dict[str, Any]]:
    """Read recorded answers: a statement a line, with rows and types or the name of the error."""
    return [json.loads(line) for line in file.read_text().splitlines() if line]


def ask_trino(connection: Connection, statement: str) -> dict[str, Any]:
    """Ask a real Trino, and put its answer in the form that is recorded."""
    from trino.exceptions import TrinoQueryError

    cursor = connection.cursor()
    try:
        rows = cursor.execute(statement).fetchall()
    except TrinoQueryError as error:
        return {"sql": statement, "error": error.error_name}
    types = [str(column[1]) for column in cursor.description]
    shown = [[repr(_without_names(v)) for v in row] for row in rows]
    return {"sql": statement, "types": types, "rows": shown}


def _without_names(value: Any) -> Any:
    """Return rows whose fields have names, as plain tuples."""
    match value:
        case tuple():
            return tuple(_without_names(v) for v in value)
        case list():
            return [_without_names(v) for v in value]
        case dict():
            return {_without_names(k): _without_names(v) for k, v in value.items()}
    return value


def compare_answers(
    answers: Iterable[dict[str, Any]],
    answer: Callable[[str], tuple[list[Any], list[list[Any]]]],
    *,
    avoidable: tuple[str, ...] = (),
) -> Comparison:
    """Hold an engine against recorded answers.

    Args:
        answers: As :func:`read_answers` gives them.
        answer: Gives the types and rows of a statement; raises ``QueryError`` before it runs.
        avoidable: Texts of errors that Trino avoids where an operand beside is null, or constants
            leave no row: it evaluates in no promised order. They are counted as ``raised``, and
            internal errors of Trino, which are faults of its own, as ``no answer``.
    """
    comparison = Comparison()
    for recorded in answers:
        verdict, found = _compare(recorded, answer)
        if verdict == "different" and any(text in str(found) for text in avoidable):
            verdict = "raised"
        if verdict == "different" and avoidable and _has_other_last_digits(recorded, found):
            verdict = "equal"
        if verdict == "different" and avoidable and _leaves_rows_out(recorded, answer):
            verdict = "left out"
        if verdict == "different" and avoidable and recorded.get("error") == _TRINO_FAULT:
            verdict = "no answer"
        comparison.counts[verdict] += 1
        if verdict == "different":
            expected = recorded.get("error") or (recorded.get("types"), recorded["rows"])
            comparison.different.append(f"{recorded['sql']}\n  Trino: {expected}\n  here:  {found}")
    return comparison


def _compare(
    recorded: dict[str, Any], answer: Callable[[str], tuple[list[Any], list[list[Any]]]]
) -> tuple[str, Any]:
    try:
        types, rows = answer(recorded["sql"])
    except QueryError as error:
        return "refused", str(error)
    except Exception as error:  # noqa: BLE001 - an error of a row, of any class
        return ("equal error" if "error" in recorded else "different"), str(error)
    shown = [[repr(plain(v, t)) for v, t in zip(row, types, strict=True)] for row in rows]
    if "error" in recorded:
        return "different", shown
    ours, theirs = _without_order(shown), _without_order(recorded["rows"])
    if not has_order(recorded["sql"]):
        ours, theirs = sorted(ours), sorted(theirs)
    if _may_swap_zeros(recorded["sql"]):
        ours, theirs = _with_one_zero(ours), _with_one_zero(theirs)
    is_same = ours == theirs and _are_types_alike(types, recorded.get("types", types))
    return ("equal" if is_same else "different"), (list(map(str, types)), shown)


def _has_other_last_digits(recorded: dict[str, Any], found: Any) -> bool:
    """Return whether averages differ by the order in which doubles were added: not promised."""
    if "avg(" not in recorded["sql"] or "rows" not in recorded or not isinstance(found, tuple):
        return False
    types, rows = found
    is_near = _with_twelve_digits(rows) == _with_twelve_digits(recorded["rows"])
    return is_near and _are_types_alike(types, recorded.get("types", types))


def _with_twelve_digits(rows: list[list[str]]) -> list[list[str]]:
    double = re.compile(r"-?\d+\.\d+(e[+-]?\d+)?")
    return sorted([f"{float(x):.12g}" if double.fullmatch(x) else x for x in row] for row in rows)


def _leaves_rows_out(
    recorded: dict[str, Any], answer: Callable[[str], tuple[list[Any], list[list[Any]]]]
) -> bool:
    """Return whether a WHERE left a row out by one condition before another raised as in Trino.

    Asked as a column, the same conditions leave nothing out: they must raise here too.
    """
    head, _, condition = recorded["sql"].rpartition(" where ")
    if "error" not in recorded or not re.search(r"\b(and|between)\b", condition):
        return False
    rows = head[head.index(" from (values ") :]
    return _compare({**recorded, "sql": f"select {condition}{rows}"}, answer)[0] == "equal error"


def _are_types_alike(types: list[Any], recorded: list[Any]) -> bool:
    return [_plain_type(str(kind)) for kind in types] == [_plain_type(str(k)) for k in recorded]


def _plain_type(kind: str) -> str:
    """Return a type without the lengths of texts, which are told for no result."""
    return re.sub(r"char\(\d+\)", "char", kind.lower()).replace(", ", ",")


def _may_swap_zeros(statement: str) -> bool:
    """Return whether either zero is right: Trino makes one constant of ``0e0`` and ``-0e0``."""
    has_both = re.search(r"-0e0", statement) and re.search(r"(?<![-.\d])0e0", statement)
    return bool(has_both or re.search(r" join |\b(min|max)\(", statement))


def has_order(statement: str) -> bool:
    """Return whether a statement orders its rows."""
    return re.search(r"order by[^()]*$", statement) is not None


def _with_one_zero(rows: list[list[str]]) -> list[list[str]]:
    return sorted(["0.0" if text == "-0.0" else text for text in row] for row in rows)


def _without_order(rows: list[list[str]]) -> list[list[str]]:
    """Sort entries of maps: they have no order, and Trino hands them over by their hashes."""
    return [[_sorted_map(text) if text.startswith("{") else text for text in row] for row in rows]


def _sorted_map(text: str) -> str:
    try:
        return repr(sorted(ast.literal_eval(text).items()))
    except (ValueError, TypeError):
        return text


def plain(value: Any, kind: Any) -> Any:
    """Return a value of Arrow as Trino's client shows one of the same type."""
    if value is None:
        return None
    match kind.name:
        case "array":
            return [plain(v, kind.inside[0]) for v in value]
        case "map":
            pairs = value.items() if isinstance(value, dict) else value
            return {plain(k, kind.inside[0]): plain(v, kind.inside[1]) for k, v in pairs}
        case "row":
            pairs = zip(value.values(), kind.inside, strict=True)
            return tuple(plain(v, k) for v, k in pairs)
        case "real":
            return _shortest(value)
        case "uuid":
            return value if isinstance(value, uuid.UUID) else uuid.UUID(str(value))
        case "interval day to second":
            return timedelta(days=value.days, microseconds=value.nanoseconds // 1000)
        case "interval year to month":
            from dateutil.relativedelta import relativedelta

            return relativedelta(months=value.months)
        case "timestamptz" if kind.zone:
            return value.astimezone(_zone(kind.zone))
    return value


def _shortest(value: float) -> float:
    """Return the shortest number that is this 32-bit float."""
    texts = (f"{value:.{digits}g}" for digits in range(2, 10))
    held = struct.pack("f", value)
    return next((float(x) for x in texts if struct.pack("f", float(x)) == held), value)


def _zone(name: str) -> Any:
    match = re.fullmatch(r"([+-])(\d\d):(\d\d)", name)
    if match is None:
        return ZoneInfo(name)
    sign = -1 if match[1] == "-" else 1
    return timezone(sign * timedelta(hours=int(match[2]), minutes=int(match[3])))
