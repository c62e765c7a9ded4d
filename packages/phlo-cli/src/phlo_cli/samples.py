"""Guess columns from a sample: a file, the answer of an address, or a table of the lake."""

from __future__ import annotations

import csv
import io
import json
import keyword
import re
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from phlo.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from email.message import Message

Place = Literal["lines", "json", "address", "table"]
MAX_ROWS = 10_000
"""Rows of a sample that are looked at."""

_CANDIDATES = 8
"""Columns whose pairs are tried as a key."""

_LINES = (".csv", ".tsv", ".txt", ".jsonl", ".ndjson", ".parquet")
_DELIMITERS = ",;\t|"
_INTEGER = re.compile(r"-?(0|[1-9]\d{0,17})")
_NUMBER = re.compile(r"-?(0|[1-9]\d*)\.\d+([eE][+-]?\d+)?")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?")


@dataclass(frozen=True)
class SampleColumn:
    """One column of a sample.

    Attributes:
        name: As the source writes it.
        type: Name of a Python type.
        has_nulls: Whether a row of the sample has none.
        scale: Most digits after the point of a decimal.
    """

    name: str
    type: str
    has_nulls: bool
    scale: int = 0

    @property
    def attribute(self) -> str:
        """A name for the field of a schema: Python's rules, no underscore at its beginning."""
        is_plain = self.name.isidentifier() and not keyword.iskeyword(self.name)
        if is_plain and not self.name.startswith("_"):
            return self.name
        text = re.sub(r"\W", "_", self.name).strip("_").lower() or "column"
        return f"column_{text}" if keyword.iskeyword(text) or text[0].isdigit() else text


@dataclass(frozen=True)
class Sample:
    """What a source delivers.

    Attributes:
        place: What kind of source it is.
        columns: In the order of the source.
        rows: The rows that were looked at, as the source writes them.
        key: The column, or the two, whose values are all there and all different; the first
            column where there are none.
        delimiter: Between the cells of a CSV file.
        encoding: Of a CSV file.
        selector: Where the rows stand in an answer that is no list; empty where it is one.
        paginator: How dlt finds the next page of an address, as the answer shows it.
    """

    place: Place
    columns: tuple[SampleColumn, ...]
    rows: tuple[dict[str, Any], ...]
    key: tuple[str, ...]
    delimiter: str = ","
    encoding: str = "utf-8"
    selector: str = ""
    paginator: str | dict[str, str] = "single_page"

    @property
    def repeated_key(self) -> dict[str, Any] | None:
        """The first value of the key that several rows have; ``None`` where all differ."""
        seen = set()
        for row in self.rows:
            values = _values(row, self.key)
            if values in seen:
                return {name: row.get(name) for name in self.key}
            seen.add(values)
        return None


def read_sample(text: str) -> Sample:
    """Read a sample.

    Args:
        text: A file's path, an address that begins with ``http``, or ``namespace.table``.

    Raises:
        ConfigurationError: It is none of these, or has no rows.
    """
    if re.match(r"https?://", text):
        return _from_address(text)
    path = Path(text)
    if path.is_file():
        return _from_file(path)
    if re.fullmatch(r"\w+\.\w+", text) and path.suffix.lower() not in {*_LINES, ".json"}:
        from phlo.lake import table

        rows = table(text).to_arrow().slice(0, MAX_ROWS).to_pylist()
        return _sample("table", [_without_bookkeeping(row) for row in rows])
    raise ConfigurationError(
        f"{text} is no file, no address and no table.",
        got=repr(text),
        expected="a path, http://..., or namespace.table",
        hint="Is the path relative to this folder?",
    )


def _without_bookkeeping(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if not name.startswith(("_phlo", "_dlt"))}


def _from_file(path: Path) -> Sample:
    if path.suffix.lower() == ".parquet":
        import pyarrow.parquet as pq

        return _sample("lines", pq.read_table(path).slice(0, MAX_ROWS).to_pylist())
    text, encoding = _decode(path)
    if path.suffix.lower() in (".jsonl", ".ndjson"):
        lines = [line for line in text.splitlines() if line.strip()][:MAX_ROWS]
        return _sample("lines", [_parse(line, str(path)) for line in lines])
    if path.suffix.lower() == ".json":
        rows, selector = _records(_parse(text, str(path)), str(path))
        return _sample("json", rows, selector=selector)
    return _from_csv(text, encoding)


def _from_csv(text: str, encoding: str) -> Sample:
    header = text.splitlines()[0] if text.strip() else ""
    delimiter = max(_DELIMITERS, key=header.count)
    reader = csv.DictReader(io.StringIO(text), delimiter=delimiter)
    rows = [row for row, _ in zip(reader, range(MAX_ROWS), strict=False)]
    return _sample("lines", rows, is_text=True, delimiter=delimiter, encoding=encoding)


def _decode(path: Path) -> tuple[str, str]:
    content = path.read_bytes()
    try:
        return content.decode("utf-8-sig"), "utf-8"
    except UnicodeDecodeError:
        return content.decode("latin-1"), "latin-1"


def _from_address(address: str) -> Sample:
    from urllib.error import URLError
    from urllib.request import Request, urlopen

    request = Request(address, headers={"Accept": "application/json"})
    try:
        with urlopen(request, timeout=30) as answer:
            text, headers = answer.read().decode(), answer.headers
    except (URLError, TimeoutError, UnicodeDecodeError) as exc:
        raise ConfigurationError(
            f"{address} does not answer with rows: {exc}",
            hint="Save an answer to a file: phlo new source NAME --from FILE.json",
        ) from exc
    parsed = _parse(text, address)
    rows, selector = _records(parsed, address)
    return _sample("address", rows, selector=selector, paginator=_paginator(parsed, headers))


