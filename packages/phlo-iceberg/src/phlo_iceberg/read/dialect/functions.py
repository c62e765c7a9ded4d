"""Calls of functions: by the table of rules, or by code where types or syntax ask for more."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from phlo.errors import QueryError
from phlo.sql import literal
from sqlglot import exp

from phlo_iceberg.read.dialect import types as t
from phlo_iceberg.read.dialect.casts import date_text, instant, local_time, timestamp_text
from phlo_iceberg.read.dialect.literals import typed_literal
from phlo_iceberg.read.dialect.macros import BODIES
from phlo_iceberg.read.dialect.parser import KEEP_SYNTAX, LITERAL, MARK, PARAMETER, as_written
from phlo_iceberg.read.dialect.patterns import is_alike_in_both
from phlo_iceberg.read.dialect.python_functions import (
    NotTranslatedError,
    TrinoError,
    check_format,
    compile_pattern,
    json_steps,
)
from phlo_iceberg.read.dialect.rules import AGGREGATE_RULES, RULES, WINDOW_RULES, Rule
from phlo_iceberg.read.dialect.values import IN_TRY, LAMBDA, PREFIX, Node, Value, Words, refuse

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from phlo_iceberg.read.dialect.expressions import Expressions


def call(
    e: Expressions,
    name: str,
    node: Node,
    arguments: Sequence[Node] | None = None,
) -> Value:
    """Translate a call.

    Args:
        e: Translates the arguments.
        name: The function, in small letters.
        node: The call.
        arguments: Its arguments; ``None``: those of the node.

    Raises:
        QueryError: There is no such function in the table, or none for these types.
    """
    parts = list(node.expressions if arguments is None else arguments)
    if name in _AGGREGATES or name in AGGREGATE_RULES:
        return _aggregate(e, name, node, parts, "")
    special = _SPECIAL.get(name)
    if special is not None:
        _check_number(name, parts, as_written(node))
        return special(e, name, parts, as_written(node))
    if name in WINDOW_RULES:
        return _window_function(e, name, parts, as_written(node))
    rules = RULES.get(name)
    if rules is None:
        raise refuse(f"{name}(...)", "The table of rules has no such function.")
    return apply(e, rules, [e(part) for part in parts], as_written(node))


def _check_number(name: str, parts: Sequence[Node], what: Words) -> None:
    """Raise where a function has too few arguments or too many."""
    least, most = _NUMBERS.get(name, (0, None))
    if len(parts) < least or (most is not None and len(parts) > most):
        raise QueryError(
            f"FUNCTION_NOT_FOUND: {name} does not take {len(parts)} arguments, in {what!r}.",
            got=f"{len(parts)} arguments",
            expected=str(least) if least == most else f"{least} to {most or 'any number'}",
            hint="Count the arguments.",
        )


def _window_function(e: Expressions, name: str, parts: list[Node], what: Words) -> Value:
    over, e.over = e.over, ""
    nulls, e.nulls = e.nulls, ""
    if not over:
        raise t.mismatch(f"{what!r} needs OVER.", what, "Write OVER (ORDER BY ...).")
    if name in ("lag", "lead") and "ORDER BY" not in over:
        raise t.mismatch(f"{what!r} needs an order.", what, "Write OVER (ORDER BY ...).")
    if name not in ("first_value", "last_value", "nth_value") and " BETWEEN " in over:
        raise t.mismatch(f"{what!r} takes no frame.", what, "Leave ROWS, RANGE or GROUPS out.")
    value = apply(e, WINDOW_RULES[name], [e(part) for part in parts], what)
    return replace(value, sql=f"{value.sql[:-1]}{nulls}){over}")


def apply(e: Expressions, rules: Sequence[Rule], values: list[Value], what: Words) -> Value:
    """Take the first rule that fits the types of the arguments."""
    if values and values[0].type == t.UNKNOWN and _has_two_families(rules):
        raise _ambiguous(what)
    for is_exact in (True, False):
        for rule in rules:
            bound = _bind(rule, values, is_exact=is_exact)
            if bound is not None:
                return _fill(e, rule, values, bound)
    kinds = ", ".join(str(v.type) for v in values)
    raise QueryError(
        f"FUNCTION_NOT_FOUND: {rules[0].name} does not take ({kinds}), in {what!r}.",
        got=kinds,
        expected=" or ".join(f"({', '.join(map(str, r.parameters))})" for r in rules),
        hint="Cast the arguments.",
    )


def _has_two_families(rules: Sequence[Rule]) -> bool:
    """Return whether a function gives text of text, bytes of bytes and arrays of arrays."""
    families = {rule.parameters[0].name for rule in rules if rule.parameters}
    returns = {rule.returns.name for rule in rules}
    is_of_json = families == {"json", "varchar"}
    return is_of_json or (
        len(families & {"varchar", "varbinary", "array"}) > 1 and len(returns) > 1
    )


def _bind(rule: Rule, values: Sequence[Value], *, is_exact: bool) -> dict[str, t.Type] | None:
    count = len(rule.parameters)
    if len(values) != count and not (rule.is_variadic and len(values) >= count):
        return None
    wanted = [*rule.parameters, *[rule.parameters[-1]] * (len(values) - count)] if count else []
    bound: dict[str, t.Type] = {}
    for value, kind in zip(values, wanted, strict=True):
        if not _fits(value.type, kind, bound, is_exact=is_exact):
            return None
    return bound


def _fits(held: t.Type, wanted: t.Type, bound: dict[str, t.Type], *, is_exact: bool) -> bool:
    if t.is_variable(wanted):
        common = t.common_type(bound.get(wanted.name, t.UNKNOWN), held)
        if common is None:
            return False
        bound[wanted.name] = common
        return True
    if wanted.name in ("integral", "decimal") and not wanted.numbers:
        is_it = held.is_integer if wanted.name == "integral" else held.name == "decimal"
        if is_it:
            bound["same"] = held
        elif not is_exact and held == t.UNKNOWN and wanted.name == "integral":
            bound["same"] = t.TINYINT
            return True
        return is_it
    if wanted.inside:
        if held == t.UNKNOWN and not is_exact:
            return True
        return (
            held.name == wanted.name
            and len(held.inside) == len(wanted.inside)
            and all(
                _fits(a, b, bound, is_exact=is_exact)
                for a, b in zip(held.inside, wanted.inside, strict=True)
            )
        )
    if held.name == wanted.name:
        bound.setdefault("same", held)
        return True
    return not is_exact and t.can_coerce(held, wanted)


def _fill(
    e: Expressions, rule: Rule, values: Sequence[Value], bound: dict[str, t.Type], over: str = ""
) -> Value:
    count = len(rule.parameters)
    wanted = [*rule.parameters, *[rule.parameters[-1]] * (len(values) - count)] if count else []
    kinds = [_concrete(k, bound, v.type) for k, v in zip(wanted, values, strict=True)]
    arguments = [e.coerce(v, k).sql for v, k in zip(values, kinds, strict=True)]
    returns = _concrete(rule.returns, bound, t.UNKNOWN)
    names = {str(n): a for n, a in enumerate(arguments)} | {
        "*": ", ".join(arguments),
        "over": over,
        "width": str(_BITS.get(bound.get("same", t.UNKNOWN).name, 64)),
        "type": t.duckdb_type(returns),
    }
    if "{texts}" in rule.text:
        name = f"{LAMBDA}e"
        item = e.cast(Value(name, kinds[0].inside[0]), t.VARCHAR)
        names["texts"] = f"list_transform({arguments[0]}, lambda {name}: {item.sql})"
    return Value(_text(e, rule.text, names), returns)


_BITS = {"tinyint": 8, "smallint": 16, "integer": 32, "bigint": 64}


def _text(e: Expressions, template: str, names: dict[str, str]) -> str:
    """Fill a template; ``@name`` calls a macro with the arguments that follow, or with all."""

    def use(match: re.Match[str]) -> str:
        e.uses.add(match[1])
        return PREFIX + match[1] + (match[2] or "({*})")

    text = re.sub(r"@(\w+)(\(?)", use, template)
    return re.sub(r"\{(\*|\w+)\}", lambda m: names[m[1]], text)


def _concrete(kind: t.Type, bound: dict[str, t.Type], held: t.Type) -> t.Type:
    if t.is_variable(kind):
        return bound.get(kind.name, t.UNKNOWN)
    if kind.name in ("same", "integral"):
        return bound["same"]
    if kind.name == "decimal" and not kind.numbers:
        return bound["same"]
    if kind.name in ("timestamp", "timestamptz") and not kind.numbers:
        return held if held.name == kind.name else bound.get("same", t.timestamp(3))
    if kind.inside:
        return t.Type(
            kind.name,
            inside=tuple(
                _concrete(k, bound, held.inside[n] if held.inside else t.UNKNOWN)
                for n, k in enumerate(kind.inside)
            ),
            fields=held.fields if held.fields else kind.fields,
        )
    return kind


def known_functions() -> frozenset[str]:
    """Name every function that is translated."""
    tables = (RULES, AGGREGATE_RULES, WINDOW_RULES, _SPECIAL, _AGGREGATES)
    return frozenset().union(*tables) | KEEP_SYNTAX


# Aggregates


def _aggregate(e: Expressions, name: str, node: Node, parts: list[Node], condition: str) -> Value:
    """Translate an aggregate; a filter is part of it, since some need one of their own."""
    distinct, order, sort = "", "", ""
    over, e.over = e.over, ""
    if over and (condition or (parts and isinstance(parts[0], exp.Distinct))):
        raise refuse(as_written(node), "Trino has neither FILTER nor DISTINCT with OVER.")
    if parts and isinstance(parts[0], exp.Distinct):
        distinct, parts = "DISTINCT ", [*parts[0].expressions, *parts[1:]]
    if parts and isinstance(parts[-1], exp.Order):
        order = _order(e, parts[-1])
        parts = [*parts[:-1], *([parts[-1].this] if parts[-1].this is not None else [])]
        if parts and isinstance(parts[0], exp.Distinct):
            sort = _sort_of_distinct(parts[0].expressions, node.expressions[-1], as_written(node))
            distinct, order, parts = "DISTINCT ", "", [*parts[0].expressions]
    special = _AGGREGATES.get(name)
    what = as_written(node)
    around = _Aggregate(what, distinct, order, condition, over)
    if special is not None:
        _check_number(name, parts, what)
        value = special(e, parts, around)
        is_sorted = sort and value.type.name == "array"
        return replace(value, sql=f"list_sort({value.sql}, {sort})") if is_sorted else value
    values = [e(part) for part in parts]
    for is_exact in (True, False):
        for rule in AGGREGATE_RULES[name]:
            bound = _bind(rule, values, is_exact=is_exact)
            if bound is not None:
                value = _fill(e, rule, values, bound)
                function, _, arguments = value.sql.partition("(")
                return replace(value, sql=around(function, arguments[:-1]))
    return apply(e, AGGREGATE_RULES[name], values, what)


def _sort_of_distinct(arguments: Sequence[Node], order: exp.Order, what: Words) -> str:
    """Sort after the aggregate: DuckDB does not see that a macro orders by its own argument.

    Raises:
        QueryError: It is ordered by something else than its argument.
    """
    if any(item.this not in arguments for item in order.expressions):
        raise t.mismatch(f"EXPRESSION_NOT_IN_DISTINCT: {what!r} orders by something else.", what)
    item = order.expressions[0]
    direction = "DESC" if item.args.get("desc") else "ASC"
    return f"'{direction}', 'NULLS {'FIRST' if item.args.get('nulls_first') else 'LAST'}'"


def call_filtered(e: Expressions, node: Node, condition: str) -> Value:
    """Translate an aggregate with FILTER."""
    if isinstance(node, exp.Anonymous):
        name = node.name.removeprefix("f$").lower()
        if name in _AGGREGATES or name in AGGREGATE_RULES:
            return _aggregate(e, name, node, list(node.expressions), condition)
    raise refuse(as_written(node), "FILTER belongs to an aggregate of the table of rules.")


class _Aggregate:
    """What stands around the arguments of an aggregate."""

    def __init__(
        self, what: Words, distinct: str, order: str, condition: str, over: str = ""
    ) -> None:
        self.what, self.distinct, self.order, self.condition = what, distinct, order, condition
        self.over = over

    def __call__(self, function: str, arguments: str, *conditions: str) -> str:
        every = " AND ".join(f"({c})" for c in (*conditions, self.condition) if c)
        text = f"{function}({self.distinct}{arguments}{self.order})"
        return (f"{text} FILTER (WHERE {every})" if every else text) + self.over


def _order(e: Expressions, node: exp.Order) -> str:
    return " ORDER BY " + ", ".join(ordered(e, item) for item in node.expressions)


def ordered(e: Expressions, item: Node) -> str:
    """Translate one part of ORDER BY: nulls come last in Trino, whichever direction."""
    value = e(item.this)
    if value.type.name in ("map", "json") or value.type.inside:
        raise refuse(as_written(item), f"DuckDB orders {value.type} otherwise.")
    direction = "DESC" if item.args.get("desc") else "ASC"
    nulls = "FIRST" if item.args.get("nulls_first") else "LAST"
    text = value.sql
    if value.constant is not None or value.type == t.UNKNOWN:  # else DuckDB takes 2 for a column
        text = f"CAST({text} AS {t.duckdb_type(value.type)})"
    return f"{text} {direction} NULLS {nulls}"


def _count(e: Expressions, parts: list[Node], a: _Aggregate) -> Value:
    if not parts or isinstance(parts[0], exp.Star):
        return Value(a("count", "*"), t.BIGINT)
    if len(parts) > 1:
        raise refuse(a.what, "count takes one argument.")
    value = e(parts[0])
    if a.distinct and value.type.inside:
        raise refuse(a.what, "DuckDB tells nested values apart otherwise.")
    return Value(a("count", value.sql), t.BIGINT)


def _sum(e: Expressions, parts: list[Node], a: _Aggregate) -> Value:
    value = _only(e, parts, a)
    kind = value.type
    if kind.is_integer:
        return Value(f"CAST({a('sum', value.sql)} AS BIGINT)", t.BIGINT)
    if kind.name == "decimal":
        wide = t.decimal(t.MAX_DIGITS, kind.numbers[1])
        total = f"CAST({a('sum', value.sql)} AS {t.duckdb_type(wide)})"
        return Value(_within_digits(e, total, wide) if kind.numbers[0] > 28 else total, wide)
    if kind == t.REAL:
        return Value(e.use("double_to_real", a("sum", value.sql)), t.REAL)
    if kind == t.DOUBLE:
        return Value(f"CAST({a('sum', value.sql)} AS DOUBLE)", kind)
    raise _no_aggregate(a, value)


def _within_digits(e: Expressions, total: str, kind: t.Type) -> str:
    """Raise where a sum has more than 38 digits, which DuckDB holds too."""
    largest = "9" * (t.MAX_DIGITS - kind.numbers[1]) + "." + "9" * kind.numbers[1]
    return e.use("within_digits", total, f"CAST('{largest}' AS {t.duckdb_type(kind)})")


def _avg(e: Expressions, parts: list[Node], a: _Aggregate) -> Value:
    value = _only(e, parts, a)
    kind = value.type
    if kind.is_integer or kind == t.DOUBLE:
        return Value(a("avg", f"CAST({value.sql} AS DOUBLE)"), t.DOUBLE)
    if kind == t.REAL:
        return Value(e.use("double_to_real", a("avg", value.sql)), t.REAL)
    if kind.name == "decimal":
        parts_ = [
            f"CAST({a('sum', value.sql)} AS VARCHAR)",
            f"CAST({a('count', value.sql)} AS VARCHAR)",
        ]
        text = e.use("decimal_average", *parts_, str(kind.numbers[1]))
        return Value(f"CAST({text} AS {t.duckdb_type(kind)})", kind)
    raise _no_aggregate(a, value)


def _only(e: Expressions, parts: list[Node], a: _Aggregate) -> Value:
    if len(parts) != 1:
        raise refuse(a.what, "It takes one argument.")
    return _typed(e(parts[0]), a)


def _typed(value: Value, a: _Aggregate) -> Value:
    if value.type == t.UNKNOWN:
        raise refuse(a.what, "NULL has no type there.", "Cast it.")
    return value


def _ambiguous(what: Words) -> QueryError:
    return t.mismatch(f"AMBIGUOUS_FUNCTION_CALL: NULL has no type in {what!r}.", "NULL", "Cast it.")


def _no_aggregate(a: _Aggregate, value: Value) -> QueryError:
    return QueryError(
        f"FUNCTION_NOT_FOUND: {a.what} does not take {value.type}.",
        got=str(value.type),
        expected="a number",
        hint="Cast the argument.",
    )


def _extreme(function: str) -> Callable[[Expressions, list[Node], _Aggregate], Value]:
    def translate(e: Expressions, parts: list[Node], a: _Aggregate) -> Value:
        value = e(parts[0])
        if (
            value.type.inside
            or value.type.name in ("json", "boolean")
            and value.type.name == "json"
        ):
            raise refuse(a.what, f"DuckDB orders {value.type} otherwise.")
        _typed(value, a)
        if len(parts) == 2:
            count = _row_count(e, parts[1], a)
            if value.type.has_float:
                raise refuse(a.what, "NaN is ordered otherwise.")
            text = a(function, f"{value.sql}, {count.sql}")
            return Value(text, t.array(value.type))
        if not value.type.is_float:
            return Value(a(function, value.sql), value.type)
        # NaN counts only where there is nothing else.
        numbers, every = a(function, value.sql, f"NOT isnan({value.sql})"), a(function, value.sql)
        return Value(f"coalesce({numbers}, {every})", value.type)

    return translate


def _extreme_by(function: str) -> Callable[[Expressions, list[Node], _Aggregate], Value]:
    def translate(e: Expressions, parts: list[Node], a: _Aggregate) -> Value:
        value, key = _typed(e(parts[0]), a), e(parts[1])
        if key.type.has_float or key.type.inside or key.type.name == "json":
            raise refuse(a.what, f"DuckDB orders {key.type} otherwise.")
        kind = value.type
        if len(parts) == 3:
            packed = a(
                function,
                f"struct_pack(v := {value.sql}), {key.sql}, {_row_count(e, parts[2], a).sql}",
            )
            text = f"list_transform({packed}, lambda e: struct_extract(e, 'v'))"
            return Value(text, t.array(kind))
        # A row is not null, even where the value in it is.
        packed = a(function, f"struct_pack(v := {value.sql}), {key.sql}")
        return Value(f"struct_extract({packed}, 'v')", kind)

    return translate


def _row_count(e: Expressions, part: Node, a: _Aggregate) -> Value:
    """Translate how many values ``max(x, n)`` gives."""
    return _typed(e(part), a)


def _array_agg(e: Expressions, parts: list[Node], a: _Aggregate) -> Value:
    value = e(parts[0])
    return Value(a("array_agg", value.sql), t.array(value.type))


def _count_if(e: Expressions, parts: list[Node], a: _Aggregate) -> Value:
    return Value(a("count", "*", e.condition(parts[0])), t.BIGINT)


def _any_value(e: Expressions, parts: list[Node], a: _Aggregate) -> Value:
    value = _only(e, parts, a)
    return Value(a("any_value", value.sql), value.type)


def _map_agg(e: Expressions, parts: list[Node], a: _Aggregate) -> Value:
    key, value = e(parts[0]), e(parts[1])
    pairs = a("list", f"struct_pack(k := {key.sql}, v := {value.sql})", f"({key.sql}) IS NOT NULL")
    return Value(e.use("map_of_pairs", pairs), t.map_of(key.type, value.type))


def _multimap_agg(e: Expressions, parts: list[Node], a: _Aggregate) -> Value:
    key, value = e(parts[0]), e(parts[1])
    pairs = a("list", f"struct_pack(k := {key.sql}, v := {value.sql})", f"({key.sql}) IS NOT NULL")
    return Value(e.use("multimap_of_pairs", pairs), t.map_of(key.type, t.array(value.type)))


def _histogram(e: Expressions, parts: list[Node], a: _Aggregate) -> Value:
    value = _only(e, parts, a)
    text = a("list", value.sql, f"({value.sql}) IS NOT NULL")
    return Value(e.use("histogram_of", text), t.map_of(value.type, t.BIGINT))


def _geometric_mean(e: Expressions, parts: list[Node], a: _Aggregate) -> Value:
    value = _only(e, parts, a)
    mean = f"exp({a('avg', e.use('ln_double', e.coerce(value, t.DOUBLE).sql))})"
    return (
        Value(e.use("double_to_real", mean), t.REAL)
        if value.type == t.REAL
        else Value(mean, t.DOUBLE)
    )


def _grouping(e: Expressions, parts: list[Node], a: _Aggregate) -> Value:
    columns = ", ".join(e(part).sql for part in parts)
    return Value(f"CAST(grouping({columns}) AS INTEGER)", t.INTEGER)


def _approx_percentile(e: Expressions, parts: list[Node], a: _Aggregate) -> Value:
    """Translate the exact percentile, which Trino's estimate is on few rows."""
    value, share = e(parts[0]), e(parts[1])
    if share.type == t.UNKNOWN:
        raise _ambiguous(a.what)
    if len(parts) > 2 or not (value.type.is_integer or value.type.is_float):
        raise refuse(a.what, "It takes a whole number or a double, and a share.", "Cast to double.")
    kind = value.type
    kind = t.BIGINT if kind.is_integer else kind
    values = a("list", e.coerce(value, kind).sql, f"({value.sql}) IS NOT NULL")
    if share.type.name != "array":
        text = e.use("percentile_of", values, e.coerce(share, t.DOUBLE).sql)
        return Value(text, kind)
    shares = e.coerce(share, t.array(t.DOUBLE)).sql
    return Value(e.use("percentiles_of", values, shares), t.array(kind))


