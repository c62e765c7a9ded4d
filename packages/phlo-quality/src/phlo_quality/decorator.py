"""``@phlo_quality``: checks its arguments, builds a suite, attaches it."""

from __future__ import annotations

import re
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Literal, TypeVar

from phlo.checks import Severity
from phlo.errors import InvalidArgumentError
from phlo.names import PARTITION_DATE_COLUMN, TableName
from phlo.specs import attach_spec, defined_at

from phlo_quality.arguments import column_name, refuse
from phlo_quality.checks.base import QualityCheck
from phlo_quality.suite import DeclaredCheck, Suite

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

F = TypeVar("F", bound="Callable[..., object]")
_ME = "@phlo_quality"


def phlo_quality(
    *,
    table: str,
    checks: Sequence[QualityCheck],
    asset_key: str | Sequence[str] | None = None,
    group: str | None = None,
    blocking: bool = True,
    severity: Literal["error", "warn"] = "error",
    partition_column: str = PARTITION_DATE_COLUMN,
    scope: Literal["partition", "table"] | timedelta = "partition",
    description: str | None = None,
) -> Callable[[F], F]:
    """Declare the checks of a table; each becomes a Dagster asset check.

    The decorated function's body is empty and its name begins the checks' names:
    ``<function>__<check>__<columns>``. It stays callable.

    Args:
        table: The table judged, ``namespace.table``.
        checks: One or more checks; the names they come by must differ.
        asset_key: Key of an asset outside the project that makes the table; parts as a list or
            joined with ``/``. ``None``: the asset of the project that makes it.
        group: Label of the checks in Dagster.
        blocking: Whether a failed check of severity error withholds a load, or blocks what is
            downstream.
        severity: What a failure means for checks that name no severity of their own.
        partition_column: Column that tells to which partition a row belongs.
        scope: ``partition`` judges the rows of the run's partition, in an audit those that the
            load delivered; ``table`` all rows; a time counts back from the partition's end.
        description: One sentence for people; the function's docstring when left out.

    Raises:
        InvalidArgumentError: An argument is none of these, or two checks have one name.
        InvalidNameError: ``table`` is no table identifier.

    Source: developer guide, "@phlo_quality Decorator".
    """
    name_of_table = TableName.parse(table)
    rules = _checks(checks)
    if severity not in list(Severity):
        refuse(_ME, "severity", severity, "'error' or 'warn'")
    if scope not in ("partition", "table") and not _is_window(scope):
        refuse(_ME, "scope", scope, "'partition', 'table' or a positive timedelta")
    column_name(_ME, "partition_column", partition_column)

    def decorate(function: F) -> F:
        suite = Suite(
            name=function.__name__,
            table=name_of_table,
            checks=_declared(function, rules, Severity(severity)),
            blocking=blocking,
            asset_key=_key(asset_key),
            scope=scope,
            partition_column=partition_column,
            group=group,
            description=description or (function.__doc__ or "").strip(),
            defined_at=defined_at(function),
        )
        return attach_spec(function, suite)

    return decorate


def _checks(checks: Sequence[QualityCheck]) -> tuple[QualityCheck, ...]:
    if isinstance(checks, QualityCheck):
        refuse(_ME, "checks", checks, "a list of checks", f"Write checks=[{checks!r}].")
    for check in checks:
        if not isinstance(check, QualityCheck):
            hint = f"Write {check.__name__}(...)." if isinstance(check, type) else ""
            refuse(_ME, "checks", check, "instances of QualityCheck", hint)
    if not checks:
        refuse(_ME, "checks", [], "one or more checks")
    return tuple(checks)


def _is_window(scope: object) -> bool:
    return isinstance(scope, timedelta) and scope > timedelta(0)


def _key(asset_key: str | Sequence[str] | None) -> tuple[str, ...] | None:
    if asset_key is None:
        return None
    parts = tuple(asset_key.split("/") if isinstance(asset_key, str) else asset_key)
    if not parts or not all(isinstance(part, str) and part for part in parts):
        refuse(_ME, "asset_key", asset_key, "a text, or a list of texts")
    return parts


def _declared(
    function: Callable[..., object], checks: Sequence[QualityCheck], severity: Severity
) -> tuple[DeclaredCheck, ...]:
    names = [_name(function, check) for check in checks]
    name, times = Counter(names).most_common(1)[0]
    if times > 1:
        raise InvalidArgumentError(
            f"{times} checks of @phlo_quality are called {name!r} ({defined_at(function)}).",
            got=repr(name),
            expected="different names",
            hint='Give one of them a name of its own, as in name="no_negative_values".',
            name=name,
        )
    return tuple(
        DeclaredCheck(name, check, check.severity or severity)
        for name, check in zip(names, checks, strict=True)
    )


def _name(function: Callable[..., object], check: QualityCheck) -> str:
    if check.is_named:
        if not re.fullmatch(r"\w+", check.name, re.ASCII):
            refuse(check, "name", check.name, "letters, digits and underscores")
        return check.name
    label = re.sub(r"\W+", "_", check.label, flags=re.ASCII)
    return "__".join(part for part in (function.__name__, check.name, label) if part)
