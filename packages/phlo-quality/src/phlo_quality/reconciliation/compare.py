"""When two numbers agree, and when enough keys do."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from phlo.sql import Sql, sql

from phlo_quality.arguments import fraction, not_negative, share_of

if TYPE_CHECKING:
    from phlo.sql import SqlValue


@dataclass(frozen=True)
class Tolerance:
    """How far a target may be from its source; to be within either bound is enough.

    Attributes:
        share: Allowed difference as a share (0-1) of the source value. A source of 0 allows none.
        absolute: Allowed difference in rows or units.
    """

    share: float = 0.0
    absolute: float = 0

    @classmethod
    def of(cls, owner: object, tolerance: float, absolute_tolerance: float) -> Tolerance:
        """Check the two arguments of a check.

        Raises:
            InvalidArgumentError: ``tolerance`` is no share, or ``absolute_tolerance`` negative.
        """
        return cls(
            fraction(owner, "tolerance", tolerance),
            not_negative(owner, "absolute_tolerance", absolute_tolerance),
        )

    def allows(self, difference: int, source: int) -> bool:
        """Return whether a difference in whole numbers is within bounds.

        >>> Tolerance(share=0.02, absolute=5).allows(20, source=1000)
        True
        """
        allowed = max(share_of(self.share, source), Fraction(str(self.absolute)))
        return abs(difference) <= allowed

    def differs(self, source: Sql, target: Sql, *, is_number: bool = False, scale: int = 0) -> Sql:
        """Write the condition that two values differ by more than is allowed.

        NULL equals NULL and NaN equals NaN; each differs from all else, whatever the tolerance,
        and so do the infinities. Without any tolerance values of every type are compared
        exactly; with one they are numbers, up to rounding in their last digits.

        Args:
            source: The value of the source.
            target: The value of the target.
            is_number: Whether both are numbers, possibly a double beside a whole number or
                decimal, which SQL alone would compare as doubles.
            scale: Digits behind the point that the target holds, where it is a decimal.
        """
        unequal = _unequal(source, target, is_number=is_number)
        if not self.share and not self.absolute:
            return unequal
        return sql(
            "{unequal} AND NOT coalesce("
            "abs(CAST({s} AS DOUBLE)) < {infinity} AND abs(CAST({t} AS DOUBLE)) < {infinity} AND "
            "{distance} <= "
            "greatest({absolute}, {share} * abs(CAST({s} AS DOUBLE))) * {rounding}, FALSE)",
            unequal=unequal,
            distance=_distance(source, target, scale),
            infinity=float("inf"),
            s=source,
            t=target,
            absolute=float(self.absolute),
            share=float(self.share),
            rounding=_ROUNDING,
        )

    def __str__(self) -> str:
        bounds = [f"{self.share:.6g} of the source"] if self.share else []
        bounds += [f"{self.absolute:,g}"] if self.absolute or not bounds else []
        return " or ".join(bounds)


def _unequal(source: Sql, target: Sql, *, is_number: bool) -> Sql:
    """Write the condition that two values differ at all; SQL compares numbers as doubles."""
    unequal = sql("{s} IS DISTINCT FROM {t}", s=source, t=target)
    if not is_number:
        return unequal
    return sql(
        "({unequal} OR abs(CAST({s} AS DOUBLE)) >= {limit} AND "
        "try_cast({s} AS BIGINT) IS DISTINCT FROM try_cast({t} AS BIGINT))",
        unequal=unequal,
        limit=_EXACT_LIMIT,
        s=source,
        t=target,
    )


def _distance(source: Sql, target: Sql, scale: int) -> Sql:
    """Write how far two numbers are apart: with all their digits where a double loses some."""
    decimal = sql("DECIMAL(38, {n})", n=scale)
    exact = [_exact_distance(source, target, decimal, wide=decimal)]
    if not scale:  # a bigint holds the digits that the cast of a double to decimal rounds
        whole = _exact_distance(source, target, Sql("BIGINT"), wide=Sql("DECIMAL(19, 0)"))
        exact.insert(0, whole)
    return sql(
        "CASE WHEN abs(CAST({s} AS DOUBLE)) >= {limit} THEN coalesce({exact}, {near}) "
        "ELSE {near} END",
        s=source,
        limit=_EXACT_LIMIT,
        exact=exact,
        near=sql("abs(CAST({t} AS DOUBLE) - CAST({s} AS DOUBLE))", s=source, t=target),
    )


def _exact_distance(source: Sql, target: Sql, type_: Sql, *, wide: Sql) -> Sql:
    """Write the distance of two numbers of a type, taken in a wider one; null where one is none."""
    sides = [
        sql("CAST(try_cast({x} AS {type_}) AS {wide})", x=x, type_=type_, wide=wide)
        for x in (target, source)
    ]
    return sql("CAST(abs(TRY({t} - {s})) AS DOUBLE)", t=sides[0], s=sides[1])


_EXACT_LIMIT: SqlValue = 2.0**53
"""From here on a double does not hold every whole number."""

_ROUNDING: SqlValue = 1 + 1e-12
