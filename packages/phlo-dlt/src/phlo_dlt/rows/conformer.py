"""Conform batches of a source to a contract: Arrow tables of the contract's types.

What cannot be cast is null in the result and named in ``_phlo_problems``, so that its row is
invalid with its reason. Columns are called ``c0``, ``c1`` ... in the order of the contract, because
dlt rewrites names.
"""

from __future__ import annotations

import reprlib
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import simplejson
from phlo.errors import ContractError

from phlo_dlt.rows.casting import convert, convert_text
from phlo_dlt.rows.naming import match_names
from phlo_dlt.rows.plain import WrittenFloat, is_finite, to_plain
from phlo_dlt.rows.whole import convert_array, convert_cells, convert_values

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from phlo.contract import Contract, ContractColumn

    from phlo_dlt.rows.layout import Origin

DICT_ROWS = 10_000
"""So many dicts are conformed at once: with more, they leave the processor's caches in between."""
_ROWS_AT_HAND = 1_000
BATCH_NUMBER = "_phlo_batch_number"
PROBLEMS = "_phlo_problems"
ORIGINAL = "_phlo_original"


def staged_name(position: int) -> str:
    """Return the name of the contract's column ``position`` in the staged files."""
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

    def update(self, other: Findings) -> None:
        """Add what was found in another column of the same batch."""
        for row, rules in other.rules.items():
            self.rules.setdefault(row, []).extend(rules)
            self.original.setdefault(row, {}).update(other.original[row])


class Conformer:
    """Makes batches of one load conform to a contract.

    Attributes:
        extracted: Rows seen so far.
        fields: The source field that each column of the contract was read from, for the columns
            that the source has delivered.
        dropped: Values dropped by source column that the contract does not have.
        origin: The file whose rows come next; ``None``: they come from no file.
        origins: Where rows came from, by the number of their batch.
    """

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self._by_name = {column.name: column for column in contract.columns}
        self._batches = 0
        self.extracted = 0
        self.fields: dict[str, str] = {}
        self.dropped: Counter[str] = Counter()
        self.origin: Origin | None = None
        self.origins: dict[int, Origin] = {}

    @property
    def column_names(self) -> tuple[str, ...]:
        """The contract's columns."""
        return self._contract.column_names

    def rows(self, batch: Sequence[dict[str, Any]]) -> pa.Table:
        """Conform a batch of dicts; rows may lack keys."""
        source = _columns_of_dicts(batch)
        matched = match_names(source, self._contract.column_names)
        for column, same in matched.items():
            if len(same) > 1:
                source.update(self._split_by_row(column, same, batch))
        return self._conform(source, {c: same[0] for c, same in matched.items()}, len(batch))

    def table(self, batch: pa.Table, values: Mapping[str, Any] | None = None) -> pa.Table:
        """Conform an Arrow table.

        Args:
            batch: The table.
            values: Values to read instead of its own, by column: arrays or lists.
        """
        columns = {**self._columns_of(batch), **(values or {})}
        return self._conform_columns(columns, batch.num_rows)

    def columns(self, columns: Sequence[tuple[str, Any]], row_count: int) -> pa.Table:
        """Conform columns by name: Arrow arrays, or lists of Python values."""
        return self._conform_columns(_by_name(columns), row_count)

    def text(self, batch: pa.Table, null_values: Sequence[str] | None = None) -> pa.Table:
        """Conform a table of text alone, as CSV files hold it: values are cast in any case.

        Args:
            batch: Its columns are text.
            null_values: Texts that mean null outside text columns; ``None``: the usual ones.
        """
        columns = self._columns_of(batch)
        for column, names in match_names(columns, self._contract.column_names).items():
            columns[names[0]] = parse_text(columns[names[0]], self._by_name[column], null_values)
        return self._conform_columns(columns, batch.num_rows)

    def _columns_of(self, batch: pa.Table) -> dict[str, Any]:
        return _by_name(list(zip(batch.column_names, batch.columns, strict=True)))

    def _conform_columns(self, source: dict[str, Any], row_count: int) -> pa.Table:
        matched = match_names(source, self._contract.column_names)
        for column, same in matched.items():
            if len(same) > 1 and same[0] != column:
                raise self._ambiguous(column, same)
        return self._conform(source, {c: same[0] for c, same in matched.items()}, row_count)

    def _split_by_row(
        self, column: str, names: Sequence[str], batch: Sequence[dict[str, Any]]
    ) -> dict[str, list[Any]]:
        """Choose the column's field in each row, so that no row depends on what others have.

        Returns:
            Values by field: those of the column under the first name, the rest as they were.
        """
        values: dict[str, list[Any]] = {name: [] for name in names}
        for row in batch:
            present = [name for name in names if name in row]
            if len(present) > 1 and present[0] != column:
                raise self._ambiguous(column, present)
            values[names[0]].append(row[present[0]] if present else None)
            for name in names[1:]:
                values[name].append(row[name] if name in present[1:] else None)
        return values

    def _ambiguous(self, column: str, names: Sequence[str]) -> ContractError:
        return ContractError(
            f"The source fields {names[0]!r} and {names[1]!r} are both the column "
            f"{column!r} of {self._contract.name}.",
            hint="Rename or remove one of them in the ingestion function.",
            column=column,
        )

    def _conform(self, source: dict[str, Any], chosen: dict[str, str], row_count: int) -> pa.Table:
        found = Findings()
        columns = [
            self._column(column, chosen.get(column.name), source, row_count, found)
            for column in self._contract.columns
        ]
        taken = set(chosen.values())
        self._unknown({n: v for n, v in source.items() if n not in taken}, found)
        self.extracted += row_count
        self._batches += 1
        if self.origin is not None:
            self.origins[self._batches] = self.origin
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
            return pa.repeat(_default(column), row_count)
        self.fields.setdefault(column.name, name)
        broken = Findings()
        array = conform_column(source[name], column, name, broken)
        found.update(broken)
        return array if column.default is None else _fill(array, column, broken.rules)

    def _unknown(self, source: dict[str, Any], found: Findings) -> None:
        for name, values in source.items():
            if str(name).startswith("_dlt_"):
                continue
            self.dropped[str(name)] += _present(values)
            if self._contract.strict:
                for row, item in enumerate(as_python(values)):
                    if item is not None:
                        found.add(row, f"{name}: unknown column", str(name), item)