def _pairs(function: str) -> Callable[[Expressions, list[Node], _Aggregate], Value]:
    """Aggregate pairs, added up in the order of Trino so that the last digit is its own."""

    def translate(e: Expressions, parts: list[Node], a: _Aggregate) -> Value:
        values = [e(part) for part in parts]
        if any(v.type != t.DOUBLE for v in values):
            raise refuse(a.what, "Trino takes other numbers for real.", "Cast both to double.")
        first, last = (v.sql for v in values)
        both = f"({first}) IS NOT NULL AND ({last}) IS NOT NULL"
        return Value(e.use(function, a("list", first, both), a("list", last, both)), t.DOUBLE)

    return translate


def _spread(function: str) -> Callable[[Expressions, list[Node], _Aggregate], Value]:
    """Translate variances: NaN for NaN or infinity, which DuckDB refuses or passes over."""

    def translate(e: Expressions, parts: list[Node], a: _Aggregate) -> Value:
        value = _only(e, parts, a)
        if not value.type.is_number:
            raise _no_aggregate(a, value)
        number = e.coerce(value, t.DOUBLE).sql
        if not value.type.is_float:
            return Value(a(function, number), t.DOUBLE)
        finite = a(function, f"CASE WHEN isfinite({number}) THEN {number} END")
        has_other = a("bool_or", f"NOT isfinite({number})")
        some = a("count", number)
        least = 2 if function.endswith("samp") else 1
        nan = f"CASE WHEN {some} >= {least} THEN CAST('NaN' AS DOUBLE) END"
        return Value(f"CASE WHEN {has_other} THEN {nan} ELSE {finite} END", t.DOUBLE)

    return translate


