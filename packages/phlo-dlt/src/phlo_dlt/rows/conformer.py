"""Batches of a source as Arrow tables of the contract's types.

A column is cast whole where Arrow can do so without loss, else value by value. What cannot be cast
is null in the result and named in ``_phlo_problems``, so that its row is invalid with its reason.
Columns are called ``c0``, ``c1`` ... in the order of the contract, because dlt rewrites names.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import simplejson
from dlt.common.normalizers.naming.snake_case import NamingConvention
from dlt.common.storages.fsspec_filesystem import FileItemDict
from phlo.errors import ContractError

from phlo_dlt.rows.casting import convert
from phlo_dlt.rows.items import file_batches

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from phlo.contract import Contract, ContractColumn

BATCH_NUMBER = "_phlo_batch_number"
PROBLEMS = "_phlo_problems"
ORIGINAL = "_phlo_original"

_NAMING = NamingConvention()


def staged_name(position: int) -> str:
    """Name of the contract's column ``position`` in the staged files."""
    return f"c{position}"


@dataclass(slots=True)
class Findings:
    """What was wrong in one batch, by row.

    Attributes:
        rules: Broken rules by position of the row.
        original: Values as the source delivered them, by position of the row and source column.
    """

    rules: dict[int, list[str]] = field(default_factory=dict)
    original: dict[int, dict[str, Any]] = field(default_factory=dict)

    def add(self, row: int, rule: str, name: str, value: Any) -> None:
        """Note that a value breaks a rule."""
        self.rules.setdefault(row, []).append(rule)
        self.original.setdefault(row, {})[name] = value


class Conformer:
    """Makes batches of one load conform to a contract.

    Attributes:
        extracted: Rows seen so far.
        delivered: Columns of the contract that the source has delivered.
        dropped: Values dropped by source column that the contract does not have.
    """

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self._names: dict[str, str | None] = {}
        self._batches = 0
        self.extracted = 0
        self.delivered: set[str] = set()
        self.dropped: Counter[str] = Counter()

    def rows(self, batch: Sequence[dict[str, Any]]) -> pa.Table:
        """A batch of dicts as an Arrow table; rows may lack keys."""
        names = sorted(set().union(*batch))
        return self._conform({name: _values_of(batch, name) for name in names}, len(batch))

    def table(self, batch: pa.Table) -> pa.Table:
        """An Arrow table with the contract's types."""
        columns = {name: batch.column(name) for name in batch.column_names}
        return self._conform(columns, batch.num_rows)

    def text(self, batch: pa.Table) -> pa.Table:
        """A table of text alone, as CSV files hold it: values are cast whatever the schema says."""
        columns: dict[str, Any] = {}
        for name in batch.column_names:
            column = self._contract.column(self._resolve(name) or "")
            values = batch.column(name)
            columns[name] = values if column is None else parse_text(values, column)
        return self._conform(columns, batch.num_rows)

    def _conform(self, source: dict[str, Any], row_count: int) -> pa.Table:
        found = Findings()
        chosen = self._choose(source)
        columns = [
            self._column(column, chosen.get(column.name), source, row_count, found)
            for column in self._contract.columns
        ]
        self._unknown(source, found)
        self.extracted += row_count
        self._batches += 1
        arrays = [*columns, pa.repeat(pa.scalar(self._batches, pa.int64()), row_count)]
        arrays += [_by_row(found.rules, row_count), _by_row(found.original, row_count)]
        names = [staged_name(i) for i in range(len(columns))]
        return pa.table(arrays, names=[*names, BATCH_NUMBER, PROBLEMS, ORIGINAL])

    def _column(
        self,
        column: ContractColumn,
        name: str | None,
        source: dict[str, Any],
        row_count: int,
        found: Findings,
    ) -> pa.Array:
        if name is None:
            return pa.array([column.default] * row_count, column.type)
        self.delivered.add(column.name)
        array = conform_column(source[name], column, name, found)
        return array if column.default is None else array.fill_null(_scalar(column))

    def _choose(self, names: Iterable[str]) -> dict[str, str]:
        """The source's name of each column of the contract that it delivers."""
        chosen: dict[str, str] = {}
        for name in names:
            column = self._resolve(name)
            if column is None:
                continue
            if column in chosen:
                raise ContractError(
                    f"The source fields {chosen[column]!r} and {name!r} are both the column "
                    f"{column!r} of {self._contract.name}.",
                    hint="Rename or remove one of them in the ingestion function.",
                    column=column,
                )
            chosen[column] = name
        return chosen

    def _resolve(self, name: str) -> str | None:
        if name not in self._names:
            self._names[name] = resolve_name(name, self._contract.column_names)
        return self._names[name]

    def _unknown(self, source: dict[str, Any], found: Findings) -> None:
        for name, values in source.items():
            if self._resolve(name) is not None or name.startswith("_dlt_"):
                continue
            present = [i for i, value in enumerate(_python(values)) if value is not None]
            self.dropped[name] += len(present)
            if self._contract.strict:
                items = _python(values)
                for row in present:
                    found.add(row, f"{name}: unknown column", name, items[row])