def _by_name(columns: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    repeated = [n for n, count in Counter(name for name, _ in columns).items() if count > 1]
    if repeated:
        raise ContractError(
            f"The source has several columns called {repeated[0]!r}.",
            hint="Rename or remove one of them.",
            column=repeated[0],
        )
    return dict(columns)


def _columns_of_dicts(batch: Sequence[dict[str, Any]]) -> dict[str, list[Any]]:
    """Gather the values of each key, ``None`` where a row lacks it; keys in the order of text."""
    if batch and not any(hasattr(kind, "__missing__") for kind in set(map(type, batch))):
        first, count = sorted(batch[0], key=str), sum(map(len, batch))
        with suppress(KeyError):  # four times as quick, where all rows have the same keys
            columns = _columns_of_equal_dicts(batch, first)
            if count == len(first) * len(batch):
                return columns
    names = sorted(set().union(*batch), key=str)
    return {name: [row.get(name) for row in batch] for name in names}


def _columns_of_equal_dicts(
    batch: Sequence[dict[str, Any]], names: Sequence[str]
) -> dict[str, list[Any]]:
    """Gather some rows at a time, which the processor still has at hand for the next key."""
    columns: dict[str, list[Any]] = {name: [] for name in names}
    for start in range(0, len(batch), _ROWS_AT_HAND):
        rows = batch[start : start + _ROWS_AT_HAND]
        for name, values in columns.items():
            values.extend(map(itemgetter(name), rows))
    return columns


def _present(values: Any) -> int:
    if isinstance(values, list):
        return len(values) - sum(value is None for value in values)
    return len(values) - values.null_count


def conform_column(values: Any, column: ContractColumn, name: str, found: Findings) -> pa.Array:
    """Convert one column of a batch to the contract's type.

    Args:
        values: A list of Python values, in which NaN is null, or an Arrow array.
        column: Its column in the contract.
        name: What the source calls it.
        found: Where values that cannot be cast are noted.
    """
    is_list = isinstance(values, list)
    array = convert_values(values, column) if is_list else convert_array(values, column)
    return array if array is not None else _one_by_one(values, column, name, found)


def parse_text(
    values: pa.ChunkedArray, column: ContractColumn, null_values: Sequence[str] | None = None
) -> Any:
    """Read text as values of the column's type.

    Returns:
        An array where all of it is plainly such; else a list, in which text that is no such value
        stays text, and so becomes an invalid row with its reason.
    """
    if pa.types.is_string(column.type):
        return values
    array = convert_cells(values, column)
    if array is not None:
        return array
    coercing = replace(column, coerce=True)
    return [_parsed(text, coercing, null_values) for text in values.to_pylist()]


def _parsed(text: str | None, column: ContractColumn, null_values: Sequence[str] | None) -> Any:
    try:
        return None if text is None else convert_text(text, column, null_values)
    except ValueError:
        return text


def _one_by_one(values: Any, column: ContractColumn, name: str, found: Findings) -> pa.Array:
    converted: list[Any] = []
    for row, value in enumerate(as_python(values)):
        try:
            converted.append(convert(value, column))
        except (ValueError, TypeError, OverflowError) as exc:
            found.add(row, f"{column.name}: cannot be cast to {_type(column)} ({exc})", name, value)
            converted.append(None)
    # NaN of rows means that there is no value; that of Arrow data is a number.
    return pa.array(converted, column.type, from_pandas=isinstance(values, list))


def _type(column: ContractColumn) -> str:
    if column.categories is not None:
        return "category"
    return str(column.declared or ("json" if column.is_nested else column.type))


def as_python(values: Any) -> list[Any]:
    """Return a column as Python values; what Python has no value for, as its text."""
    if isinstance(values, list):
        return values
    if values.type == pa.time64("ns"):  # Python would cut parts of a microsecond
        return values.cast(pa.string()).to_pylist()
    try:
        return values.to_pylist(maps_as_pydicts="strict")
    except (ValueError, ArithmeticError, KeyError, pa.ArrowException):
        return [_scalar_as_python(scalar) for scalar in values]


def _scalar_as_python(scalar: pa.Scalar) -> Any:
    try:
        return _in_utc(scalar).as_py(maps_as_pydicts="strict")
    except (ValueError, ArithmeticError, KeyError, pa.ArrowException):
        return Unreadable(_display(scalar))


def _in_utc(scalar: pa.Scalar) -> pa.Scalar:
    """Return a point in time without its zone, whose own date may lie after the year 9999."""
    is_zoned = pa.types.is_timestamp(scalar.type) and scalar.type.tz is not None
    return scalar.cast(pa.timestamp(scalar.type.unit, "UTC")) if is_zoned else scalar


def _display(scalar: pa.Scalar) -> str:
    if isinstance(scalar, pa.StringScalar):  # and its subclasses: no UTF-8
        return str(scalar.as_buffer().to_pybytes())
    return pa.array([scalar]).to_string(skip_new_lines=True)[1:-1]


class Unreadable:
    """Display text of an Arrow value that Python has no value for.

    A date after the year 9999 is one, and text that is no UTF-8.
    """

    def __init__(self, shown: str) -> None:
        self._shown = shown

    def __str__(self) -> str:
        return self._shown


def _default(column: ContractColumn) -> pa.Scalar:
    return pa.scalar(convert(column.default, column), column.type)


def _fill(array: pa.Array, column: ContractColumn, broken: dict[int, list[str]]) -> pa.Array:
    """Put the default where the source has no value; one that cannot be cast stays null."""
    is_missing = array.is_null(nan_is_null=True)
    if broken:
        could_be_cast = pa.array([i not in broken for i in range(len(array))])
        is_missing = pc.call_function("and", [is_missing, could_be_cast])
    return pc.call_function("if_else", [is_missing, _default(column), array])


def _by_row(found: dict[int, Any], row_count: int) -> pa.Array:
    """Return JSON text by row, null where there is nothing."""
    if not found:
        return pa.nulls(row_count, pa.string())
    texts = [_as_text(found[i]) if i in found else None for i in range(row_count)]
    return pa.array(texts, pa.string())


def _as_text(value: Any) -> str:
    """Write JSON with decimals as the numbers they are, which other libraries write as text."""
    try:
        return _dumps(_plain(value))
    except RecursionError:
        return _dumps({name: reprlib.repr(element) for name, element in value.items()})


def _dumps(plain: Any) -> str:
    return simplejson.dumps(plain, use_decimal=True, default=_iso, separators=(",", ":"))


def _iso(value: date) -> str:
    return value.isoformat()


def _plain(value: Any) -> Any:
    """Return a value that JSON can hold: of other types, its text."""
    value = to_plain(value)
    if isinstance(value, WrittenFloat):
        value = Decimal(value.digits)
    if isinstance(value, dict):
        return {_plain(str(k)): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float | Decimal) and not is_finite(value):
        return str(value)
    if value is None or isinstance(value, bool | int | float | Decimal | date | datetime):
        return value
    # Half of a surrogate pair is no text: JSON has it by its number.
    return str(value).encode(errors="backslashreplace").decode()