def _refused_aggregate(why: str, instead: str) -> Callable[..., Value]:
    def translate(e: Expressions, parts: list[Node], a: _Aggregate) -> Value:
        raise refuse(a.what, why, instead)

    return translate


_AGGREGATES: dict[str, Callable[[Expressions, list[Node], _Aggregate], Value]] = {
    "count": _count,
    "sum": _sum,
    "avg": _avg,
    "max": _extreme("max"),
    "min": _extreme("min"),
    "max_by": _extreme_by("max_by"),
    "min_by": _extreme_by("min_by"),
    "array_agg": _array_agg,
    "count_if": _count_if,
    "any_value": _any_value,
    "arbitrary": _any_value,
    "map_agg": _map_agg,
    "multimap_agg": _multimap_agg,
    "histogram": _histogram,
    "geometric_mean": _geometric_mean,
    "grouping": _grouping,
    "checksum": _refused_aggregate("Its hash is Trino's own.", "Compare key by key."),
    "corr": _refused_aggregate("Its last digits are Trino's own.", "Use covar_pop and stddev_pop."),
    "covar_pop": _pairs("covariance_of"),
    "covar_samp": _pairs("sample_covariance_of"),
    **{
        name: _spread(function)
        for name, function in (
            ("stddev", "stddev_samp"),
            ("stddev_samp", "stddev_samp"),
            ("stddev_pop", "stddev_pop"),
            ("variance", "var_samp"),
            ("var_samp", "var_samp"),
            ("var_pop", "var_pop"),
        )
    },
    "regr_slope": _pairs("slope_of"),
    "regr_intercept": _pairs("intercept_of"),
    "approx_percentile": _approx_percentile,
}


