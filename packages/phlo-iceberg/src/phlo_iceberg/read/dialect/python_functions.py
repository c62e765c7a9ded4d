"""Functions of Trino that neither DuckDB's functions nor macros make, in Python.

DuckDB calls them for each row in which no argument is null.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import math
import re
import struct
import unicodedata
import zlib
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import (
    ROUND_CEILING,
    ROUND_DOWN,
    ROUND_FLOOR,
    ROUND_HALF_UP,
    Context,
    Decimal,
    InvalidOperation,
)
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, parse_qsl, quote_plus, unquote, unquote_plus, urlsplit

from phlo_iceberg.read.dialect.java_numbers import double_text, java_text, real_text

if TYPE_CHECKING:
    from collections.abc import Callable

EXACT = Context(prec=120)

FAR_YEAR = "A year before 1 or after 9999 is not translated"


class TrinoError(ValueError):
    """An error as Trino names it."""


class NotTranslatedError(TrinoError):
    """A pattern, path or format that Trino may answer, and no rule reads."""


@dataclass(frozen=True)
class PythonFunction:
    """A function and its types in DuckDB."""

    function: Callable[..., Any]
    parameters: tuple[str, ...]
    returns: str


FUNCTIONS: dict[str, PythonFunction] = {}


def _register(signature: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Name a function's types, as in ``VARCHAR, BIGINT -> VARCHAR``."""
    parameters, _, returns = signature.partition(" -> ")

    def add(function: Callable[..., Any]) -> Callable[..., Any]:
        kinds = tuple(p.strip() for p in parameters.split(",") if p.strip())
        FUNCTIONS[function.__name__] = PythonFunction(function, kinds, returns)
        return function

    return add


# Numbers


def _quantize(number: Decimal, digits: int, rounding: str) -> str:
    return f"{number.quantize(Decimal(1).scaleb(-digits), rounding, EXACT):f}"


@_register("VARCHAR, VARCHAR, INTEGER -> VARCHAR")
def decimal_quotient(a: str, b: str, digits: int) -> str:
    if not Decimal(b):
        raise TrinoError("DIVISION_BY_ZERO: Division by zero")
    return _quantize(EXACT.divide(Decimal(a), Decimal(b)), digits, ROUND_HALF_UP)


@_register("VARCHAR, VARCHAR, INTEGER -> VARCHAR")
def decimal_remainder(a: str, b: str, digits: int) -> str:
    if not Decimal(b):
        raise TrinoError("DIVISION_BY_ZERO: Division by zero")
    return _quantize(EXACT.remainder(Decimal(a), Decimal(b)), digits, ROUND_HALF_UP)


@_register("VARCHAR, VARCHAR -> VARCHAR")
def decimal_product(a: str, b: str) -> str:
    return f"{EXACT.multiply(Decimal(a), Decimal(b)):f}"


@_register("VARCHAR, VARCHAR, INTEGER -> VARCHAR")
def decimal_average(total: str, count: str, digits: int) -> str:
    return _quantize(EXACT.divide(Decimal(total), Decimal(count)), digits, ROUND_HALF_UP)


def _rounded(rounding: str) -> Callable[[str, int], str]:
    def apply(text: str, digits: int) -> str:
        number = Decimal(text)
        scale = -int(number.as_tuple().exponent)
        return f"{number.quantize(Decimal(1).scaleb(-min(digits, scale)), rounding, EXACT):f}"

    return apply


for _name, _rounding in {
    "round_decimal": ROUND_HALF_UP,
    "truncate_decimal": ROUND_DOWN,
    "floor_decimal": ROUND_FLOOR,
    "ceil_decimal": ROUND_CEILING,
}.items():
    FUNCTIONS[_name] = PythonFunction(_rounded(_rounding), ("VARCHAR", "INTEGER"), "VARCHAR")


@_register("BIGINT, INTEGER -> BIGINT")
def round_whole(x: int, digits: int) -> int:
    return int(Decimal(x).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP, EXACT))


_MOST_DIGITS = 308
"""Digits behind the point beyond which a double has none to round."""


@_register("DOUBLE, INTEGER -> DOUBLE")
def round_double(x: float, digits: int) -> float:
    if not math.isfinite(x) or digits > _MOST_DIGITS:
        return x
    factor = 10.0**digits
    scaled = x * factor
    if not math.isfinite(scaled):
        return x
    return math.copysign(math.floor(abs(scaled) + 0.5) / factor, x)


def _float_function(function: Callable[..., float]) -> Callable[..., float]:
    def apply(*arguments: float) -> float:
        try:
            return function(*arguments)
        except OverflowError:
            return math.inf
        except (ValueError, ZeroDivisionError):
            return math.nan

    return apply


for _name in ("sin", "cos", "tan", "asin", "acos", "atan"):
    FUNCTIONS[f"{_name}_double"] = PythonFunction(
        _float_function(getattr(math, _name)), ("DOUBLE",), "DOUBLE"
    )
FUNCTIONS["atan2_double"] = PythonFunction(math.atan2, ("DOUBLE", "DOUBLE"), "DOUBLE")


@_register("DOUBLE -> DOUBLE")
def radians_double(x: float) -> float:
    return x * 0.017453292519943295


@_register("DOUBLE -> DOUBLE")
def degrees_double(x: float) -> float:
    return x * 57.29577951308232


@_register("DOUBLE, DOUBLE -> DOUBLE")
def power_double(x: float, y: float) -> float:
    try:
        result = math.pow(x, y)
    except OverflowError:
        return -math.inf if x < 0 and y % 2 == 1 else math.inf
    except ValueError:
        return math.inf if x == 0 else math.nan
    return math.nan if abs(x) == 1 and (math.isinf(y) or math.isnan(y)) else result


@_register("DOUBLE, DOUBLE, DOUBLE, BIGINT -> BIGINT")
def width_bucket(x: float, low: float, high: float, count: int) -> int:
    if (
        count <= 0
        or math.isnan(x)
        or not math.isfinite(low)
        or not math.isfinite(high)
        or low == high
    ):
        raise TrinoError("INVALID_FUNCTION_ARGUMENT: bucket bounds")
    first, last = min(low, high), max(low, high)
    if x < first:
        result = 0
    elif x >= last:
        result = count + 1
    else:
        result = int(count * (x - first) / (last - first) + 1)
    return result if low < high else count - result + 1


@_register("DOUBLE, DOUBLE[] -> BIGINT")
def width_bucket_of(x: float, bins: list[float]) -> int:
    """Search by halves, as Trino does, which checks the bins on its way alone."""
    if None in bins:
        raise NotTranslatedError("Trino takes a null among the bins for any number")
    if math.isnan(x) or not bins:
        raise TrinoError("INVALID_FUNCTION_ARGUMENT: Operand and bins must be numbers")
    lower, upper = 0, len(bins)
    while lower < upper:
        middle = (lower + upper) // 2
        if bins[lower] > bins[upper - 1] or not math.isfinite(bins[middle]):
            raise TrinoError("INVALID_FUNCTION_ARGUMENT: Bins must be finite numbers in order")
        lower, upper = (lower, middle) if x < bins[middle] else (middle + 1, upper)
    return lower


@_register("DOUBLE -> DOUBLE")
def cbrt_double(x: float) -> float:
    if not math.isfinite(x) or not x:
        return x
    root = EXACT.power(Decimal(abs(x)), EXACT.divide(Decimal(1), Decimal(3)))
    return math.copysign(float(root), x)


@dataclass
class _Moments:
    """Running means and sums of squares, as Trino keeps them."""

    count: int = 0
    mean_x: float = 0.0
    mean_y: float = 0.0
    c2: float = 0.0
    m2_x: float = 0.0
    m2_y: float = 0.0

    def add(self, x: float, y: float) -> None:
        self.count += 1
        delta_x, old_y = x - self.mean_x, self.mean_y
        self.mean_x += delta_x / self.count
        delta_y = y - old_y
        self.mean_y += delta_y / self.count
        self.c2 += delta_x * (y - self.mean_y)
        self.m2_x += delta_x * (x - self.mean_x)
        self.m2_y += delta_y * (y - self.mean_y)