def _values_of(batch: Sequence[dict[str, Any]], name: str) -> list[Any]:
    try:
        return [row[name] for row in batch]  # twice as quick as get(), and mostly enough
    except KeyError:
        return [row.get(name) for row in batch]


def resolve_name(name: str, columns: Sequence[str]) -> str | None:
    """The column that a source's field means, or ``None``.

    >>> resolve_name("dateString", ["date_string", "value"])
    'date_string'
    """
    if name in columns:
        return name
    normal = _NAMING.normalize_identifier(name)
    return next((c for c in columns if normal in (c, _NAMING.normalize_identifier(c))), None)


def conform_column(values: Any, column: ContractColumn, name: str, found: Findings) -> pa.Array:
    """One column of a batch in the contract's type.

    Args:
        values: A list of Python values, or an Arrow array.
        column: Its column in the contract.
        name: What the source calls it.
        found: Where values that cannot be cast are noted.
    """
    array = _whole(values, column)
    return array if array is not None else _one_by_one(values, column, name, found)


def _whole(values: Any, column: ContractColumn) -> pa.Array | None:
    try:
        return _cast(_inferred(values, column), column)
    except (pa.ArrowException, ValueError, TypeError, OverflowError):
        return None


def parse_text(values: pa.ChunkedArray, column: ContractColumn) -> Any:
    """Text as values of the column's kind where all of it is such; else as it is, cell by cell.

    What is no such value stays text, and so becomes an invalid row with its reason.
    """
    if pa.types.is_string(column.type) or column.is_nested:
        return values
    array = _cast_text(_combined(values), column.type)
    if array is not None:
        return array
    wanted = replace(column, coerce=True)
    return [_parsed(text, wanted) for text in values.to_pylist()]


def _parsed(text: str | None, column: ContractColumn) -> Any:
    if text is None or text.strip() in _NO_VALUE:
        return None
    if pa.types.is_boolean(column.type):
        return _BOOLEANS.get(text.strip().lower(), text)
    try:
        return convert(text, column)
    except ValueError:
        return text


_NO_VALUE = frozenset({"", "NA", "N/A", "NaN", "nan", "null", "NULL"})
_BOOLEANS = {"true": True, "false": False, "1": True, "0": False}


def _inferred(values: Any, column: ContractColumn) -> pa.Array:
    if not isinstance(values, list):
        return _combined(values)
    # Outside float columns pandas' NaN and NaT mean null.
    array = pa.array(values, from_pandas=not pa.types.is_floating(column.type))
    if any(is_kind(array.type) for is_kind in _MIXED):
        kinds = set(map(type, values)) - {type(None)}
        if len(kinds) > 1 and (not pa.types.is_floating(array.type) or bool in kinds):
            raise pa.ArrowInvalid("Arrow takes one kind of value for another")
    return array


_MIXED = (pa.types.is_temporal, pa.types.is_floating, pa.types.is_binary)
"""Kinds that Arrow makes of values of several kinds, some of which phlo refuses."""


def _combined(values: pa.ChunkedArray | pa.Array) -> pa.Array:
    whole = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    if isinstance(whole, pa.ChunkedArray):
        whole = pa.concat_arrays(whole.chunks) if whole.num_chunks else pa.array([], whole.type)
    return whole.dictionary_decode() if pa.types.is_dictionary(whole.type) else whole


def _cast(array: pa.Array, column: ContractColumn) -> pa.Array | None:
    """The array cast whole, or ``None`` where that could lose something."""
    source, target = array.type, column.type
    if pa.types.is_null(source):
        return pa.nulls(len(array), target)
    if column.is_nested or pa.types.is_nested(source):
        return None
    if source == target:
        return array
    if pa.types.is_floating(source) and not pa.types.is_floating(target):
        is_nan = pc.call_function("is_nan", [array])
        array = pc.call_function("if_else", [is_nan, pa.scalar(None, source), array])
    if pa.types.is_string(source) or pa.types.is_large_string(source):
        return _cast_text(array, target) if _is_read_from_text(target) else None
    if pa.types.is_timestamp(source):
        return _cast_timestamp(array, target)
    is_safe = any(given(source) and wanted(target) for given, wanted in _SAFE)
    return array.cast(target) if is_safe else None


def _is_read_from_text(target: pa.DataType) -> bool:
    """Kinds that sources deliver as text, so that it is read whether or not the schema coerces."""
    return pa.types.is_string(target) or pa.types.is_timestamp(target) or pa.types.is_date(target)


def _cast_text(array: pa.Array, target: pa.DataType) -> pa.Array | None:
    # Text without an offset is in UTC.
    ways = [pa.timestamp("us")] if pa.types.is_timestamp(target) else []
    for through in [target, *ways]:
        try:
            return array.cast(through).cast(target)
        except pa.ArrowInvalid:
            continue
    return None


