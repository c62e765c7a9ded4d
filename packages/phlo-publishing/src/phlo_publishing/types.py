"""Which PostgreSQL type an Arrow column becomes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
from phlo.errors import ColumnNotFoundError, InvalidNameError, UnsupportedTypeError
from phlo.sql import Sql

from phlo_publishing import copy_format as fmt

if TYPE_CHECKING:
    from phlo.names import TableName

    from phlo_publishing.copy_format import Encoder

is_type = pa.types
MAX_NAME_BYTES = 63  # PostgreSQL cuts longer names off in silence
_MAX_DIGITS = 38
_MAX_COLUMNS = 1600
_SYSTEM_COLUMNS = ("tableoid", "xmin", "cmin", "xmax", "cmax", "ctid")


@dataclass(frozen=True, slots=True)
class PublishedColumn:
    """A column of a published table.

    Attributes:
        name: As in the mart, letter for letter.
        type: PostgreSQL's type, as SQL.
        encode: Turns an Arrow column into the fields of a binary COPY.
    """

    name: str
    type: Sql
    encode: Encoder


def published_columns(
    schema: pa.Schema, source: TableName, *, lower_case: bool = False
) -> list[PublishedColumn]:
    """Return the columns of a published table.

    Args:
        schema: The mart's columns.
        source: The mart, for messages.
        lower_case: Whether the columns get lower-case names.

    Raises:
        UnsupportedTypeError: A column's type has no counterpart; names the column.
        InvalidNameError: A column's name is too long for PostgreSQL.
        ColumnNotFoundError: The mart has no columns.
    """
    if not len(schema):
        raise ColumnNotFoundError(
            f"The mart {str(source)!r} has no columns.", hint="Give its model at least one."
        )
    if len(schema) > _MAX_COLUMNS:
        raise UnsupportedTypeError(
            f"The mart {str(source)!r} has more columns than a table in PostgreSQL can have.",
            got=f"{len(schema)} columns",
            expected=f"at most {_MAX_COLUMNS}",
            hint="Publish a model that selects fewer of them.",
        )
    columns = [_column(field, source, lower_case=lower_case) for field in schema]
    for number, column in enumerate(columns):
        if any(column.name == other.name for other in columns[:number]):
            raise InvalidNameError(
                f"Two columns of {str(source)!r} would both be published as {column.name!r}.",
                hint="Publish with lower_case=False, or give one another name in the mart.",
                name=column.name,
            )
    return columns


def check_name(name: str, what: str) -> str:
    """Return a name that PostgreSQL would not change, or raise.

    Raises:
        InvalidNameError: It is empty, too long or holds a NUL.
    """
    if not 0 < len(name.encode()) <= MAX_NAME_BYTES or "\x00" in name:
        raise InvalidNameError(
            f"{what} {name!r} cannot be a name in PostgreSQL.",
            got=f"{len(name.encode())} bytes",
            expected=f"1 to {MAX_NAME_BYTES} bytes in UTF-8, without NUL",
            hint="Give it a shorter name in the mart.",
            name=name,
        )
    return name


def _column(field: pa.Field, source: TableName, *, lower_case: bool) -> PublishedColumn:
    published_name = field.name.lower() if lower_case else field.name
    name = check_name(published_name, f"The column of {str(source)!r}")
    if name in _SYSTEM_COLUMNS:
        raise InvalidNameError(
            f"The column {name!r} of {str(source)!r} has the name of a system column.",
            expected=f"a name other than {', '.join(_SYSTEM_COLUMNS)}",
            hint="Give it another name in the mart.",
            name=name,
        )
    encoding = _postgres_type(field.type)
    if encoding is None:
        raise UnsupportedTypeError(
            f"The column {name!r} of {str(source)!r} has a type that PostgreSQL does not know.",
            got=str(field.type),
            expected="a number, text, a date or time, bytes, a UUID or a nested value",
            hint=f"Cast {name!r} in the mart's model, for instance to varchar.",
            column=name,
        )
    return PublishedColumn(name, Sql(encoding[0]), encoding[1])


def _postgres_type(arrow_type: pa.DataType) -> tuple[str, Encoder] | None:
    if isinstance(arrow_type, pa.BaseExtensionType):
        return _extension_type(arrow_type)
    if is_type.is_decimal(arrow_type):
        return _decimal_type(arrow_type)
    if is_type.is_timestamp(arrow_type):
        return ("timestamptz" if arrow_type.tz else "timestamp"), fmt.encode_timestamp
    if is_type.is_dictionary(arrow_type):
        return _dictionary_type(arrow_type)
    simple = _SIMPLE.get(arrow_type)
    return simple or next((encoding for test, encoding in _FAMILIES if test(arrow_type)), None)


def _decimal_type(arrow_type: pa.DataType) -> tuple[str, Encoder] | None:
    scale = max(arrow_type.scale, 0)
    # A negative scale is zeros before the point.
    precision = arrow_type.precision + scale - arrow_type.scale
    if precision > _MAX_DIGITS or scale > precision:
        return None
    return f"numeric({precision}, {scale})", fmt.encode_decimal(precision, scale)


def _extension_type(arrow_type: pa.BaseExtensionType) -> tuple[str, Encoder] | None:
    if arrow_type.extension_name == "arrow.uuid":
        return "uuid", lambda column: fmt.encode_bytes(column.storage)
    encoding = _postgres_type(arrow_type.storage_type)
    return encoding and (encoding[0], lambda column: encoding[1](column.storage))


def _dictionary_type(arrow_type: pa.DataType) -> tuple[str, Encoder] | None:
    encoding = _postgres_type(arrow_type.value_type)
    return encoding and (encoding[0], lambda column: encoding[1](column.dictionary_decode()))


_SIMPLE: dict[pa.DataType, tuple[str, Encoder]] = {
    pa.bool_(): ("boolean", fmt.encode_number("u1")),
    pa.int8(): ("smallint", fmt.encode_number(">i2")),
    pa.uint8(): ("smallint", fmt.encode_number(">i2")),
    pa.int16(): ("smallint", fmt.encode_number(">i2")),
    pa.uint16(): ("integer", fmt.encode_number(">i4")),
    pa.int32(): ("integer", fmt.encode_number(">i4")),
    pa.uint32(): ("bigint", fmt.encode_number(">i8")),
    pa.int64(): ("bigint", fmt.encode_number(">i8")),
    pa.uint64(): ("numeric(20, 0)", fmt.encode_decimal(20, 0)),
    pa.float16(): ("real", fmt.encode_number(">f4")),
    pa.float32(): ("real", fmt.encode_number(">f4")),
    pa.float64(): ("double precision", fmt.encode_number(">f8")),
    pa.null(): ("text", fmt.encode_text),
}
_FAMILIES = (
    (is_type.is_date, ("date", fmt.encode_date)),
    (is_type.is_time, ("time", fmt.encode_time)),
    (is_type.is_string, ("text", fmt.encode_text)),
    (is_type.is_large_string, ("text", fmt.encode_text)),
    (is_type.is_string_view, ("text", fmt.encode_text)),
    (is_type.is_binary, ("bytea", fmt.encode_bytes)),
    (is_type.is_large_binary, ("bytea", fmt.encode_bytes)),
    (is_type.is_binary_view, ("bytea", fmt.encode_bytes)),
    (is_type.is_fixed_size_binary, ("bytea", fmt.encode_bytes)),
    (is_type.is_struct, ("jsonb", fmt.encode_json)),
    (is_type.is_map, ("jsonb", fmt.encode_json)),
    (is_type.is_list, ("jsonb", fmt.encode_json)),
    (is_type.is_large_list, ("jsonb", fmt.encode_json)),
    (is_type.is_fixed_size_list, ("jsonb", fmt.encode_json)),
)