def listagg(e: Expressions, node: exp.GroupConcat, condition: str = "") -> Value:
    """Translate LISTAGG(text, separator) WITHIN GROUP (ORDER BY ...)."""
    what, order = as_written(node), node.this
    if e.over:
        raise refuse(what, "DuckDB has no LISTAGG with OVER.", "Use array_agg with OVER.")
    if not isinstance(order, exp.Order) or node.args.get("on_overflow") is not None:
        raise refuse(what, "LISTAGG is translated with an order, and without ON OVERFLOW.")
    distinct = isinstance(order.this, exp.Distinct)
    value = e(order.this.expressions[0] if distinct else order.this)
    if not value.type.is_text:
        raise t.mismatch(f"{what!r} is about text.", str(value.type))
    separator = node.args.get("separator")
    if separator is not None and not (isinstance(separator, exp.Literal) and separator.is_string):
        raise t.mismatch("LISTAGG takes a text literal as separator.", as_written(separator))
    glue = e(separator).sql if separator is not None else "''"
    if distinct:
        sort = _sort_of_distinct(order.this.expressions, order, what)
        texts = _Aggregate(what, "DISTINCT ", "", condition)(
            "list", value.sql, f"{value.sql} IS NOT NULL"
        )
        return Value(f"array_to_string(list_sort({texts}, {sort}), {glue})", t.VARCHAR)
    a = _Aggregate(what, "", _order(e, order), condition)
    return Value(a("string_agg", f"{value.sql}, {glue}"), t.VARCHAR)


# Functions with types or syntax of their own


def _typed_literal(e: Expressions, name: str, parts: list[Node], what: Words) -> Value:
    return typed_literal(e, parts[0].name, parts[1].name)


def _coalesce(e: Expressions, name: str, parts: list[Node], what: Words) -> Value:
    values, common = e.to_common(parts, what)
    return Value(f"coalesce({', '.join(v.sql for v in values)})", common)


def _nullif(e: Expressions, name: str, parts: list[Node], what: Words) -> Value:
    from phlo_iceberg.read.dialect.expressions import compare

    left, right = e(parts[0]), e(parts[1])
    is_same = compare(e, left, "=", right, what).sql
    return Value(f"CASE WHEN {is_same} THEN NULL ELSE {left.sql} END", left.type)


def _try(e: Expressions, name: str, parts: list[Node], what: Words) -> Value:
    """Return null where any part raises, even one that stands in a ``coalesce``."""
    if any(_is_over_rows(part) for part in parts[0].walk()):
        raise refuse(what, "DuckDB tries no aggregates.", "Take the aggregate out of TRY.")
    outer, e.uses = e.uses, set()
    try:
        value = e(parts[0])
    finally:
        inside, e.uses = e.uses, outer
    macros = inside & BODIES.keys()
    e.uses |= (inside - macros) | {name + IN_TRY for name in macros}

    def in_try(match: re.Match[str]) -> str:
        return f"{PREFIX}{match[1]}{IN_TRY if match[1] in macros else ''}("

    text = re.sub(rf"\b{PREFIX}(\w+)\(", in_try, value.sql)
    return Value(f"TRY({text})", value.type)


def _is_over_rows(node: Node) -> bool:
    """Return whether it is an aggregate, a window function or a query."""
    name = node.name.removeprefix(MARK).lower() if isinstance(node, exp.Anonymous) else ""
    is_aggregate = name in _AGGREGATES or name in AGGREGATE_RULES
    return is_aggregate or isinstance(node, exp.Window | exp.GroupConcat | exp.Query)


def _typeof(e: Expressions, name: str, parts: list[Node], what: Words) -> Value:
    kind = e(parts[0]).type
    if "varchar" in re.sub(r"varchar\(", "", str(kind)):
        raise refuse(what, "Lengths of texts are not told.")
    return Value(literal(str(kind)), t.VARCHAR)


def _codepoint(e: Expressions, name: str, parts: list[Node], what: Words) -> Value:
    value = e(parts[0])
    if value.type != t.Type("varchar", (1,)):
        raise t.mismatch(f"{what!r} takes a varchar(1).", str(value.type), "Cast it.")
    return Value(f"unicode({value.sql})", t.INTEGER)


def _concat(e: Expressions, name: str, parts: list[Node], what: Words) -> Value:
    from phlo_iceberg.read.dialect.arithmetic import concatenate

    if len(parts) < 2:
        raise t.mismatch(f"{what!r} has one value.", what, "Give it two or more.")
    return concatenate(e, [e(part) for part in parts], what)


def _concat_ws(e: Expressions, name: str, parts: list[Node], what: Words) -> Value:
    values = [e(part) for part in parts]
    if [value.type for value in values[1:]] == [t.UNKNOWN]:
        raise _ambiguous(what)
    return apply(e, RULES[name], values, what)


def _mod(e: Expressions, name: str, parts: list[Node], what: Words) -> Value:
    from phlo_iceberg.read.dialect.arithmetic import calculate

    return calculate(e, e(parts[0]), "%", e(parts[1]), what)


def _row(e: Expressions, name: str, parts: list[Node], what: Words) -> Value:
    from phlo_iceberg.read.dialect.expressions import make_row

    return make_row([e(part) for part in parts])


def _map(e: Expressions, name: str, parts: list[Node], what: Words) -> Value:
    if not parts:
        return Value("MAP {}", t.map_of(t.UNKNOWN, t.UNKNOWN))
    if len(parts) != 2:
        raise t.mismatch(f"{what!r} takes two arrays.", "one argument")
    keys, values = (e(part) for part in parts)
    if keys.type.name != "array" or values.type.name != "array":
        raise t.mismatch(f"{what!r} takes two arrays.", f"{keys.type}, {values.type}")
    text = e.use("map_of_arrays", keys.sql, values.sql)
    return Value(text, t.map_of(keys.type.inside[0], values.type.inside[0]))


def _extreme_of(name_: str) -> Callable[..., Value]:
    def translate(e: Expressions, name: str, parts: list[Node], what: Words) -> Value:
        values, common = e.to_common(parts, what)
        if common.inside or common.name in ("json", "unknown"):
            raise refuse(what, f"DuckDB orders {common} otherwise.")
        nulls = " OR ".join(f"({v.sql}) IS NULL" for v in values)
        items = ", ".join(v.sql for v in values)
        text = f"{name_}({items})"
        if common.is_float:
            numbers = ", ".join(f"CASE WHEN NOT isnan({v.sql}) THEN {v.sql} END" for v in values)
            text = f"coalesce({name_}({numbers}), CAST('NaN' AS {t.duckdb_type(common)}))"
        return Value(f"CASE WHEN {nulls} THEN NULL ELSE {text} END", common)

    return translate


