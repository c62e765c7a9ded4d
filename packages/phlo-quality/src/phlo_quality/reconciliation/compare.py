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
        """Whether a difference in whole numbers is within bounds.

        >>> Tolerance(share=0.02, absolute=5).allows(20, source=1000)
        True
        """
        allowed = max(share_of(self.share, source), Fraction(str(self.absolute)))
        return abs(difference) <= allowed

    def differs(self, source: Sql, target: Sql) -> Sql:
        """Condition that two values differ by more than is allowed.

        NULL equals NULL and differs from all else. Without any tolerance values of every type
        are compared as they are; with one they are numbers, up to rounding in their last digits.
        """
        unequal = sql("{s} IS DISTINCT FROM {t}", s=source, t=target)
        if not self.share and not self.absolute:
            return unequal
        return sql(
            "{unequal} AND NOT coalesce(abs(CAST({t} AS DOUBLE) - CAST({s} AS DOUBLE)) <= "
            "greatest({absolute}, {share} * abs(CAST({s} AS DOUBLE))) * {rounding}, FALSE)",
            unequal=unequal,
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


_ROUNDING: SqlValue = 1 + 1e-12