def _moments(ys: list[float], xs: list[float]) -> _Moments:
    moments = _Moments()
    for x, y in zip(xs, ys, strict=True):
        moments.add(x, y)
    return moments


@_register("DOUBLE[], DOUBLE[] -> DOUBLE")
def covariance_of(ys: list[float], xs: list[float]) -> float | None:
    m = _moments(ys, xs)
    return m.c2 / m.count if m.count else None


@_register("DOUBLE[], DOUBLE[] -> DOUBLE")
def sample_covariance_of(ys: list[float], xs: list[float]) -> float | None:
    m = _moments(ys, xs)
    return m.c2 / (m.count - 1) if m.count > 1 else None


@_register("DOUBLE[], DOUBLE[] -> DOUBLE")
def slope_of(ys: list[float], xs: list[float]) -> float | None:
    m = _moments(ys, xs)
    return _if_finite(m.c2 / m.m2_x) if m.m2_x else None


@_register("DOUBLE[], DOUBLE[] -> DOUBLE")
def intercept_of(ys: list[float], xs: list[float]) -> float | None:
    m = _moments(ys, xs)
    return _if_finite(m.mean_y - m.c2 / m.m2_x * m.mean_x) if m.m2_x else None


def _if_finite(x: float) -> float | None:
    return x if math.isfinite(x) else None


@_register("VARCHAR, BIGINT -> BIGINT")
def from_base(text: str, radix: int) -> int:
    try:
        number = int(text, radix) if "_" not in text and text == text.strip() else 2**63
    except ValueError:
        number = 2**63
    if not -(2**63) <= number < 2**63:
        raise TrinoError(f"INVALID_FUNCTION_ARGUMENT: Not a valid base-{radix} number: {text}")
    return number


@_register("BIGINT, BIGINT -> VARCHAR")
def to_base(number: int, radix: int) -> str:
    if not 2 <= radix <= 36:
        raise TrinoError("INVALID_FUNCTION_ARGUMENT: Radix must be between 2 and 36")
    digits, rest = "", abs(number)
    while rest or not digits:
        rest, digit = divmod(rest, radix)
        digits = "0123456789abcdefghijklmnopqrstuvwxyz"[digit] + digits
    return "-" + digits if number < 0 else digits


def _signed(number: int, bits: int) -> int:
    number &= (1 << bits) - 1
    return number - (1 << bits) if number >> (bits - 1) else number


@_register("BIGINT, INTEGER, INTEGER -> BIGINT")
def shift_left(x: int, n: int, bits: int) -> int:
    places = _places(n, bits)
    return _signed(x << places, bits) if places < bits else 0


@_register("BIGINT, INTEGER, INTEGER -> BIGINT")
def shift_right(x: int, n: int, bits: int) -> int:
    return _signed((x & ((1 << bits) - 1)) >> _places(n, bits), bits)


@_register("BIGINT, INTEGER, INTEGER -> BIGINT")
def shift_right_signed(x: int, n: int, bits: int) -> int:
    return x >> _places(n, bits)


def _places(n: int, bits: int) -> int:
    """Return bits to shift by: Java counts negative ones down from 64; beyond, nothing is left."""
    return n % 64 if n < 0 else n


@_register("BIGINT, BIGINT -> BIGINT")
def bit_count_of(x: int, bits: int) -> int:
    if not 2 <= bits <= 64 or not -(1 << (bits - 1)) <= x < 1 << (bits - 1):
        raise TrinoError(
            "INVALID_FUNCTION_ARGUMENT: Number must be representable with the bits specified"
        )
    return (x & ((1 << bits) - 1)).bit_count()


_UNITS = {
    u: 1 << (10 * n) for n, u in enumerate(["B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"])
}


@_register("VARCHAR -> VARCHAR")
def parse_data_size(text: str) -> str:
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([a-zA-Z]+)", text)
    if not match or match[2] not in _UNITS:
        raise TrinoError(f"INVALID_FUNCTION_ARGUMENT: Invalid data size: '{text}'")
    return str(int(Decimal(match[1]) * _UNITS[match[2]]))


# Casts


@_register("VARCHAR, VARCHAR -> BIGINT")
def parse_integer(text: str, kind: str) -> int:
    stripped = text.strip(" ")
    if not re.fullmatch(r"[+-]?\d+", stripped) or not -(2**63) <= int(stripped) < 2**63:
        raise TrinoError(f"INVALID_CAST_ARGUMENT: Cannot cast '{text}' to {kind.upper()}")
    return int(stripped)


@_register("VARCHAR, VARCHAR -> DOUBLE")
def parse_double(text: str, kind: str) -> float:
    stripped = text.strip()
    if re.fullmatch(
        r"[+-]?(?:NaN|Infinity|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)[dDfF]?", stripped
    ):
        return float(stripped.rstrip("dDfF") if stripped[-1] in "dDfF" else stripped)
    if re.fullmatch(
        r"[+-]?0[xX]([0-9a-fA-F]+\.?[0-9a-fA-F]*|\.[0-9a-fA-F]+)[pP][+-]?\d+", stripped
    ):
        return float.fromhex(stripped)
    raise TrinoError(f"INVALID_CAST_ARGUMENT: Cannot cast '{text}' to {kind.upper()}")


def _decimal_kind(kind: str) -> tuple[int, int]:
    precision, scale = (int(n) for n in kind[8:-1].split(","))
    return precision, scale


def _as_decimal(number: Decimal, kind: str, shown: str) -> str:
    precision, scale = _decimal_kind(kind)
    rounded = number.quantize(Decimal(1).scaleb(-scale), ROUND_HALF_UP, EXACT)
    if abs(rounded) >= Decimal(10) ** (precision - scale):
        raise TrinoError(f"INVALID_CAST_ARGUMENT: Cannot cast '{shown}' to {kind.upper()}")
    return f"{rounded:f}"