def _round_decimal(e: Expressions, name: str, parts: list[Node], what: Words) -> Value:
    value = e(parts[0])
    digits = e(parts[1]) if len(parts) > 1 else None
    if name == "truncate" and value.type.is_integer:
        value = e.coerce(value, t.as_decimal(value.type))
    if value.type.name != "decimal":
        values = [value] + ([digits] if digits else [])
        return apply(e, RULES[name], values, what)
    precision, scale = value.type.numbers
    if digits is not None:
        kind = t.decimal(precision + 1, scale) if name == "round" else value.type
        text = e.use(f"{name}_decimal", f"CAST({value.sql} AS VARCHAR)", digits.sql)
        return Value(f"CAST({text} AS {t.duckdb_type(kind)})", kind)
    if name == "truncate":
        kind = t.decimal(max(precision - scale, 1), 0)
    else:
        kind = t.decimal(precision - scale + min(scale, 1), 0)
    text = e.use(f"{_WHOLE[name]}_decimal", f"CAST({value.sql} AS VARCHAR)", "0")
    return Value(f"CAST({text} AS {t.duckdb_type(kind)})", kind)


_WHOLE = {
    "round": "round",
    "truncate": "truncate",
    "floor": "floor",
    "ceil": "ceil",
    "ceiling": "ceil",
}


def _sign(e: Expressions, name: str, parts: list[Node], what: Words) -> Value:
    value = e(parts[0])
    if value.type.name == "decimal":
        return Value(f"CAST(sign({value.sql}) AS DECIMAL(1, 0))", t.decimal(1, 0))
    if value.type.is_integer:
        return Value(f"CAST(sign({value.sql}) AS {t.duckdb_type(value.type)})", value.type)
    return apply(e, RULES[name], [value], what)


def _now(e: Expressions, name: str, parts: list[Node], what: Words) -> Value:
    if parts and not parts[0].name.isdigit():
        raise t.mismatch(f"{what!r} takes a number of digits.", as_written(parts[0]))
    digits = int(parts[0].name) if parts else 3
    kind = t.timestamptz(digits)
    if name in ("localtimestamp",):
        return e.cast(Value("timezone('UTC', now())", t.timestamp(6)), t.timestamp(digits))
    if name == "current_date":
        return Value("CAST(timezone('UTC', now()) AS DATE)", t.DATE)
    return Value("now()", kind)


def _date(e: Expressions, name: str, parts: list[Node], what: Words) -> Value:
    return e.cast(e(parts[0]), t.DATE)


_PARTS = {
    "year": "year",
    "quarter": "quarter",
    "month": "month",
    "week": "week",
    "week_of_year": "week",
    "day": "day",
    "day_of_month": "day",
    "day_of_week": "isodow",
    "dow": "isodow",
    "day_of_year": "dayofyear",
    "doy": "dayofyear",
    "year_of_week": "isoyear",
    "yow": "isoyear",
    "hour": "hour",
    "minute": "minute",
    "second": "second",
    "millisecond": "millisecond",
}
_TIME_PARTS = ("hour", "minute", "second", "millisecond")


def _part(e: Expressions, name: str, parts: list[Node], what: Words) -> Value:
    return part_of(e, name, e(parts[0]), what)


def part_of(e: Expressions, name: str, value: Value, what: Words) -> Value:
    """Translate a field of a date or timestamp, as its zone shows it."""
    kind = value.type
    if kind.name not in ("date", "timestamp", "timestamptz") or name not in _PARTS:
        raise refuse(what, f"There is no {name} of {kind} in the table of rules.")
    if kind == t.DATE and name in _TIME_PARTS:
        raise t.mismatch(f"A date has no {name}, in {what!r}.", str(kind))
    local = local_time(value.sql, kind)
    text = f"date_part('{_PARTS[name]}', {local})"
    if name == "second":
        text = f"floor({text})"
    if name == "millisecond":
        text = f"(epoch_us({local}) // 1000 % 1000 + 1000) % 1000"
    return Value(f"CAST({text} AS BIGINT)", t.BIGINT)


def extract(e: Expressions, node: exp.Extract) -> Value:
    """Translate EXTRACT(part FROM time)."""
    return part_of(e, node.name.lower(), e(node.expression), as_written(node))


def _unit(value: Value, what: Words) -> str:
    if value.text is None or value.text.lower() not in _UNITS:
        raise refuse(what, f"The unit must be written out, as one of {sorted(_UNITS)}.")
    return value.text.lower()


_UNITS = {
    "millisecond": 1_000,
    "second": 1_000_000,
    "minute": 60_000_000,
    "hour": 3_600_000_000,
    "day": 86_400_000_000,
    "week": 604_800_000_000,
    "month": 1,
    "quarter": 3,
    "year": 12,
}
_MONTHS = ("month", "quarter", "year")


def _date_trunc(e: Expressions, name: str, parts: list[Node], what: Words) -> Value:
    unit, value = _unit(e(parts[0]), what), e(parts[1])
    if value.type == t.DATE:
        if unit in (*_TIME_PARTS,):
            raise t.mismatch(f"A date has no {unit}, in {what!r}.", "date")
        return Value(f"CAST(date_trunc('{unit}', {value.sql}) AS DATE)", t.DATE)
    if value.type.name not in ("timestamp", "timestamptz"):
        raise t.mismatch(f"{what!r} is about times.", str(value.type))
    local = local_time(value.sql, value.type)
    text = f"date_trunc('{unit}', {local})"
    if value.type.name == "timestamptz" and unit in _TIME_PARTS:
        return Value(f"({value.sql} - ({local} - {text}))", value.type)
    if value.type.name == "timestamptz":
        text = instant(text, str(value.type.zone))
    return Value(text, value.type)


def _date_add(e: Expressions, name: str, parts: list[Node], what: Words) -> Value:
    unit, number, value = _unit(e(parts[0]), what), e(parts[1]), e(parts[2])
    if not number.type.is_integer:
        raise t.mismatch(f"{what!r} adds a whole number.", str(number.type))
    if value.type == t.DATE and unit in _TIME_PARTS:
        raise t.mismatch(f"A date has no {unit}, in {what!r}.", "date")
    if value.type.name not in ("date", "timestamp", "timestamptz"):
        raise t.mismatch(f"{what!r} is about times.", str(value.type))
    count = f"({number.sql})"
    if unit in _MONTHS:
        step = f"to_months(CAST({count} * {_UNITS[unit]} AS INTEGER))"
    elif unit in ("day", "week"):
        step = f"to_days(CAST({count} * {1 if unit == 'day' else 7} AS INTEGER))"
    else:
        step = f"to_microseconds(CAST({count} AS BIGINT) * {_UNITS[unit]})"
    if value.type == t.DATE:
        return Value(f"CAST({value.sql} + {step} AS DATE)", t.DATE)
    if unit == "millisecond" and value.type.numbers[0] < 3:
        return e.cast(
            Value(f"({value.sql} + {step})", replace(value.type, numbers=(6,))), value.type
        )
    if value.type.name == "timestamptz" and unit not in _TIME_PARTS:
        moved = f"({local_time(value.sql, value.type)} + {step})"
        return Value(instant(moved, str(value.type.zone)), value.type)
    return Value(f"({value.sql} + {step})", value.type)


def _date_diff(e: Expressions, name: str, parts: list[Node], what: Words) -> Value:
    unit, first, last = _unit(e(parts[0]), what), e(parts[1]), e(parts[2])
    common = t.common_type(first.type, last.type)
    if common is None or common.name not in ("date", "timestamp", "timestamptz"):
        raise t.mismatch(f"{what!r} compares times.", f"{first.type} and {last.type}")
    if common == t.DATE and unit in _TIME_PARTS:
        raise t.mismatch(f"A date has no {unit}, in {what!r}.", "date")
    pair = []
    for value in (first, last):
        moved = e.coerce(value, common)
        is_local = common.name == "timestamptz" and unit not in _TIME_PARTS
        zone = first.type.zone if first.type.name == "timestamptz" else last.type.zone
        kind = t.timestamptz(6, zone)
        pair.append(local_time(moved.sql, kind) if is_local else moved.sql)
    if unit in _MONTHS:
        return Value(e.use("whole_months", *pair, str(_UNITS[unit])), t.BIGINT)
    kind = "TIMESTAMPTZ" if common.name == "timestamptz" and unit in _TIME_PARTS else "TIMESTAMP"
    times = [f"epoch_us(CAST({p} AS {kind}))" for p in pair]
    return Value(e.use("whole_units", *times, str(_UNITS[unit])), t.BIGINT)


