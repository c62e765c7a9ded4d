"""The digits of floating-point numbers as Trino's Java writes them.

Trino casts a double by ``java.text.DecimalFormat``, whose digits are not always the fewest:
``9.699190260605398e16`` is ``9.6991902606053984E16``.
"""

from __future__ import annotations

import math
import struct
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Context, Decimal

_BITS = 53
"""Bits of a double's fraction."""

_LARGEST_LONG_EXPONENT = 62
_REAL_DIGITS = 7


def double_text(x: float) -> str:
    """Write a double as Trino's CAST to varchar does, as in ``1.5E0``."""
    if not x or not math.isfinite(x):
        return _special(x)
    size = abs(x)
    digits, power = _few_digits(size) or _java_digits(size)
    return _scientific(x, digits, power)


def real_text(x: float) -> str:
    """Write a real as Trino's CAST to varchar does: seven digits of the fewest that tell it."""
    if not x or not math.isfinite(x):
        return _special(x)
    number = shortest_real(abs(x))
    is_long = number.is_integer() and number < 2.0**63
    rounding = ROUND_HALF_UP if is_long else ROUND_HALF_EVEN
    held = Context(_REAL_DIGITS, rounding).create_decimal(Decimal(number))
    _, digits, exponent = held.as_tuple()
    return _scientific(x, "".join(map(str, digits)), len(digits) - 1 + int(exponent))


def shortest_real(x: float) -> float:
    """Return the double with the fewest digits, two at least, that is this 32-bit float."""
    held = struct.pack("f", x)
    numbers = (float(f"{x:.{digits}g}") for digits in range(2, 10))
    return next(number for number in numbers if struct.pack("f", number) == held)


def java_text(x: float) -> str:
    """Write a double as ``Double.toString``: its fewest digits, plain from 0.001 to 10 millions."""
    if not math.isfinite(x):
        return _special(x)
    if not x or 1e-3 <= abs(x) < 1e7:
        return repr(x)
    shortest = f"{x:.1e}" if float(f"{x:.1e}") == x else repr(x)
    _, digits, exponent = Decimal(shortest).as_tuple()
    return _scientific(x, "".join(map(str, digits)), len(digits) - 1 + int(exponent))


def _special(x: float) -> str:
    if math.isnan(x):
        return "NaN"
    sign = "-" if math.copysign(1, x) < 0 else ""
    return f"{sign}Infinity" if x else f"{sign}0E0"


def _scientific(x: float, digits: str, power: int) -> str:
    digits = digits.rstrip("0")
    return f"{'-' if x < 0 else ''}{digits[0]}.{digits[1:] or '0'}E{power}"


def _few_digits(x: float) -> tuple[str, int] | None:
    """Return the digits of an everyday number, which Java writes as Python does."""
    _, parts, exponent = Decimal(repr(x)).as_tuple()
    if not 1e-3 <= x < 1e7 or len(parts) > 15:
        return None
    return "".join(map(str, parts)), len(parts) - 1 + int(exponent)


def _java_digits(x: float) -> tuple[str, int]:
    """Return digits, and the first one's power of ten, as ``FloatingDecimal`` of the JDK does."""
    mantissa, exponent = math.frexp(x)
    fraction, binary = int(mantissa * 2**_BITS), exponent - 1
    significant = min(_BITS, _BITS + 1022 + binary)
    zeros = (fraction & -fraction).bit_length() - 1
    width = _BITS - zeros
    tiny = max(0, width - binary - 1)
    if tiny == 0 and binary <= _LARGEST_LONG_EXPONENT:
        return _whole_digits(int(x), binary - significant - 1)
    return _generated(x, fraction >> zeros, width, binary, significant, tiny)


def _whole_digits(number: int, surplus: int) -> tuple[str, int]:
    """Return digits of a whole number below 2 ** 63, but those that its bits do not tell."""
    dropped = len(str(2**surplus)) - 1 if surplus > 1 else 0
    if dropped:
        number = (number + 10**dropped // 2) // 10**dropped
    text = str(number)
    return text, len(text) - 1 + dropped


def _generated(
    x: float, fraction: int, width: int, binary: int, significant: int, tiny: int
) -> tuple[str, int]:
    """Divide digit by digit, until the rest is less than half of a unit in the last place."""
    scaled = math.frexp(x)[0] * 2
    power = math.floor(
        (scaled - 1.5) * 0.289529654 + 0.176091259 + float(binary) * 0.301029995663981
    )
    number5, divisor5 = max(0, -power), max(0, power)
    number2, divisor2 = number5 + tiny + binary, divisor5 + tiny
    half2 = number2 - significant
    number2 -= width - 1
    common = min(number2, divisor2)
    number2, divisor2, half2 = number2 - common, divisor2 - common, half2 - common
    half2 -= width == 1
    if half2 < 0:
        number2, divisor2, half2 = number2 - half2, divisor2 - half2, 0
    number, divisor = fraction * 5**number5 << number2, 5**divisor5 << divisor2
    half, tens = 5**number5 << half2, 10 * (5**divisor5 << divisor2)
    is_long = (
        width + number2 + _bits_of_5(number5) < 64 and divisor2 + 1 + _bits_of_5(divisor5 + 1) < 64
    )
    digits: list[int] = []
    low = high = False
    while not low and not high:
        digit, rest = divmod(number, divisor)
        number, half = 10 * rest, half * 10
        low = number < half
        high = number + half > tens or (not is_long and number + half == tens)
        if digits or digit or high:
            digits.append(digit)
        else:
            power -= 1
        # Two digits at least, beside an exponent.
        if len(digits) < 2 and not -3 <= power < 8:
            low = high = False
    rest = 2 * number - tens
    if high and (not low or rest > 0 or (rest == 0 and digits[-1] % 2)):
        return _rounded_up(digits, power)
    return "".join(map(str, digits)), power


def _bits_of_5(power: int) -> int:
    return (5**power).bit_length() if 0 < power < 27 else power * 3


def _rounded_up(digits: list[int], power: int) -> tuple[str, int]:
    text = str(int("".join(map(str, digits))) + 1)
    return text, power + len(text) - len(digits)