@_register("VARCHAR, VARCHAR -> VARCHAR")
def parse_decimal(text: str, kind: str) -> str:
    if not re.fullmatch(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?", text):
        raise TrinoError(f"INVALID_CAST_ARGUMENT: Cannot cast '{text}' to {kind.upper()}")
    try:
        return _as_decimal(Decimal(text), kind, text)
    except InvalidOperation as exc:
        raise TrinoError(f"INVALID_CAST_ARGUMENT: Cannot cast '{text}' to {kind.upper()}") from exc


@_register("DOUBLE, VARCHAR -> VARCHAR")
def double_digits(x: float, kind: str) -> str:
    if not math.isfinite(x) or abs(x) > 1e40:
        raise TrinoError(f"INVALID_CAST_ARGUMENT: Cannot cast {x} to {kind.upper()}")
    return _as_decimal(Decimal(repr(x)), kind, repr(x))


_DATE = re.compile(r" *([+-]?[0-9]+)-([0-9]{1,2})-([0-9]{1,2}) *")
_MOST_YEARS = 5_879_610
"""Years that Trino's dates have in each direction."""


def _day(year: int, month: int, day: int) -> date:
    """Make a date.

    Raises:
        NotTranslatedError: Trino has the day, and Python has no such year.
        ValueError: There is no such day.
    """
    if 1 <= year <= 9999 or abs(year) > _MOST_YEARS:
        return date(year, month, day)
    date(2000 + year % 400, month, day)
    raise NotTranslatedError(FAR_YEAR)


@_register("VARCHAR -> DATE")
def parse_date(text: str) -> date:
    match = _DATE.fullmatch(text)
    try:
        return _day(int(match[1]), int(match[2]), int(match[3])) if match else date(0, 0, 0)
    except NotTranslatedError:
        raise
    except ValueError as exc:
        raise TrinoError(f"INVALID_CAST_ARGUMENT: Value cannot be cast to date: {text}") from exc


_TIMESTAMP = re.compile(
    r"([+-]?[0-9]{4,})-([0-9]{1,2})-([0-9]{1,2})"
    r"(?: ([0-9]{1,2}):([0-9]{1,2})(?::([0-9]{1,2})(?:\.([0-9]{1,12}))?)?"
    r"(?: ?(?:[A-Za-z_]+(?:/[A-Za-z_+\-0-9]+)*|[+-][0-9]{2}:[0-9]{2}))?)?"
)


@_register("VARCHAR -> TIMESTAMP")
def parse_timestamp(text: str) -> datetime:
    match = _TIMESTAMP.fullmatch(text.strip(" "))
    year, month, day, hour, minute, second = (
        int(match[n] or 0) if match else 0 for n in range(1, 7)
    )
    try:
        start = _day(year, month, day)
        moment = datetime(start.year, start.month, start.day, hour, minute, second)
    except NotTranslatedError:
        raise
    except ValueError as exc:
        raise TrinoError(
            f"INVALID_CAST_ARGUMENT: Value cannot be cast to timestamp: {text}"
        ) from exc
    nanos = int(((match and match[7]) or "0").ljust(9, "0")[:9])
    return moment + timedelta(microseconds=(nanos + 500) // 1000)


FUNCTIONS["double_to_text"] = PythonFunction(double_text, ("DOUBLE",), "VARCHAR")
FUNCTIONS["real_to_text"] = PythonFunction(real_text, ("REAL",), "VARCHAR")


# Text


@_register("VARCHAR -> VARCHAR")
def upper_text(text: str) -> str:
    return "".join(u if len(u := c.upper()) == 1 else c for c in text)


@_register("VARCHAR -> VARCHAR")
def reverse_text(text: str) -> str:
    return text[::-1]


_SPACES = " \t\n\x0b\x0c\r\x1c\x1d\x1e\x1f\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2008\u2009\u200a\u2028\u2029\u205f\u3000"


@_register("VARCHAR -> VARCHAR")
def trim_text(text: str) -> str:
    return text.strip(_SPACES)


@_register("VARCHAR -> VARCHAR")
def ltrim_text(text: str) -> str:
    return text.lstrip(_SPACES)


@_register("VARCHAR -> VARCHAR")
def rtrim_text(text: str) -> str:
    return text.rstrip(_SPACES)


@_register("VARCHAR, VARCHAR, VARCHAR -> VARCHAR")
def replace_text(text: str, old: str, new: str) -> str:
    return text.replace(old, new)


@_register("VARCHAR, VARCHAR, BIGINT -> BIGINT")
def nth_position(text: str, part: str, n: int) -> int:
    if n == 0:
        raise TrinoError("INVALID_FUNCTION_ARGUMENT: 'instance' must not be 0")
    if not part:
        return 1
    at = -1 if n > 0 else len(text) + 1
    for _ in range(abs(n)):
        at = (
            text.find(part, at + 1)
            if n > 0
            else text.rfind(part, 0, at - 1 + len(part))
            if at > 0
            else -1
        )
        if at < 0:
            return 0
    return at + 1


@_register("VARCHAR, VARCHAR, BIGINT -> VARCHAR[]")
def split_limited(text: str, delimiter: str, limit: int) -> list[str]:
    if not 0 < limit < 2**31 or not delimiter:
        raise TrinoError("INVALID_FUNCTION_ARGUMENT: Limit must be positive")
    return text.split(delimiter, limit - 1)


def _entries(text: str, entry: str, pair: str) -> list[str]:
    if not entry or not pair or entry == pair:
        raise TrinoError("INVALID_FUNCTION_ARGUMENT: Two different delimiters are expected")
    parts = text.split(entry)
    return parts if parts[-1] else parts[:-1]


@_register("VARCHAR, VARCHAR, VARCHAR -> MAP(VARCHAR, VARCHAR)")
def split_to_map(text: str, entry: str, pair: str) -> list[tuple[str, str]]:
    result: dict[str, str] = {}
    for part in _entries(text, entry, pair):
        key, separator, value = part.partition(pair)
        if not separator or key in result:
            raise TrinoError(f"INVALID_FUNCTION_ARGUMENT: Bad input or duplicate key: {part}")
        result[key] = value
    return list(result.items())


@_register("VARCHAR, VARCHAR, VARCHAR -> MAP(VARCHAR, VARCHAR[])")
def split_to_multimap(text: str, entry: str, pair: str) -> list[tuple[str, list[str]]]:
    result: dict[str, list[str]] = {}
    for part in _entries(text, entry, pair):
        key, separator, value = part.partition(pair)
        if not separator:
            raise TrinoError(f"INVALID_FUNCTION_ARGUMENT: Key-value delimiter must appear: {part}")
        result.setdefault(key, []).append(value)
    return list(result.items())


@_register("VARCHAR, VARCHAR -> BIGINT")
def levenshtein_of(a: str, b: str) -> int:
    row = list(range(len(b) + 1))
    for n, left in enumerate(a, 1):
        before, row[0] = row[0], n
        for m, right in enumerate(b, 1):
            before, row[m] = row[m], min(row[m] + 1, row[m - 1] + 1, before + (left != right))
    return row[-1]


@_register("VARCHAR, VARCHAR -> BIGINT")
def hamming_of(a: str, b: str) -> int:
    if len(a) != len(b):
        raise TrinoError("INVALID_FUNCTION_ARGUMENT: The input strings must have the same length")
    return sum(left != right for left, right in zip(a, b, strict=True))


@_register("VARCHAR -> VARCHAR")
def soundex(text: str) -> str:
    if not text:
        return ""
    text = "".join(letter for letter in text if letter.isalpha())
    if not text.isascii():
        raise TrinoError("INVALID_FUNCTION_ARGUMENT: The character is not mapped")
    if not text:
        return ""
    codes = dict(zip("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "01230120022455012623010202", strict=True))
    letters = text.upper()
    result, last = letters[0], codes[letters[0]]
    for letter in letters[1:]:
        code = codes[letter]
        if letter in "HW":
            continue
        if code != "0" and code != last:
            result += code
        last = code
    return (result + "000")[:4]


@_register("VARCHAR -> BOOLEAN")
def luhn_check(text: str) -> bool:
    if not text:
        return False
    if not text.isdigit():
        raise TrinoError("INVALID_FUNCTION_ARGUMENT: Input contains non-digit characters")
    total = 0
    for place, letter in enumerate(reversed(text)):
        digit = int(letter) * (1 + place % 2)
        total += digit - 9 if digit > 9 else digit
    return total % 10 == 0


@_register("VARCHAR, VARCHAR -> VARCHAR")
def normalize_text(text: str, form: str) -> str:
    return unicodedata.normalize(form, text)  # pyright: ignore[reportArgumentType]


_FORMAT = re.compile(r"%(?:(\d+)\$)?([-#+ 0,(<]*)(\d+)?(?:\.(\d+))?([a-zA-Z%])")


def check_format(form: str) -> None:
    """Check that each part of a format of Java's is among those that are translated.

    Raises:
        NotTranslatedError: One is not.
    """
    for match in _FORMAT.finditer(form):
        if match[5] not in "sSdfeExXbBn%" or any(flag in match[2] for flag in "(#<"):
            raise NotTranslatedError(f"The format is not translated: {match[0]}")


@_register("VARCHAR, VARCHAR[] -> VARCHAR")
def format_text(form: str, arguments: list[str | None]) -> str:
    number = iter(range(len(arguments)))

    def one(match: re.Match[str]) -> str:
        if match[5] == "%":
            return "%"
        if match[5] == "n":
            return "\n"
        place = int(match[1]) - 1 if match[1] else next(number)
        return _format_one(match, arguments[place])

    try:
        return _FORMAT.sub(one, form)
    except NotTranslatedError:
        raise
    except (StopIteration, IndexError, ValueError) as exc:
        raise TrinoError(f"INVALID_FUNCTION_ARGUMENT: Invalid format string: {form}") from exc


def _format_one(match: re.Match[str], argument: str | None) -> str:
    flags, width, precision, letter = match[2], match[3], match[4], match[5]
    kind, _, text = (argument or "varchar:null").partition(":")
    if argument is None and letter in "sSdfeExX":
        shown = "null"[: int(precision or 4)]
        shown = shown.upper() if letter in "SEX" else shown
    elif letter in "sS":
        shown = _first_units(_format_text(kind, text), precision)
        shown = shown.upper() if letter == "S" else shown
    elif letter in "dfeExX":
        shown = _format_number(kind, text, letter, flags, precision)
    elif letter in "bB":
        shown = _format_boolean(kind, text, is_null=argument is None)
        shown = shown.upper() if letter == "B" else shown
    else:
        raise ValueError(letter)
    # Java counts a letter beyond the BMP as two.
    size = int(width or 0) - sum(c > "\uffff" for c in shown)
    if "-" in flags:
        return shown.ljust(size)
    if "0" in flags and letter not in "sS" and any(c.isdigit() for c in shown):
        sign = shown[0] if shown[0] in "+- " else ""
        return sign + shown[len(sign) :].rjust(size - len(sign), "0")
    return shown.rjust(size)


def _first_units(text: str, count: str | None) -> str:
    """Cut a text where Java does, which counts a letter beyond the BMP as two; half of one is ?."""
    if count is None:
        return text
    units = text.encode("utf-16-le")[: 2 * int(count)]
    return units.decode("utf-16-le", "replace").replace("\ufffd", "?")


def _format_text(kind: str, text: str) -> str:
    return java_text(float(text)) if kind in ("double", "real") else text


def _format_boolean(kind: str, text: str, *, is_null: bool) -> str:
    """Write a boolean as Java does: what is none as true, and null as false."""
    if is_null:
        return "false"
    return text if kind == "boolean" else "true"


def _format_number(kind: str, text: str, letter: str, flags: str, precision: str | None) -> str:
    if letter in "dxX" and kind not in ("tinyint", "smallint", "integer", "bigint"):
        raise ValueError(kind)
    if letter in "feE" and kind not in ("double", "real", "decimal"):
        raise ValueError(kind)
    number = Decimal(text)
    sign = "+" if "+" in flags else " " if " " in flags else ""
    comma = "," if "," in flags else ""
    if letter == "d":
        return f"{int(number):{sign}{comma}d}"
    if letter in "xX":
        return f"{int(number) & 0xFFFFFFFFFFFFFFFF if int(number) < 0 else int(number):{letter}}"
    if not number.is_finite():
        return (sign if float(text) > 0 else "") + java_text(float(text))
    digits = int(precision) if precision is not None else 6
    if letter in "eE":
        return f"{float(number):{sign}.{digits}{letter}}"
    rounded = number.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP, EXACT)
    return f"{rounded:{sign}{comma}f}"


# Bytes


@_register("BLOB -> BLOB")
def reverse_bytes(data: bytes) -> bytes:
    return bytes(data)[::-1]


@_register("BLOB, BIGINT -> BLOB")
def bytes_from(data: bytes, start: int) -> bytes:
    return bytes_of(data, start, len(data))


@_register("BLOB, BIGINT, BIGINT -> BLOB")
def bytes_of(data: bytes, start: int, length: int) -> bytes:
    if start == 0 or length <= 0 or -start > len(data):
        return b""
    first = start - 1 if start > 0 else len(data) + start
    return bytes(data)[first : first + length]


@_register("BLOB -> VARCHAR")
def from_utf8(data: bytes) -> str:
    return "\ufffd".join(_valid_parts(bytes(data)))


@_register("BLOB, VARCHAR -> VARCHAR")
def from_utf8_with(data: bytes, replacement: str) -> str:
    if len(replacement) > 1:
        raise TrinoError(
            "INVALID_FUNCTION_ARGUMENT: Replacement character string must be empty "
            "or a single character"
        )
    return replacement.join(_valid_parts(bytes(data)))


def _valid_parts(data: bytes) -> list[str]:
    """Split off the sequences of bytes that are no UTF-8, and return the texts between them."""
    parts = [""]
    while data:
        try:
            return [*parts[:-1], parts[-1] + data.decode()]
        except UnicodeDecodeError as error:
            parts[-1] += data[: error.start].decode()
            parts.append("")
            data = data[error.start + _invalid_length(data[error.start :]) :]
    return parts


def _invalid_length(data: bytes) -> int:
    """Count bytes of one invalid sequence: those its first byte asks for, as far as they follow."""
    first = data[0]
    if first < 0xC0 or first >= 0xFE:
        return 1
    asked = 8 - (first ^ 0xFF).bit_length()
    following = next((n for n, byte in enumerate(data[1:asked]) if not 0x80 <= byte < 0xC0), asked)
    return min(1 + following, asked, len(data))


def _padded(data: bytes, size: int, padding: bytes) -> bytes:
    if not 0 <= size < 2**31:
        raise TrinoError("INVALID_FUNCTION_ARGUMENT: Target length must be positive")
    if not padding:
        raise TrinoError("INVALID_FUNCTION_ARGUMENT: Padding bytes must not be empty")
    missing = max(size - len(data), 0)
    return (padding * (missing // len(padding) + 1))[:missing]


@_register("BLOB, BIGINT, BLOB -> BLOB")
def pad_bytes_left(data: bytes, size: int, padding: bytes) -> bytes:
    return (_padded(data, size, bytes(padding)) + bytes(data))[:size]


@_register("BLOB, BIGINT, BLOB -> BLOB")
def pad_bytes_right(data: bytes, size: int, padding: bytes) -> bytes:
    return (bytes(data) + _padded(data, size, bytes(padding)))[:size]


@_register("VARCHAR -> BLOB")
def from_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError as exc:
        raise TrinoError("INVALID_FUNCTION_ARGUMENT: Invalid base64") from exc


@_register("BLOB -> VARCHAR")
def to_base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode()


@_register("VARCHAR -> BLOB")
def from_base64url(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@_register("BLOB -> BLOB")
def sha512(data: bytes) -> bytes:
    return hashlib.sha512(data).digest()


@_register("BLOB -> BIGINT")
def crc32(data: bytes) -> int:
    return zlib.crc32(data)


def _hmac(algorithm: str) -> Callable[[bytes, bytes], bytes]:
    def digest(data: bytes, key: bytes) -> bytes:
        if not key:
            raise TrinoError("INVALID_FUNCTION_ARGUMENT: Empty key")
        return hmac.digest(bytes(key), bytes(data), algorithm)

    return digest


for _name in ("md5", "sha1", "sha256", "sha512"):
    FUNCTIONS[f"hmac_{_name}"] = PythonFunction(_hmac(_name), ("BLOB", "BLOB"), "BLOB")


for _name, _form, _kind in (("64", ">q", "BIGINT"), ("32", ">i", "INTEGER")):
    FUNCTIONS[f"to_big_endian_{_name}"] = PythonFunction(
        lambda x, form=_form: struct.pack(form, x), (_kind,), "BLOB"
    )
    FUNCTIONS[f"from_big_endian_{_name}"] = PythonFunction(
        lambda x, form=_form: struct.unpack(form, x)[0], ("BLOB",), _kind
    )

_P1, _P2, _P3, _P4, _P5 = (
    11400714785074694791,
    14029467366897019727,
    1609587929392839161,
    9650029242287828579,
    2870177450012600261,
)
_WORD = (1 << 64) - 1


def _rotate(x: int, n: int) -> int:
    return ((x << n) | (x >> (64 - n))) & _WORD


def _mix(total: int, word: int) -> int:
    return _rotate((total + word * _P2) & _WORD, 31) * _P1 & _WORD


@_register("BLOB -> BLOB")
def xxhash64(data: bytes) -> bytes:
    data, at = bytes(data), 0
    if len(data) >= 32:
        lanes = [(_P1 + _P2) & _WORD, _P2, 0, -_P1 & _WORD]
        while at + 32 <= len(data):
            words = struct.unpack_from("<4Q", data, at)
            lanes = [_mix(lane, word) for lane, word in zip(lanes, words, strict=True)]
            at += 32
        total = sum(_rotate(lane, n) for lane, n in zip(lanes, (1, 7, 12, 18), strict=True)) & _WORD
        for lane in lanes:
            total = ((total ^ _mix(0, lane)) * _P1 + _P4) & _WORD
    else:
        total = _P5
    total = (total + len(data)) & _WORD
    while at + 8 <= len(data):
        total = (
            _rotate(total ^ _mix(0, struct.unpack_from("<Q", data, at)[0]), 27) * _P1 + _P4
        ) & _WORD
        at += 8
    if at + 4 <= len(data):
        total = (
            _rotate(total ^ (struct.unpack_from("<I", data, at)[0] * _P1 & _WORD), 23) * _P2 + _P3
        ) & _WORD
        at += 4
    for byte in data[at:]:
        total = _rotate(total ^ (byte * _P5 & _WORD), 11) * _P1 & _WORD
    for shift, prime in ((33, _P2), (29, _P3)):
        total = (total ^ (total >> shift)) * prime & _WORD
    return struct.pack(">Q", total ^ (total >> 32))


# URLs


@_register("VARCHAR -> VARCHAR")
def url_encode(text: str) -> str:
    return quote_plus(text, safe="*-._").replace("~", "%7E")


@_register("VARCHAR -> VARCHAR")
def url_decode(text: str) -> str:
    if re.search(r"%(?![0-9A-Fa-f]{2})", text):
        raise TrinoError("INVALID_FUNCTION_ARGUMENT: Illegal hex characters in escape (%) pattern")
    return unquote_plus(text)


def _url(text: str) -> SplitResult | None:
    if re.search(r"[\s<>\"{}|\\^`]", text):
        return None
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018 - raises where it is no number
    except ValueError:
        return None
    is_opaque = bool(parts.scheme) and not parts.netloc and not parts.path.startswith("/")
    return parts._replace(path="", query="") if is_opaque else parts


def _url_part(part: Callable[[SplitResult], Any]) -> Callable[[str], Any]:
    def apply(text: str) -> Any:
        parts = _url(text)
        return None if parts is None else part(parts)

    return apply


def _host(parts: SplitResult) -> str:
    return re.sub(r":\d*$", "", parts.netloc.rpartition("@")[2])


for _name, _part in {
    "path": lambda p: unquote(p.path),
    "query": lambda p: unquote(p.query),
    "fragment": lambda p: unquote(p.fragment),
    "host": _host,
}.items():
    FUNCTIONS[f"url_extract_{_name}"] = PythonFunction(_url_part(_part), ("VARCHAR",), "VARCHAR")


@_register("VARCHAR -> VARCHAR")
def url_extract_protocol(text: str) -> str | None:
    parts = _url(text)
    return None if parts is None else text[: len(parts.scheme)]  # as it is written


FUNCTIONS["url_extract_port"] = PythonFunction(_url_part(lambda p: p.port), ("VARCHAR",), "BIGINT")


@_register("VARCHAR, VARCHAR -> VARCHAR")
def url_extract_parameter(text: str, name: str) -> str | None:
    parts = _url(text)
    if parts is None:
        return None
    return next((v for k, v in parse_qsl(parts.query, keep_blank_values=True) if k == name), None)


# Regular expressions


_CLASSES = {"d": "0-9", "w": "A-Za-z0-9_", "s": " \\t\\n\\x0b\\f\\r"}
_PIECE = re.compile(r"\\Q(.*?)(?:\\E|$)|\\(.)|(\[\^?\]?)|(\])|\(\?<([A-Za-z]\w*)>|(.)", re.S)
_UNKNOWN = re.compile(
    r"\\[pPhHRXGZEkcx0uv]|\\[1-9]\d|\[\[|&&|\(\?[a-hj-rt-zA-Z-]|\(\?[is]*-|.\(\?[is]+\)"
    r"|[*+?}]\+|\{,",
    re.S,
)
"""What Joni, Trino's engine, reads and Python does not, or otherwise."""


@lru_cache(maxsize=256)
def compile_pattern(pattern: str) -> re.Pattern[str]:
    r"""Compile a pattern of Trino: its classes are of ASCII, its ``(?i)`` and ``\b`` are not.

    Raises:
        NotTranslatedError: Python reads a part of it otherwise, or not at all.
        TrinoError: It is no pattern.
    """
    outside = re.sub(r"\\Q.*?(?:\\E|$)", "", pattern, flags=re.S)
    ignores_case = re.search(r"\(\?s?i", outside) is not None
    if _UNKNOWN.search(outside) or (ignores_case and not pattern.isascii()):
        raise NotTranslatedError(f"The pattern is not translated: {pattern}")
    is_inside = False
    text = ""
    for match in _PIECE.finditer(pattern):
        if match[3]:
            is_inside = True
        elif match[4]:
            is_inside = False
        text += _piece(match, is_inside=is_inside)
    try:
        return re.compile(text)
    except re.error as exc:
        raise TrinoError(f"INVALID_FUNCTION_ARGUMENT: {exc}: {pattern}") from exc


def _piece(match: re.Match[str], *, is_inside: bool) -> str:
    quoted, letter, name = match[1], match[2], match[5]
    if quoted is not None:
        return re.escape(quoted)
    if name:
        return f"(?P<{name}>"
    if letter is None:
        return match[0]
    if letter in _CLASSES:
        return _CLASSES[letter] if is_inside else f"[{_CLASSES[letter]}]"
    if letter.lower() in _CLASSES:
        if is_inside:
            raise NotTranslatedError(f"Not translated within [...]: {match[0]}")
        return f"[^{_CLASSES[letter.lower()]}]"
    return r"\Z" if letter == "z" else match[0]


def _pattern_for(text: str, pattern: str) -> re.Pattern[str]:
    """Compile a pattern to search a text with.

    Raises:
        NotTranslatedError: It passes over case, and Joni takes a letter of the text for several.
    """
    compiled = compile_pattern(pattern)
    if compiled.flags & re.IGNORECASE and any(map(_is_folded_otherwise, text)):
        raise NotTranslatedError(f"(?i) reads a letter of the text otherwise: {text}")
    return compiled


def _is_folded_otherwise(letter: str) -> bool:
    return len(letter.casefold()) > 1 or letter in "ıİ"


@_register("VARCHAR, VARCHAR -> BOOLEAN")
def regexp_like(text: str, pattern: str) -> bool:
    return _pattern_for(text, pattern).search(text) is not None


@_register("VARCHAR, VARCHAR -> VARCHAR")
def regexp_extract(text: str, pattern: str) -> str | None:
    return regexp_extract_group(text, pattern, 0)


@_register("VARCHAR, VARCHAR, BIGINT -> VARCHAR")
def regexp_extract_group(text: str, pattern: str, group: int) -> str | None:
    compiled = _checked_group(text, pattern, group)
    match = compiled.search(text)
    return match[group] if match else None


def _checked_group(text: str, pattern: str, group: int) -> re.Pattern[str]:
    compiled = _pattern_for(text, pattern)
    if not 0 <= group <= compiled.groups:
        raise TrinoError(
            f"INVALID_FUNCTION_ARGUMENT: Pattern has {compiled.groups} groups. Cannot access group {group}"
        )
    return compiled


@_register("VARCHAR, VARCHAR -> VARCHAR[]")
def regexp_extract_every(text: str, pattern: str) -> list[str | None]:
    return regexp_extract_every_group(text, pattern, 0)


@_register("VARCHAR, VARCHAR, BIGINT -> VARCHAR[]")
def regexp_extract_every_group(text: str, pattern: str, group: int) -> list[str | None]:
    return [match[group] for match in _checked_group(text, pattern, group).finditer(text)]


@_register("VARCHAR, VARCHAR, VARCHAR -> VARCHAR")
def regexp_replace_all(text: str, pattern: str, replacement: str) -> str:
    compiled = _pattern_for(text, pattern)

    def fill(match: re.Match[str]) -> str:
        def part(found: re.Match[str]) -> str:
            if found[1] is not None:
                return found[1]
            if found[2] is not None:
                return match[found[2]] or ""
            digits = found[3]
            while len(digits) > 1 and int(digits) > compiled.groups:
                digits = digits[:-1]
            if int(digits) > compiled.groups:
                raise TrinoError(
                    f"INVALID_FUNCTION_ARGUMENT: Illegal replacement sequence: unknown group {digits}"
                )
            return (match[int(digits)] or "") + found[3][len(digits) :]

        return re.sub(r"\\(.)|\$\{(\w+)\}|\$(\d+)", part, replacement)

    return compiled.sub(fill, text)


@_register("VARCHAR, VARCHAR -> BIGINT")
def regexp_count(text: str, pattern: str) -> int:
    return sum(1 for _ in _pattern_for(text, pattern).finditer(text))


@_register("VARCHAR, VARCHAR -> INTEGER")
def regexp_position(text: str, pattern: str) -> int:
    match = _pattern_for(text, pattern).search(text)
    return match.start() + 1 if match and text else -1


@_register("VARCHAR, VARCHAR -> VARCHAR[]")
def regexp_split(text: str, pattern: str) -> list[str]:
    parts, at = [], 0
    for match in _pattern_for(text, pattern).finditer(text):
        parts.append(text[at : match.start()])
        at = match.end()
    return [*parts, text[at:]]


# JSON


class _Number(str):
    """A number of JSON as it is written."""

    __slots__ = ()


class _Members(dict[str, Any]):
    """An object of JSON text with all of its members: of a repeated key, the first one counts.

    So do functions of Trino that read text by a path. JSON values hold the last one.
    """

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(reversed(pairs))
        self.pairs = pairs

    def items(self) -> Any:
        return self.pairs

    def __len__(self) -> int:
        return len(self.pairs)


def _load(text: str, members: Callable[[list[tuple[str, Any]]], Any] = dict) -> Any:
    return json.loads(
        text,
        parse_float=_Number,
        parse_int=_Number,
        parse_constant=_bad_constant,
        object_pairs_hook=members,
    )


def _bad_constant(name: str) -> Any:
    raise ValueError(name)


def _dump(value: Any, *, sort: bool = False) -> str:
    if isinstance(value, _Number):
        return _canonical(value)
    if isinstance(value, dict):
        items = sorted(value.items()) if sort else value.items()
        return "{" + ",".join(f"{_quoted(k)}:{_dump(v, sort=sort)}" for k, v in items) + "}"
    if isinstance(value, list):
        return "[" + ",".join(_dump(v, sort=sort) for v in value) + "]"
    if isinstance(value, str):
        return _quoted(value)
    return json.dumps(value)


def _canonical(number: str) -> str:
    """Return a number as JSON values of Trino hold it: whole, or a double."""
    if re.fullmatch(r"-?[0-9]+", number):
        return str(int(number))
    value = float(number)
    return java_text(value) if math.isfinite(value) else _quoted(java_text(value))


def _quoted(text: str) -> str:
    """Write text in quotes as Jackson does: escapes in capitals, two beyond the BMP."""
    return _ESCAPED.sub(_in_capitals, json.dumps(text, ensure_ascii=False))


_ESCAPED = re.compile(r"\\u[0-9a-f]{4}|\\.|[\U00010000-\U0010ffff]")


def _in_capitals(match: re.Match[str]) -> str:
    is_escape = match[0][0] == "\\"
    text = match[0] if is_escape else json.dumps(match[0]).strip('"')
    return text.upper().replace("U", "u") if text[1] == "u" else text


@_register("VARCHAR -> VARCHAR")
def json_parse(text: str) -> str:
    try:
        return _dump(_load(text), sort=True)
    except ValueError as exc:
        raise TrinoError("INVALID_FUNCTION_ARGUMENT: Cannot convert value to JSON") from exc


_STEP = re.compile(
    r"\.([A-Za-z_][\w]*|\*)|\[(\d+)\]|\[\"((?:[^\"\\]|\\.)*)\"\]|\.\"([^\"]*)\"|\[\*\]"
)


@lru_cache(maxsize=256)
def _steps(path: str, *, is_sql: bool = False) -> tuple[str | int, ...]:
    text = re.sub(r"^\s*(lax|strict)\s+", "", path) if is_sql else path
    if not text.startswith("$"):
        raise TrinoError(f"INVALID_FUNCTION_ARGUMENT: Invalid JSON path: '{path}'")
    at, steps = 1, []
    while at < len(text):
        match = _STEP.match(text, at)
        if match is None or match[0] in (".*", "[*]"):
            raise NotTranslatedError(f"The path is not translated: {path}")
        name = match[1] or match[3] or match[4]
        steps.append(int(match[2]) if match[2] is not None else name)
        at = match.end()
    return tuple(steps)


def json_steps(path: str) -> tuple[str | int, ...]:
    """Read the steps of a path of SQL/JSON.

    Raises:
        NotTranslatedError: It has filters, wildcards, methods or arithmetic.
    """
    return _steps(path, is_sql=True)


_MISSING = object()


def _walk(text: str, path: str, *, is_sql: bool = False) -> Any:
    steps = _steps(path, is_sql=is_sql)
    try:
        value = _load(text, dict if is_sql else _Members)
    except ValueError:
        return _MISSING
    for step in steps:
        value = _step(value, step, is_lax=is_sql and "strict" not in path)
        if value is _MISSING:
            return _MISSING
    return value


def _step(value: Any, step: str | int, *, is_lax: bool) -> Any:
    if isinstance(step, int):
        if is_lax and not isinstance(value, list):
            value = [value]
        return value[step] if isinstance(value, list) and step < len(value) else _MISSING
    if is_lax and isinstance(value, list):
        if len(value) != 1:
            return _MISSING
        value = value[0]
    if isinstance(value, list) and step.isdigit():
        return value[int(step)] if int(step) < len(value) else _MISSING
    return value.get(step, _MISSING) if isinstance(value, dict) else _MISSING


def _scalar(value: Any) -> str | None:
    if value is _MISSING or value is None or isinstance(value, dict | list):
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


@_register("VARCHAR, VARCHAR -> VARCHAR")
def json_extract(text: str, path: str) -> str | None:
    value = _walk(text, path)
    return None if value is _MISSING else _dump(value)


@_register("VARCHAR, VARCHAR -> VARCHAR")
def json_extract_scalar(text: str, path: str) -> str | None:
    return _scalar(_walk(text, path))


@_register("VARCHAR, VARCHAR -> VARCHAR")
def json_value(text: str, path: str) -> str | None:
    value = _walk(text, path, is_sql=True)
    if not isinstance(value, _Number):
        return _scalar(value)
    if re.fullmatch(r"-?[0-9]+", value):
        return value if -(2**63) <= int(value) < 2**63 else None
    return double_text(float(value))


@_register("VARCHAR, VARCHAR -> VARCHAR")
def json_value_integer(text: str, path: str) -> str | None:
    """Give a number of JSON as it is cast to a whole number."""
    value = _walk(text, path, is_sql=True)
    if not isinstance(value, _Number):
        return _scalar(value)
    return (
        str(int(Decimal(repr(float(value))).quantize(Decimal(1), ROUND_HALF_UP, EXACT)))
        if not re.fullmatch(r"-?[0-9]+", value)
        else value
    )


@_register("VARCHAR, VARCHAR, BOOLEAN -> VARCHAR")
def json_query(text: str, path: str, is_wrapped: bool) -> str | None:
    value = _walk(text, path, is_sql=True)
    if value is _MISSING:
        return None
    if is_wrapped:
        return f"[{_dump(value)}]"
    return _dump(value)


@_register("VARCHAR, VARCHAR -> BOOLEAN")
def json_exists(text: str, path: str) -> bool:
    return _walk(text, path, is_sql=True) is not _MISSING


def _loaded(text: str) -> Any:
    try:
        return _load(text, _Members)
    except ValueError:
        return _MISSING


@_register("VARCHAR -> BIGINT")
def json_array_length_of(text: str) -> int | None:
    value = _loaded(text)
    return len(value) if isinstance(value, list) else None


@_register("VARCHAR, VARCHAR -> BIGINT")
def json_size(text: str, path: str) -> int | None:
    value = _walk(text, path)
    if value is _MISSING:
        return None
    return len(value) if isinstance(value, dict | list) else 0


def _contains(is_it: Callable[[Any, Any], bool]) -> Callable[[str, Any], bool | None]:
    def apply(text: str, wanted: Any) -> bool | None:
        value = _loaded(text)
        return any(is_it(v, wanted) for v in value) if isinstance(value, list) else None

    return apply


def _is_number(value: Any, wanted: int) -> bool:
    return (
        isinstance(value, _Number)
        and re.fullmatch(r"-?\d+", value) is not None
        and int(value) == wanted
    )


FUNCTIONS |= {
    "json_array_contains_number": PythonFunction(
        _contains(_is_number), ("VARCHAR", "BIGINT"), "BOOLEAN"
    ),
    "json_array_contains_text": PythonFunction(
        _contains(lambda v, w: isinstance(v, str) and not isinstance(v, _Number) and v == w),
        ("VARCHAR", "VARCHAR"),
        "BOOLEAN",
    ),
    "json_array_contains_boolean": PythonFunction(
        _contains(lambda v, w: isinstance(v, bool) and v is w), ("VARCHAR", "BOOLEAN"), "BOOLEAN"
    ),
}


@_register("VARCHAR, BIGINT -> VARCHAR")
def json_array_get(text: str, index: int) -> str | None:
    value = _loaded(text)
    if not isinstance(value, list) or not -len(value) <= index < len(value):
        return None
    item = value[index]
    return str(item) if isinstance(item, str) else None if item is None else _dump(item)


@_register("VARCHAR -> BOOLEAN")
def is_json_scalar(text: str) -> bool:
    value = _loaded(text)
    if value is _MISSING:
        raise TrinoError(f"INVALID_FUNCTION_ARGUMENT: Invalid JSON value: {text}")
    return not isinstance(value, dict | list)


@_register("VARCHAR, VARCHAR -> VARCHAR")
def json_cast(text: str, kind: str) -> str | None:
    value = _load(text)
    if value is None:
        return None
    shown = _scalar(value)
    if shown is None:
        raise TrinoError(f"INVALID_CAST_ARGUMENT: Cannot cast to {kind}: {text}")
    if kind.startswith("varchar"):
        is_double = isinstance(value, _Number) and not re.fullmatch(r"-?[0-9]+", value)
        return double_text(float(shown)) if is_double else shown
    if kind == "boolean":
        if isinstance(value, bool) or shown in ("true", "false"):
            return shown
        raise TrinoError(f"INVALID_CAST_ARGUMENT: Cannot cast '{shown}' to boolean")
    if isinstance(value, bool):
        return str(int(value))
    if kind in ("double", "real"):
        return repr(parse_double(shown, kind))
    if re.fullmatch(r"-?\d+", shown):
        return shown
    if isinstance(value, _Number):
        return f"{Decimal(shown).quantize(Decimal(1), ROUND_HALF_UP, EXACT):f}"
    raise TrinoError(f"INVALID_CAST_ARGUMENT: Cannot cast '{shown}' to {kind}")


# Times

_MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
_DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]


def _hour12(moment: datetime) -> int:
    return moment.hour % 12 or 12


_MYSQL: dict[str, Callable[[datetime], str]] = {
    "a": lambda m: _DAYS[m.weekday()][:3],
    "b": lambda m: _MONTHS[m.month - 1][:3],
    "c": lambda m: str(m.month),
    "d": lambda m: f"{m.day:02}",
    "e": lambda m: str(m.day),
    "f": lambda m: f"{m.microsecond // 1000 * 1000:06}",
    "H": lambda m: f"{m.hour:02}",
    "h": lambda m: f"{_hour12(m):02}",
    "I": lambda m: f"{_hour12(m):02}",
    "i": lambda m: f"{m.minute:02}",
    "j": lambda m: f"{m.timetuple().tm_yday:03}",
    "k": lambda m: str(m.hour),
    "l": lambda m: str(_hour12(m)),
    "M": lambda m: _MONTHS[m.month - 1],
    "m": lambda m: f"{m.month:02}",
    "p": lambda m: "AM" if m.hour < 12 else "PM",
    "r": lambda m: f"{_hour12(m):02}:{m.minute:02}:{m.second:02} {'AM' if m.hour < 12 else 'PM'}",
    "S": lambda m: f"{m.second:02}",
    "s": lambda m: f"{m.second:02}",
    "T": lambda m: f"{m.hour:02}:{m.minute:02}:{m.second:02}",
    "v": lambda m: f"{m.isocalendar().week:02}",
    "W": lambda m: _DAYS[m.weekday()],
    "x": lambda m: f"{m.isocalendar().year:04}",
    "Y": lambda m: f"{m.year:04}",
    "y": lambda m: f"{m.year % 100:02}",
}


@_register("TIMESTAMP, VARCHAR -> VARCHAR")
def date_format(moment: datetime, form: str) -> str:
    def one(match: re.Match[str]) -> str:
        letter = match[1]
        if letter and letter in "DUuVwX":
            raise TrinoError(
                f"INVALID_FUNCTION_ARGUMENT: %{letter} not supported in date format string"
            )
        return _MYSQL[letter](moment) if letter in _MYSQL else letter

    if form in ("", "%"):
        raise TrinoError(f"INVALID_FUNCTION_ARGUMENT: Invalid format: {form!r}")
    return re.sub(r"%(.?)", one, form, flags=re.S)


_PARSED = {
    "Y": r"(?P<Y>-?\d{1,9})",
    "y": r"(?P<y>\d{1,2})",
    "m": r"(?P<m>\d{1,2})",
    "c": r"(?P<m>\d{1,2})",
    "d": r"(?P<d>\d{1,2})",
    "e": r"(?P<d>\d{1,2})",
    "H": r"(?P<H>\d{1,2})",
    "k": r"(?P<H>\d{1,2})",
    "h": r"(?P<h>\d{1,2})",
    "I": r"(?P<h>\d{1,2})",
    "l": r"(?P<h>\d{1,2})",
    "i": r"(?P<i>\d{1,2})",
    "s": r"(?P<s>\d{1,2})",
    "S": r"(?P<s>\d{1,2})",
    "f": r"(?P<f>\d{1,9})",
    "p": r"(?P<p>[AaPp][Mm])",
    "T": r"(?P<H>\d{1,2}):(?P<i>\d{1,2}):(?P<s>\d{1,2})",
    "b": r"(?P<b>[A-Za-z]{3,9})",
    "M": r"(?P<b>[A-Za-z]{3,9})",
    "j": r"(?P<j>\d{1,3})",
    "%": "%",
}


@lru_cache(maxsize=128)
def _date_pattern(form: str) -> re.Pattern[str]:
    def one(match: re.Match[str]) -> str:
        if match[1] is None:
            return re.escape(match[0])
        if match[1] not in _PARSED:
            raise TrinoError(
                f"INVALID_FUNCTION_ARGUMENT: %{match[1]} not supported in date format string"
            )
        return _PARSED[match[1]]

    text = re.sub(r"%(.)|[^%]", one, form, flags=re.S)
    # A year before another number has four digits.
    return re.compile(text.replace(r"\d{1,9})(?P<", r"\d{4})(?P<"), re.ASCII)


@_register("VARCHAR, VARCHAR -> TIMESTAMP")
def date_parse(text: str, form: str) -> datetime:
    match = _date_pattern(form).fullmatch(text)
    if match is None:
        raise TrinoError(f'INVALID_FUNCTION_ARGUMENT: Invalid format: "{text}"')
    held = {k: v for k, v in match.groupdict().items() if v is not None}
    try:
        return _moment(held)
    except NotTranslatedError:
        raise
    except ValueError as exc:
        raise TrinoError(f'INVALID_FUNCTION_ARGUMENT: Cannot parse "{text}"') from exc


def _moment(held: dict[str, str]) -> datetime:
    year = int(held.get("Y", 1970))
    if "y" in held:
        year = int(held["y"]) + (1900 if int(held["y"]) >= 70 else 2000)
    month = int(held.get("m", 1))
    if "b" in held:
        month = 1 + next(
            (n for n, m in enumerate(_MONTHS) if m.lower().startswith(held["b"].lower())), 99
        )
    hour = int(held.get("H", 0))
    if "h" in held:
        if not 1 <= int(held["h"]) <= 12:
            raise ValueError(held["h"])
        hour = int(held["h"]) % 12 + (12 if held.get("p", "AM").lower() == "pm" else 0)
    micros = int(held.get("f", "0").ljust(6, "0")[:6]) // 1000 * 1000
    start = _day(year, month, int(held.get("d", 1)))
    moment = datetime(
        start.year,
        start.month,
        start.day,
        hour,
        int(held.get("i", 0)),
        int(held.get("s", 0)),
        micros,
    )
    return (
        moment
        if "j" not in held
        else moment.replace(month=1, day=1) + timedelta(days=int(held["j"]) - 1)
    )


_JODA: dict[str, Callable[[datetime, int], str]] = {
    "y": lambda m, n: f"{m.year % 100:02}" if n == 2 else f"{m.year:0{n}}",
    "Y": lambda m, n: f"{m.year % 100:02}" if n == 2 else f"{m.year:0{n}}",
    "x": lambda m, n: f"{m.isocalendar().year:0{n}}",
    "w": lambda m, n: f"{m.isocalendar().week:0{n}}",
    "e": lambda m, n: f"{m.isoweekday():0{n}}",
    "E": lambda m, n: _DAYS[m.weekday()] if n > 3 else _DAYS[m.weekday()][:3],
    "D": lambda m, n: f"{m.timetuple().tm_yday:0{n}}",
    "M": lambda m, n: (
        _MONTHS[m.month - 1] if n > 3 else _MONTHS[m.month - 1][:3] if n == 3 else f"{m.month:0{n}}"
    ),
    "d": lambda m, n: f"{m.day:0{n}}",
    "a": lambda m, n: "AM" if m.hour < 12 else "PM",
    "K": lambda m, n: f"{m.hour % 12:0{n}}",
    "h": lambda m, n: f"{_hour12(m):0{n}}",
    "H": lambda m, n: f"{m.hour:0{n}}",
    "k": lambda m, n: f"{m.hour or 24:0{n}}",
    "m": lambda m, n: f"{m.minute:0{n}}",
    "s": lambda m, n: f"{m.second:0{n}}",
    "S": lambda m, n: f"{m.microsecond // 1000:03}"[:n].ljust(n, "0"),
    "G": lambda m, n: "AD",
    "C": lambda m, n: f"{m.year // 100:0{n}}",
}


@_register("TIMESTAMP, VARCHAR -> VARCHAR")
def format_datetime(moment: datetime, form: str) -> str:
    if not form:
        raise TrinoError("INVALID_FUNCTION_ARGUMENT: Invalid pattern specification")

    def one(match: re.Match[str]) -> str:
        if match[1] is not None:
            return match[1].replace("''", "'") or "'"
        letters = match[2]
        if letters is None:
            return match[0]
        if letters[0] not in _JODA:
            raise TrinoError(f"INVALID_FUNCTION_ARGUMENT: Illegal pattern component: {letters}")
        return _JODA[letters[0]](moment, len(letters))

    return re.sub(r"'((?:[^']|'')*)'|(([A-Za-z])\3*)|.", one, form, flags=re.S)


_ISO_DATE = re.compile(
    r"(?P<year>\d{1,4})"
    r"(?:-W(?P<week>\d{1,2})(?:-(?P<weekday>\d))?|-(?P<month>\d{1,2})(?:-(?P<day>\d{1,2}))?"
    r"|-(?P<yearday>\d{3}))?"
)
_ISO_TIME = re.compile(
    r"(\d{1,2})(?::(\d{1,2})(?::(\d{1,2}))?)?(?:[.,](\d{1,9}))?(Z|[+-]\d\d(?::?\d\d)?)?"
)


@_register("VARCHAR -> DATE")
def from_iso8601_date(text: str) -> date:
    match = _ISO_DATE.fullmatch(text)
    if match is None:
        raise TrinoError(f"INVALID_FUNCTION_ARGUMENT: Invalid ISO date: {text}")
    try:
        return _iso_date(match)
    except NotTranslatedError:
        raise
    except (ValueError, OverflowError) as exc:
        raise TrinoError(f"INVALID_FUNCTION_ARGUMENT: Invalid ISO date: {text}") from exc


def _iso_date(match: re.Match[str]) -> date:
    year = int(match["year"])
    if match["week"]:
        return date.fromisocalendar(year, int(match["week"]), int(match["weekday"] or 1))
    if match["yearday"]:
        day = date(year, 1, 1) + timedelta(days=int(match["yearday"]) - 1)
        if day.year != year:
            raise ValueError(match["yearday"])
        return day
    return _day(year, int(match["month"] or 1), int(match["day"] or 1))


@_register("VARCHAR -> TIMESTAMPTZ")
def from_iso8601_timestamp(text: str) -> datetime:
    day, _, time = text.partition("T")
    match = _ISO_TIME.fullmatch(time or "0")
    if match is None:
        raise TrinoError(f'INVALID_FUNCTION_ARGUMENT: Invalid format: "{text}"')
    try:
        first = from_iso8601_date(day) if day else date(1970, 1, 1)
        moment = datetime(first.year, first.month, first.day) + _iso_time(match)
        return moment.replace(tzinfo=_iso_zone(match[5]))
    except NotTranslatedError:
        raise
    except (ValueError, OverflowError) as exc:
        raise TrinoError(f'INVALID_FUNCTION_ARGUMENT: Invalid format: "{text}"') from exc


def _iso_time(match: re.Match[str]) -> timedelta:
    """Return the time of day; a fraction is one of the last unit, and counts by milliseconds."""
    hour, minute, second = (int(match[n] or 0) for n in (1, 2, 3))
    if hour > 23 or minute > 59 or second > 59:
        raise ValueError(match[0])
    unit = 1_000 if match[3] else 60_000 if match[2] else 3_600_000
    millis = int(Decimal(f"0.{match[4] or 0}") * unit)
    return timedelta(hours=hour, minutes=minute, seconds=second, milliseconds=millis)


def _iso_zone(text: str | None) -> timezone:
    if text in (None, "Z"):
        return UTC
    minutes = int(text[1:3]) * 60 + int(text[-2:] if len(text) > 3 else 0)
    return timezone(timedelta(minutes=-minutes if text[0] == "-" else minutes))


@_register("DOUBLE -> VARCHAR")
def human_readable_seconds(seconds: float) -> str:
    if not math.isfinite(seconds):
        raise TrinoError("INVALID_FUNCTION_ARGUMENT: Invalid argument found")
    rest, parts = min(math.floor(abs(seconds) + 0.5), 2**63 - 1), []
    for name, size in (
        ("week", 604800),
        ("day", 86400),
        ("hour", 3600),
        ("minute", 60),
        ("second", 1),
    ):
        count, rest = divmod(rest, size)
        if count or (name == "second" and not parts):
            parts.append(f"{count} {name}" + ("s" if count != 1 else ""))
    return ", ".join(parts)