def _from_unixtime(e: Expressions, name: str, parts: list[Node], what: Words) -> Value:
    value = apply(e, RULES[name], [e(parts[0])], what)
    if len(parts) == 1:
        return value
    zone = e(parts[1])
    if len(parts) > 2 or zone.text is None:
        raise refuse(what, "The zone must be written out.")
    from phlo_iceberg.read.dialect.expressions import checked_zone

    return Value(value.sql, t.timestamptz(3, checked_zone(zone.text)))


def _at_timezone(e: Expressions, name: str, parts: list[Node], what: Words) -> Value:
    from phlo_iceberg.read.dialect.expressions import at_zone, checked_zone

    value, zone = e(parts[0]), e(parts[1])
    if name == "at_timezone":
        if value.type.name != "timestamptz":
            value = e.cast(value, t.timestamptz(value.type.numbers[0] if value.type.numbers else 3))
        return at_zone(e, value, zone, what)
    if value.type.name not in ("timestamp", "date") or zone.text is None:
        raise refuse(what, "It takes a timestamp without a zone, and a zone that is written out.")
    value = e.coerce(value, t.timestamp(3)) if value.type == t.DATE else value
    name_ = checked_zone(zone.text)
    return Value(instant(value.sql, name_), t.timestamptz(value.type.numbers[0], name_))


def _formatted(function: str) -> Callable[..., Value]:
    def translate(e: Expressions, name: str, parts: list[Node], what: Words) -> Value:
        value, form = e(parts[0]), e(parts[1])
        if value.type == t.DATE:
            value = e.cast(value, t.timestamp(3))
        if value.type.name not in ("timestamp", "timestamptz") or form.type.name != "varchar":
            raise t.mismatch(f"{what!r} formats a time.", f"{value.type}, {form.type}")
        if form.text is None:
            raise refuse(what, "The format must be written out.")
        if function == "format_datetime" and re.search(r"[zZ]", re.sub(r"'[^']*'", "", form.text)):
            raise refuse(what, "Names of zones are written otherwise.")
        return Value(e.use(function, local_time(value.sql, value.type), form.sql), t.VARCHAR)

    return translate


_PARSED_PARTS = "YymcdeHkhIlisSfpTbMj%"


def _date_parse(e: Expressions, name: str, parts: list[Node], what: Words) -> Value:
    values = [e(part) for part in parts]
    form = values[1].text if len(values) > 1 else None
    if form is None or any(m not in _PARSED_PARTS for m in re.findall(r"%(.)", form)):
        raise refuse(what, f"The format must be written out, of %{', %'.join(_PARSED_PARTS)}.")
    return apply(e, RULES[name], values, what)


def _to_iso8601(e: Expressions, name: str, parts: list[Node], what: Words) -> Value:
    value = e(parts[0])
    if value.type == t.DATE:
        return Value(date_text(value.sql, e.uses), t.VARCHAR)
    if value.type.name not in ("timestamp", "timestamptz"):
        raise t.mismatch(f"{what!r} writes a time.", str(value.type))
    plain = t.timestamp(value.type.numbers[0])
    local = local_time(value.sql, value.type)
    text = f"replace({timestamp_text(local, plain, e.uses)}, ' ', 'T')"
    if value.type.name == "timestamptz":
        text = f"({text} || {_offset(value, local)})"
    return Value(text, t.VARCHAR)


def _offset(value: Value, local: str) -> str:
    if value.type.zone == "UTC":
        return "'Z'"
    minutes = f"((epoch_us({local}) - epoch_us(timezone('UTC', {value.sql}))) // 60000000)"
    return (
        f"(CASE WHEN {minutes} < 0 THEN '-' ELSE '+' END || "
        f"format('{{:02d}}:{{:02d}}', abs({minutes}) // 60, abs({minutes}) % 60))"
    )


def _from_iso8601_timestamp(e: Expressions, name: str, parts: list[Node], what: Words) -> Value:
    value = e(parts[0])
    if value.text is None:
        raise refuse(what, "The zone of each row would be lost.", "Cast the text to a timestamp.")
    match = re.search(r"(Z|[+-]\d\d(?::?\d\d)?)$", value.text.partition("T")[2])
    zone = match[1] if match else "UTC"
    if zone == "Z":
        zone = "UTC"
    elif zone != "UTC":
        zone = f"{zone[:3]}:{zone[-2:] if len(zone) > 3 else '00'}"
    zone = "UTC" if zone in ("+00:00", "-00:00") else zone
    return Value(e.use("from_iso8601_timestamp", value.sql), t.timestamptz(3, zone))


def _format(e: Expressions, name: str, parts: list[Node], what: Words) -> Value:
    values = [e(part) for part in parts]
    if len(values) < 2:
        raise t.mismatch(f"{what!r} has nothing to format.", what, "Give it values.")
    if not values[0].type.is_text or values[0].text is None:
        raise refuse(what, "The format must be written out.")
    _check(check_format, values[0].text, what)
    texts = [_as_argument(e, v, what) for v in values[1:]]
    return Value(e.use("format_text", values[0].sql, f"[{', '.join(texts)}]"), t.VARCHAR)


def _as_argument(e: Expressions, value: Value, what: Words) -> str:
    """Translate a value to its kind and text, for a function that takes every type."""
    kind = value.type
    if kind == t.UNKNOWN:
        return "CAST(NULL AS VARCHAR)"
    if not (kind.is_number or kind.is_text or kind.name in ("boolean", "date")):
        raise refuse(what, f"{kind} is written otherwise.", "Cast it to varchar.")
    text = date_text(value.sql, e.uses) if kind == t.DATE else f"CAST({value.sql} AS VARCHAR)"
    return f"({literal(kind.name)} || ':' || {text})"


def _lambda_over(template: str, returns: str) -> Callable[..., Value]:
    """Translate a function of an array and a lambda about its elements."""

    def translate(e: Expressions, name: str, parts: list[Node], what: Words) -> Value:
        items = e(parts[0])
        if items.type.name != "array":
            raise t.mismatch(f"{what!r} takes an array.", str(items.type))
        element = items.type.inside[0]
        (x,), body = e.call_lambda(parts[1], [element], what)
        if name != "transform" and body.type != t.BOOLEAN:
            raise t.mismatch(f"The lambda of {what!r} is no condition.", str(body.type))
        kind = {"array": t.array(body.type), "same": items.type, "boolean": t.BOOLEAN}[returns]
        text = template.format(items=items.sql, x=x, body=body.sql)
        for macro in re.findall(r"@(\w+)", text):
            e.uses.add(macro)
        return Value(text.replace("@", PREFIX), kind)

    return translate


def _reduce(e: Expressions, name: str, parts: list[Node], what: Words) -> Value:
    items, start = e(parts[0]), e(parts[1])
    if items.type.name != "array":
        raise t.mismatch(f"{what!r} takes an array.", str(items.type))
    element = items.type.inside[0]
    _, body = e.call_lambda(parts[2], [start.type, element], what)
    common = t.common_type(start.type, body.type)
    if common is None:
        raise t.mismatch(f"{what!r} changes its type.", f"{start.type} and {body.type}")
    if not (common.is_number or common.is_text) or not (element.is_number or element.is_text):
        raise refuse(what, "Only numbers and texts are reduced.")
    (s, x), body = e.call_lambda(parts[2], [common, element], what)
    kind, held = t.duckdb_type(common), t.duckdb_type(element)
    # The first element of the list is the state, so both stand in pairs of one type.
    i, no_state, no_item = f"i{e.depth}", f"CAST(NULL AS {kind})", f"CAST(NULL AS {held})"
    first = f"CAST({e.coerce(start, common).sql} AS {kind})"
    pair = f"struct_pack(s := {first}, x := {no_item})"
    rest = f"list_transform({items.sql}, lambda {i}: struct_pack(s := {no_state}, x := {i}))"
    state, item = f"{LAMBDA}a", f"{LAMBDA}b"
    step = re.sub(rf"\b{s}\b", f"{state}.s", re.sub(rf"\b{x}\b", f"{item}.x", body.sql))
    reduced = (
        f"list_reduce(list_concat([{pair}], {rest}), "
        f"lambda {state}, {item}: struct_pack(s := CAST({step} AS {kind}), x := {no_item})).s"
    )
    (r,), last = e.call_lambda(parts[3], [common], what)
    text = last.sql if last.sql == r else re.sub(rf"\b{r}\b", f"({reduced})", last.sql)
    final = f"({reduced})" if last.sql == r else text
    return Value(f"CASE WHEN ({items.sql}) IS NOT NULL THEN {final} END", last.type)


