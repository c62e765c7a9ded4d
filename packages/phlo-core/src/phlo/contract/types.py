"""Which Arrow type a Pandera type becomes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
from pandera import dtypes
from pandera.engines import pandas_engine
from phlo.contract.pandera_private import fit_nested
from phlo.errors import UnsupportedTypeError
from phlo.time_zones import keep_offsets

if TYPE_CHECKING:
    from collections.abc import Callable

keep_offsets()  # Pandera was imported above

TIMESTAMP = pa.timestamp("us", tz="UTC")
"""All points in time, as Iceberg's timestamptz."""

_NESTED = (
    pandas_engine.PythonDict,
    pandas_engine.PythonList,
    pandas_engine.PythonTuple,
    pandas_engine.PythonTypedDict,
    pandas_engine.PythonNamedTuple,
)
_NAMES = (
    "str, int, float, bool, datetime, date, Decimal, bytes, list, dict, and pandas' and pyarrow's"
)


@dataclass(frozen=True, slots=True)
class ColumnType:
    """An Arrow type, and what it does not say by itself; see :class:`ContractColumn`."""

    type: pa.DataType
    is_nested: bool = False
    time_zone: str | None = None
    declared: pa.DataType | None = None
    categories: tuple[str, ...] | None = None
    fit: Callable[[Any, bool], Any] | None = None


@dataclass(frozen=True, slots=True)
class ContractColumn:
    """One column of a contract.

    Attributes:
        name: The column's name: the field's alias where it has one.
        type: Its Arrow type; nested values are strings (JSON).
        nullable: Whether nulls pass.
        required: Whether Pandera wants the column to be there (``Series[T] | None`` is not).
        unique: Whether the column alone is unique.
        default: Fills nulls before the contract is judged; ``None``: nothing.
        description: For people; becomes the doc of the Iceberg field.
        renamed_from: What the column was called before.
        coerce: Whether values of other types are cast.
        is_nested: Whether its values are lists or dicts, kept as JSON.
        time_zone: Zone that Pandera's own dtype has; ``None``: it sees naive UTC times.
        declared: The schema's own type where it holds less than ``type``: ``uint32`` in a column
            of longs, ``list<int64>`` in one of JSON. Values beyond it are refused.
        categories: The only values that a categorical column takes.
        fit: Returns a list or dict as the schema's Python type (``list[int]``) has it, or raises
            ``ValueError``; its second argument says whether elements are coerced.
        is_sensitive: Whether messages mask its values (``metadata={"sensitive": True}``).
    """

    name: str
    type: pa.DataType
    nullable: bool = False
    required: bool = True
    unique: bool = False
    default: Any = None
    description: str | None = None
    renamed_from: str | None = None
    coerce: bool = False
    is_nested: bool = False
    time_zone: str | None = None
    declared: pa.DataType | None = None
    categories: tuple[str, ...] | None = None
    fit: Callable[[Any, bool], Any] | None = None
    is_sensitive: bool = False

    @property
    def field(self) -> pa.Field:
        """The Arrow field, with ``doc`` and ``renamed_from`` in its metadata."""
        extra = {"doc": self.description, "renamed_from": self.renamed_from}
        metadata = {k: v for k, v in extra.items() if v}
        is_optional = self.nullable or not self.required
        return pa.field(self.name, self.type, nullable=is_optional, metadata=metadata or None)


def arrow_type(dtype: Any, annotation: Any, schema: str, column: str) -> ColumnType:
    """Return the type of a column.

    Args:
        dtype: Pandera's dtype.
        annotation: What the model's annotation says; tells ``bytes`` from other objects.
        schema: Name of the model, for the message.
        column: Name of the column, for the message.

    Raises:
        UnsupportedTypeError: There is no counterpart.
    """
    native = getattr(dtype, "type", None)
    found = (
        type_of_arrow(native.pyarrow_dtype)
        if isinstance(native, pd.ArrowDtype)
        else _from_pandera(dtype, annotation)
    )
    if found is None:
        raise UnsupportedTypeError(
            f"The field {column!r} of {schema} has the type {dtype or annotation}, "
            "which a table cannot have.",
            got=str(dtype or annotation),
            expected=f"one of {_NAMES} types",
            hint="Choose one of these, or deliver the value as text.",
            schema=schema,
            column=column,
        )
    return found