def _paginator(answer: Any, headers: Message) -> str | dict[str, str]:
    """Return dlt's paginator for an answer that links to its next page; else ``single_page``."""
    if any(re.search(r'rel="?next\b', link) for link in headers.get_all("Link", [])):
        return "header_link"
    path = _next_link(answer)
    return {"type": "json_link", "next_url_path": path} if path else "single_page"


def _next_link(answer: Any, above: tuple[str, ...] = ()) -> str | None:
    """Return the JSONPath of the link to the next page in an answer, such as ``links.next``."""
    for name, value in answer.items() if isinstance(answer, dict) else ():
        path = (*above, name)
        if _is_link(value) and _names_next_page(path):
            return ".".join(part if part.isidentifier() else f"'{part}'" for part in path)
        if below := _next_link(value, path):
            return below
    return None


def _names_next_page(path: tuple[str, ...]) -> bool:
    """Return whether a path is ``next``, ``@odata.nextLink``, ``next.href`` or alike."""
    is_below = len(path) > 1 and path[-1] in ("href", "url")
    return bool(re.match(r"(@odata\.)?next", path[-2 if is_below else -1], re.IGNORECASE))


def _is_link(value: Any) -> bool:
    """Return whether a value links to a page, or says by null that this was the last."""
    return value is None or (
        isinstance(value, str) and value.startswith(("http://", "https://", "/", "?"))
    )


def _parse(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as exc:
        raise ConfigurationError(
            f"{where} holds no JSON: {exc}.", got=repr(text[:60]), expected="JSON"
        ) from exc


def _records(answer: Any, where: str) -> tuple[list[dict[str, Any]], str]:
    """Return the rows of an answer, and under which key they stand."""
    if isinstance(answer, list) and all(isinstance(row, dict) for row in answer):
        return answer, ""
    if isinstance(answer, dict):
        for name, value in answer.items():
            if isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
                return value, name
    raise ConfigurationError(
        f"{where} holds no list of rows.", expected='[{"id": 1}, ...], or one below a key'
    )


def _sample(
    place: Place, rows: Sequence[dict[str, Any]], *, is_text: bool = False, **more: Any
) -> Sample:
    names = list(dict.fromkeys(name for row in rows for name in row if name is not None))
    if not rows or not names:
        raise ConfigurationError("The sample has no rows.", hint="Name one that has some.")
    columns = tuple(_column(n, [row.get(n) for row in rows], is_text=is_text) for n in names)
    key = _key(columns, rows)
    return Sample(place, columns, tuple(rows), key, **more)


def _column(name: str, values: Sequence[Any], *, is_text: bool) -> SampleColumn:
    present = [v for v in values if v is not None and not (is_text and v == "")]
    types = {_type_of(value, is_text=is_text) for value in present}
    guessed = types.pop() if len(types) == 1 else "float" if types == {"int", "float"} else "str"
    decimals = [v for v in present if isinstance(v, Decimal) and v.is_finite()]
    scale = max((-int(v.as_tuple().exponent) for v in decimals), default=0)
    return SampleColumn(name, guessed, len(present) < len(values), max(scale, 0))


def _type_of(value: Any, *, is_text: bool) -> str:
    """Name the type of a value; a text is a number only where numbers are written as text."""
    if isinstance(value, str):
        return _type_of_text(value, is_text=is_text)
    types = (bool, int, float, datetime, date, Decimal, bytes, dict, list)
    return next((t.__name__ for t in types if isinstance(value, t)), "str")


def _type_of_text(value: str, *, is_text: bool) -> str:
    patterns = {"datetime": _MOMENT, "date": _DATE}
    if is_text:
        patterns |= {"int": _INTEGER, "float": _NUMBER}
        if value.lower() in ("true", "false"):
            return "bool"
    return next((name for name, p in patterns.items() if p.fullmatch(value)), "str")


def _key(columns: Iterable[SampleColumn], rows: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    kinds = ("str", "int", "date", "datetime")
    candidates = [c for c in columns if not c.has_nulls and c.type in kinds]
    names = [c.name for c in candidates]
    unique = [(name,) for name in names if _are_different(rows, (name,))]
    named = [key for key in unique if _is_named_key(key[0])]
    first = names[0] if names else next(iter(rows[0]))
    return next(iter([*named, *unique]), None) or _pair(candidates, rows) or (first,)


def _pair(
    candidates: Iterable[SampleColumn], rows: Sequence[dict[str, Any]]
) -> tuple[str, ...] | None:
    """Return two columns that tell rows apart together; amounts are tried last."""
    likely = sorted(candidates, key=lambda c: c.type == "int" and not _is_named_key(c.name))
    pairs = combinations([c.name for c in likely[:_CANDIDATES]], 2)
    return next((pair for pair in pairs if _are_different(rows, pair)), None)


def _is_named_key(name: str) -> bool:
    """Return whether a column is called like a key: ``id``, ``order_no``, ``userId``."""
    return bool(
        re.search(r"(^|_)(id|key|no|number)$", name.lower())
        or re.search(r"[a-z](Id|ID|Key|No|Number)$", name)
    )


def _are_different(rows: Sequence[Mapping[str, Any]], key: tuple[str, ...]) -> bool:
    return len({_values(row, key) for row in rows}) == len(rows)


def _values(row: Mapping[str, Any], key: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(str(row.get(name)) for name in key)