def _zip(e: Expressions, name: str, parts: list[Node], what: Words) -> Value:
    values = [e(part) for part in parts]
    if any(v.type.name != "array" for v in values):
        raise t.mismatch(f"{what!r} takes arrays.", ", ".join(str(v.type) for v in values))
    kind = t.row([v.type.inside[0] for v in values])
    lengths = ", ".join(f"len({v.sql})" for v in values)
    fields = ", ".join(
        f'"{n}" := ({v.sql})[i]' for n, v in zip(t.field_names(kind), values, strict=True)
    )
    nulls = " OR ".join(f"({v.sql}) IS NULL" for v in values)
    text = f"list_transform(range(1, 1 + greatest({lengths})), lambda i: struct_pack({fields}))"
    return Value(f"CASE WHEN {nulls} THEN NULL ELSE {text} END", t.array(kind))


def _zip_with(e: Expressions, name: str, parts: list[Node], what: Words) -> Value:
    left, right = e(parts[0]), e(parts[1])
    kinds = [v.type.inside[0] for v in (left, right) if v.type.name == "array"]
    if len(kinds) != 2:
        raise t.mismatch(f"{what!r} takes two arrays.", f"{left.type}, {right.type}")
    (x, y), body = e.call_lambda(parts[2], kinds, what)
    i = f"i{e.depth}"
    text = re.sub(rf"\b{x}\b", f"({left.sql})[{i}]", body.sql)
    text = re.sub(rf"\b{y}\b", f"({right.sql})[{i}]", text)
    both = f"greatest(len({left.sql}), len({right.sql}))"
    made = f"list_transform(range(1, 1 + {both}), lambda {i}: {text})"
    nulls = f"({left.sql}) IS NULL OR ({right.sql}) IS NULL"
    return Value(f"CASE WHEN {nulls} THEN NULL ELSE {made} END", t.array(body.type))


def _over_map(e: Expressions, name: str, parts: list[Node], what: Words) -> Value:
    value = e(parts[0])
    if value.type.name != "map":
        raise t.mismatch(f"{what!r} takes a map.", str(value.type))
    key, item = value.type.inside
    (k, v), body = e.call_lambda(parts[1], [key, item], what)
    entry = f"{LAMBDA}m{e.depth}"
    text = re.sub(rf"\b{k}\b", f"{entry}.key", re.sub(rf"\b{v}\b", f"{entry}.value", body.sql))
    entries = f"map_entries({value.sql})"
    if name == "map_filter":
        kept = f"list_filter({entries}, lambda {entry}: {text})"
        return Value(f"map_from_entries({kept})", value.type)
    new = {"transform_values": (f"{entry}.key", text), "transform_keys": (text, f"{entry}.value")}
    pair = f"struct_pack(k := {new[name][0]}, v := {new[name][1]})"
    made = f"list_transform({entries}, lambda {entry}: {pair})"
    kinds = (key, body.type) if name == "transform_values" else (body.type, item)
    return Value(e.use("map_of_new_keys", made), t.map_of(*kinds))


def _map_concat(e: Expressions, name: str, parts: list[Node], what: Words) -> Value:
    values, common = e.to_common(parts, what)
    if common.name != "map":
        raise t.mismatch(f"{what!r} takes maps.", str(common))
    return Value(f"map_concat({', '.join(v.sql for v in values)})", common)


def _combinations(e: Expressions, name: str, parts: list[Node], what: Words) -> Value:
    raise refuse(what, "DuckDB has no such function.")


def _array_sort(e: Expressions, name: str, parts: list[Node], what: Words) -> Value:
    value = e(parts[0])
    if len(parts) > 1 or value.type.name != "array" or value.type.inside[0].inside:
        raise refuse(what, "DuckDB sorts by no lambda.", "Use array_agg(x ORDER BY ...).")
    if value.type.has_float:
        raise refuse(what, "NaN may be ordered otherwise.")
    return apply(e, RULES[name], [value], what)


_SET_LIKE = (
    "array_distinct",
    "array_union",
    "array_intersect",
    "array_except",
    "array_position",
    "array_remove",
    "contains",
    "arrays_overlap",
    "array_max",
    "array_min",
    "contains_sequence",
)


def _about_elements(e: Expressions, name: str, parts: list[Node], what: Words) -> Value:
    """Translate functions that compare elements: of plain types without NaN."""
    values = [e(part) for part in parts]
    kinds = [v.type.inside[0] if v.type.name == "array" else v.type for v in values]
    if any(k.inside or k.name == "json" for k in kinds):
        raise refuse(what, "Nested elements with nulls inside are compared otherwise.")
    if any(k.is_float for k in kinds):
        raise refuse(what, "NaN among the elements is compared otherwise.")
    return apply(e, RULES[name], values, what)


def _regexp(e: Expressions, name: str, parts: list[Node], what: Words) -> Value:
    """Choose RE2 where it reads a pattern as Trino does, Python's engine else."""
    if name == "regexp_replace" and len(parts) == 3 and isinstance(parts[2], exp.Lambda):
        raise refuse(what, "DuckDB has no lambda over matches.")
    values = [e(part) for part in parts]
    pattern = values[1].text if len(values) > 1 else None
    if pattern is not None and not is_alike_in_both(pattern):
        _check(compile_pattern, pattern, what)
    if name == "regexp_like" and pattern is not None and is_alike_in_both(pattern):
        if not (values[0].type.is_text or values[0].type == t.UNKNOWN):
            raise t.mismatch(f"{what!r} is about text.", str(values[0].type))
        return Value(f"regexp_matches({values[0].sql}, {values[1].sql})", t.BOOLEAN)
    return apply(e, RULES[name], values, what)


def _check(read: Callable[[str], object], text: str, what: Words) -> None:
    """Refuse a pattern, path or format of the query that no rule reads, before it runs.

    One that Trino does not take either is an error of the rows.
    """
    try:
        read(text)
    except NotTranslatedError as exc:
        raise refuse(what, f"{exc}.") from exc
    except TrinoError:
        return


def normalize(e: Expressions, node: exp.Normalize) -> Value:
    """Translate NORMALIZE(text, form)."""
    form = node.args.get("form")
    name = form.name.upper() if form else "NFC"
    if name not in ("NFC", "NFD", "NFKC", "NFKD"):
        raise t.mismatch(f"{as_written(node)!r} has no such form.", name)
    values = [e(node.this), Value(literal(name), t.VARCHAR)]
    return apply(e, RULES["normalize"], values, as_written(node))


def trim(e: Expressions, node: exp.Trim) -> Value:
    """Translate TRIM(LEADING x FROM y) and its kin."""
    name = {"LEADING": "ltrim", "TRAILING": "rtrim"}.get(
        str(node.args.get("position") or "").upper(), "trim"
    )
    values = [e(node.this)] + ([e(node.expression)] if node.expression is not None else [])
    return apply(e, RULES[name], values, as_written(node))


_JSON_OPTIONS = ("returning", "on_condition", "option", "quote", "expressions")


def json_value(e: Expressions, node: exp.JSONValue) -> Value:
    """Translate JSON_VALUE(text, path)."""
    returning = node.args.get("returning")
    if any(node.args.get(a) for a in ("on_condition",)):
        raise refuse(as_written(node), "ON EMPTY and ON ERROR are not translated.")
    value = e(node.this)
    path = _sql_path(e, node.args["path"], as_written(node))
    from phlo_iceberg.read.dialect.expressions import type_of_node

    wanted = type_of_node(returning) if returning else t.VARCHAR
    name = "json_value_integer" if wanted.is_integer else "json_value"
    text = Value(e.use(name, value.sql, path.sql), t.VARCHAR)
    return e.cast(text, wanted, safe=True) if returning else text