def _from_pandera(dtype: Any, annotation: Any) -> ColumnType | None:
    if isinstance(dtype, _NESTED):
        return ColumnType(pa.string(), is_nested=True, fit=fit_nested(dtype))
    if isinstance(dtype, pandas_engine.Date):
        return ColumnType(pa.date32())
    if isinstance(dtype, dtypes.Decimal):
        return ColumnType(pa.decimal128(dtype.precision, dtype.scale))
    if isinstance(dtype, dtypes.Timestamp):
        zone = getattr(dtype, "tz", None)
        return ColumnType(TIMESTAMP, time_zone=str(zone) if zone is not None else None)
    if annotation in (bytes, bytearray) or isinstance(dtype, dtypes.Binary):
        return ColumnType(pa.binary())
    if dtype is not None and dtypes.is_category(dtype):
        return _category(dtype)
    simple = _simple(dtype)
    return ColumnType(simple, declared=_narrower(dtype)) if simple is not None else None


def _category(dtype: dtypes.Category) -> ColumnType | None:
    categories = None if dtype.categories is None else tuple(dtype.categories)
    if not all(isinstance(value, str) for value in categories or ()):
        return None
    return ColumnType(pa.string(), categories=categories)


def _narrower(dtype: Any) -> pa.DataType | None:
    """Return the schema's own type of numbers where the table's holds more."""
    if dtypes.is_bool(dtype) or not (dtypes.is_int(dtype) or dtypes.is_float(dtype)):
        return None
    letter = "uint" if dtypes.is_uint(dtype) else "int" if dtypes.is_int(dtype) else "float"
    name = f"{letter}{dtype.bit_width}"
    return _NARROW.get(name)


_NARROW = {
    str(t): t for t in (pa.int8(), pa.int16(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64())
} | {"float16": pa.float16()}


def _simple(dtype: Any) -> pa.DataType | None:
    if dtype is None:
        return None
    if dtypes.is_bool(dtype):
        return pa.bool_()
    if dtypes.is_uint(dtype):
        return pa.int32() if dtype.bit_width < 32 else pa.int64()
    if dtypes.is_int(dtype):
        return pa.int64() if dtype.bit_width > 32 else pa.int32()
    if dtypes.is_float(dtype) and not dtypes.is_complex(dtype):
        return pa.float64() if dtype.bit_width > 32 else pa.float32()
    if dtypes.is_string(dtype):
        return pa.string()
    return None


def type_of_arrow(native: pa.DataType) -> ColumnType | None:
    """Return the type of a column declared as an Arrow type; ``None``: a table cannot have it."""
    if pa.types.is_timestamp(native):
        return ColumnType(TIMESTAMP, time_zone=native.tz)
    if pa.types.is_nested(native):
        return ColumnType(pa.string(), is_nested=True, declared=native)
    simple = next((to for is_kind, to in _ARROW if is_kind(native)), None)
    if simple is None and (pa.types.is_decimal128(native) or pa.types.is_float32(native)):
        simple = native
    declared = _NARROW.get("float16" if native == pa.float16() else str(native))
    return ColumnType(simple, declared=declared) if simple is not None else None


_ARROW = (
    (pa.types.is_boolean, pa.bool_()),
    (lambda t: pa.types.is_integer(t) and t.bit_width <= 32 and t != pa.uint32(), pa.int32()),
    (pa.types.is_integer, pa.int64()),
    (pa.types.is_float64, pa.float64()),
    (pa.types.is_float16, pa.float32()),
    (lambda t: pa.types.is_string(t) or pa.types.is_large_string(t), pa.string()),
    (lambda t: pa.types.is_binary(t) or pa.types.is_large_binary(t), pa.binary()),
    (pa.types.is_date, pa.date32()),
    (pa.types.is_time, pa.time64("us")),
)