def _cast_timestamp(array: pa.Array, target: pa.DataType) -> pa.Array | None:
    if pa.types.is_timestamp(target):
        # Nanoseconds are cut: tables keep microseconds.
        unit = pa.timestamp("us", tz=array.type.tz)
        return array.cast(unit, safe=False).cast(target)
    if pa.types.is_date(target) and array.type.tz is None:
        days = array.cast(target, safe=False)
        return days if days.cast(array.type).equals(array) else None
    return None


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)


# Pairs that Arrow casts whole; it refuses values that would lose something.
_SAFE = (
    (pa.types.is_integer, _is_number),
    (pa.types.is_floating, lambda t: pa.types.is_integer(t) or pa.types.is_floating(t)),
    (pa.types.is_decimal, lambda t: pa.types.is_decimal(t) or pa.types.is_floating(t)),
    (pa.types.is_date, lambda t: pa.types.is_date(t) or pa.types.is_timestamp(t)),
    (lambda t: pa.types.is_binary(t) or pa.types.is_large_binary(t), pa.types.is_binary),
    (pa.types.is_time, pa.types.is_time),
)


def _one_by_one(values: Any, column: ContractColumn, name: str, found: Findings) -> pa.Array:
    converted: list[Any] = []
    for row, value in enumerate(_python(values)):
        try:
            converted.append(convert(value, column))
        except (ValueError, TypeError, OverflowError) as exc:
            found.add(row, f"{column.name}: cannot be cast to {column.type} ({exc})", name, value)
            converted.append(None)
    return pa.array(converted, column.type)


def _python(values: Any) -> list[Any]:
    return values if isinstance(values, list) else values.to_pylist()


def _scalar(column: ContractColumn) -> pa.Scalar:
    return pa.scalar(convert(column.default, column), column.type)


def _by_row(found: dict[int, Any], row_count: int) -> pa.Array:
    """JSON text by row, null where there is nothing."""
    if not found:
        return pa.nulls(row_count, pa.string())
    texts = [_as_text(found[i]) if i in found else None for i in range(row_count)]
    return pa.array(texts, pa.string())


def _as_text(value: Any) -> str:
    """JSON with decimals as the numbers they are, which other libraries write as text."""
    return simplejson.dumps(_plain(value), use_decimal=True, default=_iso, separators=(",", ":"))


def _iso(value: date) -> str:
    return value.isoformat()


def _plain(value: Any) -> Any:
    """A value that JSON can hold: what it does not know becomes text."""
    if isinstance(value, dict):
        return {_plain(str(k)): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float | Decimal) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, bool | int | float | Decimal | date | datetime):
        return value
    # Half of a surrogate pair is no text: JSON has it by its number.
    return str(value).encode(errors="backslashreplace").decode()


def batches_of(item: Any, conformer: Conformer) -> Iterator[pa.Table]:
    """Whatever a resource yields as conformed tables.

    Args:
        item: A dict, a list of dicts, a pandas or polars frame, an Arrow table, batch or reader,
            or a list of these.
        conformer: Conforms them.

    Raises:
        ContractError: An item is none of these.
    """
    if isinstance(item, FileItemDict):
        yield from file_batches(item, conformer)
    elif isinstance(item, dict):
        yield conformer.rows([item])
    elif isinstance(item, list):
        yield from _list_batches(item, conformer)
    elif isinstance(item, pa.Table):
        yield conformer.table(item)
    elif isinstance(item, pa.RecordBatch):
        yield conformer.table(pa.Table.from_batches([item]))
    elif isinstance(item, pa.RecordBatchReader):
        for batch in item:
            yield conformer.table(pa.Table.from_batches([batch]))
    elif hasattr(item, "to_arrow"):  # polars
        yield conformer.table(item.to_arrow())
    elif hasattr(item, "to_dict") and hasattr(item, "columns"):
        yield _frame(item, conformer)
    else:
        raise ContractError(
            f"The source yields a {type(item).__name__}, which is no row.",
            got=repr(item)[:80],
            expected="dicts, lists of dicts, frames or Arrow tables",
            hint="Yield dicts from the ingestion function.",
        )


def are_dicts(items: list[Any]) -> bool:
    """Whether a list holds dicts alone, and at least one."""
    kinds = set(map(type, items))
    return bool(kinds) and all(issubclass(k, dict) and k is not FileItemDict for k in kinds)


def _list_batches(items: list[Any], conformer: Conformer) -> Iterator[pa.Table]:
    if are_dicts(items):
        yield conformer.rows(items)
        return
    for item in items:
        yield from batches_of(item, conformer)


def _frame(frame: Any, conformer: Conformer) -> pa.Table:
    try:
        table = pa.Table.from_pandas(frame, preserve_index=False)
    except (pa.ArrowInvalid, pa.ArrowTypeError):  # a column of mixed types
        return conformer.rows(frame.to_dict("records"))
    return conformer.table(table)