def json_query(e: Expressions, node: exp.JSONExtract) -> Value:
    """Translate JSON_QUERY(text, path)."""
    if not node.args.get("json_query"):
        raise refuse(as_written(node), "It is no function of Trino.")
    if node.args.get("quote") or node.args.get("on_condition"):
        raise refuse(as_written(node), "Its options are not translated.")
    option = node.args.get("option")
    wrapper = option.name.upper() if option is not None else ""
    if wrapper not in (
        "",
        "WITHOUT WRAPPER",
        "WITH ARRAY WRAPPER",
        "WITH WRAPPER",
        "WITHOUT ARRAY WRAPPER",
    ):
        raise refuse(as_written(node), "Its wrapper is not translated.")
    is_wrapped = "TRUE" if wrapper.startswith("WITH ") else "FALSE"
    path = _sql_path(e, node.expression, as_written(node))
    text = e.use("json_query", e(node.this).sql, path.sql, is_wrapped)
    return Value(text, t.VARCHAR)


def _sql_path(e: Expressions, node: Node, what: Words) -> Value:
    """Translate a path of JSON_VALUE, JSON_QUERY or JSON_EXISTS."""
    path = e(node)
    if path.text is None:
        raise t.mismatch(f"The path of {what!r} is a text literal.", str(path.type))
    _check(json_steps, path.text, what)
    return path


def _json_exists(e: Expressions, name: str, parts: list[Node], what: Words) -> Value:
    if len(parts) != 2:
        raise refuse(what, "Its options are not translated.")
    path = _sql_path(e, parts[1], what)
    return apply(e, RULES[name], [e(parts[0]), path], what)


def json_object(e: Expressions, node: exp.JSONObject) -> Value:
    """Translate JSON_OBJECT('key': value, ...)."""
    if any(node.args.get(a) for a in ("null_handling", "unique_keys", "return_type", "encoding")):
        raise refuse(as_written(node), "Its options are not translated.")
    pairs = []
    for pair in node.expressions:
        if not isinstance(pair, exp.JSONKeyValue):
            raise refuse(as_written(node), "It takes keys and values.")
        key, value = e(pair.this), e(pair.expression)
        if not (value.type.is_integer or value.type.name in ("varchar", "boolean", "unknown")):
            raise refuse(as_written(node), f"{value.type} is written otherwise.")
        item = "'null'" if value.type == t.UNKNOWN else f"coalesce({_json_of(e, value)}, 'null')"
        pairs.append(f"{_json_of(e, key)} || ':' || {item}")
    inside = " || ',' || ".join(pairs) or "''"
    return Value(f"('{{' || {inside} || '}}')", t.VARCHAR)


def _json_of(e: Expressions, value: Value) -> str:
    text = f"CAST(to_json({value.sql}) AS VARCHAR)"
    return e.use("json_parse", text) if value.type.is_text else text


def _parameter(e: Expressions, name: str, parts: list[Node], what: Words) -> Value:
    return e.columns.parameter(int(parts[0].name))


def _refused(why: str, instead: str = "") -> Callable[..., Value]:
    def translate(e: Expressions, name: str, parts: list[Node], what: Words) -> Value:
        raise refuse(what, why, instead)

    return translate


_SPECIAL: dict[str, Callable[..., Value]] = {
    LITERAL: _typed_literal,
    PARAMETER: _parameter,
    "coalesce": _coalesce,
    "nullif": _nullif,
    "try": _try,
    "typeof": _typeof,
    "codepoint": _codepoint,
    "concat": _concat,
    "concat_ws": _concat_ws,
    "mod": _mod,
    "row": _row,
    "map": _map,
    "greatest": _extreme_of("greatest"),
    "least": _extreme_of("least"),
    "round": _round_decimal,
    "truncate": _round_decimal,
    "floor": _round_decimal,
    "ceil": _round_decimal,
    "ceiling": _round_decimal,
    "sign": _sign,
    "now": _now,
    "current_timestamp": _now,
    "localtimestamp": _now,
    "current_date": _now,
    "date": _date,
    "date_trunc": _date_trunc,
    "date_add": _date_add,
    "date_diff": _date_diff,
    "from_unixtime": _from_unixtime,
    "at_timezone": _at_timezone,
    "with_timezone": _at_timezone,
    "date_format": _formatted("date_format"),
    "date_parse": _date_parse,
    "format_datetime": _formatted("format_datetime"),
    "to_iso8601": _to_iso8601,
    "from_iso8601_timestamp": _from_iso8601_timestamp,
    "format": _format,
    "transform": _lambda_over("list_transform({items}, lambda {x}: {body})", "array"),
    "filter": _lambda_over("list_filter({items}, lambda {x}: {body})", "same"),
    "any_match": _lambda_over("@any_true(list_transform({items}, lambda {x}: {body}))", "boolean"),
    "all_match": _lambda_over("@all_true(list_transform({items}, lambda {x}: {body}))", "boolean"),
    "none_match": _lambda_over(
        "(NOT @any_true(list_transform({items}, lambda {x}: {body})))", "boolean"
    ),
    "reduce": _reduce,
    "zip": _zip,
    "zip_with": _zip_with,
    "map_filter": _over_map,
    "transform_values": _over_map,
    "transform_keys": _over_map,
    "map_concat": _map_concat,
    "array_sort": _array_sort,
    "json_exists": _json_exists,
    "combinations": _combinations,
    **dict.fromkeys(_PARTS, _part),
    **dict.fromkeys(_SET_LIKE, _about_elements),
    **dict.fromkeys(
        (
            "regexp_like",
            "regexp_extract",
            "regexp_extract_all",
            "regexp_replace",
            "regexp_count",
            "regexp_position",
            "regexp_split",
        ),
        _regexp,
    ),
    "shuffle": _refused("Its order is random."),
    **{name: _refused("Java's last digits are its own.") for name in ("sinh", "cosh", "tanh")},
    "word_stem": _refused("DuckDB has no stemmer without an extension."),
    "format_number": _refused("DuckDB has no such function.", "Use format or round."),
    "approx_set": _refused("Its sketch is Trino's own."),
    "checksum": _refused("Its hash is Trino's own."),
    "skewness": _refused("DuckDB corrects it for small samples."),
    "kurtosis": _refused("DuckDB corrects it for small samples."),
    "reduce_agg": _refused("DuckDB has no such aggregate.", "Use reduce over array_agg."),
}

_NUMBERS: dict[str, tuple[int, int | None]] = {
    **dict.fromkeys(
        (*_PARTS, "try", "typeof", "codepoint", "floor", "ceil", "ceiling", "sign", "date"), (1, 1)
    ),
    **dict.fromkeys(("to_iso8601", "from_iso8601_timestamp", "array_agg", "count_if"), (1, 1)),
    **dict.fromkeys(("any_value", "arbitrary", "histogram", "geometric_mean"), (1, 1)),
    **dict.fromkeys(("round", "truncate", "array_sort", "max", "min"), (1, 2)),
    **dict.fromkeys(("nullif", "mod", "date_trunc", "at_timezone", "with_timezone"), (2, 2)),
    **dict.fromkeys(("date_format", "date_parse", "format_datetime", "json_exists"), (2, 2)),
    **dict.fromkeys(("transform", "filter", "any_match", "all_match", "none_match"), (2, 2)),
    **dict.fromkeys(("map_filter", "transform_values", "transform_keys"), (2, 2)),
    **dict.fromkeys(("map_agg", "multimap_agg", "covar_pop", "covar_samp"), (2, 2)),
    **dict.fromkeys(("regr_slope", "regr_intercept"), (2, 2)),
    **dict.fromkeys(("max_by", "min_by", "approx_percentile"), (2, 3)),
    **dict.fromkeys(("date_add", "date_diff", "zip_with"), (3, 3)),
    **dict.fromkeys(("greatest", "least", "map_concat", "grouping"), (1, None)),
    "from_unixtime": (1, 3),
    "map": (0, 2),
    "reduce": (4, 4),
    "coalesce": (2, None),
    "concat_ws": (2, None),
    "zip": (2, 5),
    "now": (0, 0),
}
"""How many arguments functions take, where the table of rules does not tell it."""
