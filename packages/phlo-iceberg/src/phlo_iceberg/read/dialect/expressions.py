"""Expressions of Trino as expressions of DuckDB with the same value, told by their types."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from phlo.errors import QueryError
from phlo.sql import literal, quote_identifier
from sqlglot import exp

from phlo_iceberg.read.dialect import types as t
from phlo_iceberg.read.dialect.casts import cast, coerce
from phlo_iceberg.read.dialect.parser import MARK, as_written
from phlo_iceberg.read.dialect.values import (
    LAMBDA,
    PREFIX,
    Node,
    Value,
    Words,
    checked,
    null_of,
    refuse,
    text_literal,
    used,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from phlo_iceberg.read.dialect.queries import Output


class Columns(Protocol):
    """Where an expression finds the columns it names, and the queries inside it."""

    def column(self, node: exp.Column) -> Value:
        """Translate the column that a name stands for."""
        ...

    def subquery(self, node: exp.Query) -> tuple[str, list[Output]]:
        """Translate a query inside the expression, and return it with its columns."""
        ...

    def window(self, node: exp.Window) -> str:
        """Translate what stands in OVER."""
        ...

    def parameter(self, number: int) -> Value:
        """Translate a value given from outside, by its number from 1 on."""
        ...


@dataclass
class Expressions:
    """Translates the expressions of one SELECT.

    Attributes:
        columns: Resolves names.
        uses: Names of the macros and Python functions that the text calls.
        lambdas: Parameters of the lambdas around, by name.
    """

    columns: Columns
    uses: set[str] = field(default_factory=set)
    lambdas: dict[str, Value] = field(default_factory=dict)
    depth: int = 0
    over: str = ""
    nulls: str = ""

    def __call__(self, node: Node) -> Value:
        """Translate one expression.

        Raises:
            QueryError: Its types do not fit, or it is nothing that DuckDB answers as Trino does.
        """
        rule = _NODES.get(type(node).__name__)
        if rule is None:
            raise refuse(as_written(node), "It is not among what the embedded engine translates.")
        if not isinstance(node, exp.Query):
            for name, part in node.args.items():
                if part and name not in _KNOWN_PARTS:
                    raise refuse(as_written(node), f"Its part {name!r} is not translated.")
        return rule(self, node)

    def condition(self, node: Node) -> str:
        """Translate what must be true or false."""
        value = self(node)
        if value.type not in (t.BOOLEAN, t.UNKNOWN):
            raise t.mismatch(
                f"{as_written(node)!r} is no condition.", str(value.type), "Compare it."
            )
        return value.sql

    def use(self, name: str, *arguments: str) -> str:
        """Call a macro or Python function of the connection."""
        return used(self.uses, name, *arguments)

    def cast(self, value: Value, wanted: t.Type, *, safe: bool = False) -> Value:
        """See :func:`phlo_iceberg.read.dialect.casts.cast`."""
        return cast(value, wanted, self.uses, safe=safe)

    def coerce(self, value: Value, wanted: t.Type) -> Value:
        """See :func:`phlo_iceberg.read.dialect.casts.coerce`."""
        return coerce(value, wanted, self.uses)

    def to_common(self, nodes: Sequence[Node], what: Words) -> tuple[list[Value], t.Type]:
        """Translate several expressions to their common type."""
        values = [self(node) for node in nodes]
        common = t.common_of(v.type for v in values)
        if common is None:
            raise t.mismatch(
                f"{what} has values of different types.", ", ".join(str(v.type) for v in values)
            )
        return [self.coerce(v, common) for v in values], common

    def call_lambda(
        self, node: Node, kinds: Sequence[t.Type], what: Words
    ) -> tuple[list[str], Value]:
        """Translate a lambda: the names of its parameters in DuckDB, and its body."""
        if not isinstance(node, exp.Lambda) or len(node.expressions) != len(kinds):
            raise refuse(what, f"It takes a lambda of {len(kinds)} parameters.")
        names = [f"{LAMBDA}{self.depth}_{n}" for n in range(len(kinds))]
        outer, self.depth = self.lambdas, self.depth + 1
        self.lambdas = outer | {
            p.name.lower(): Value(n, k)
            for p, n, k in zip(node.expressions, names, kinds, strict=True)
        }
        try:
            return names, self(node.this)
        finally:
            self.lambdas, self.depth = outer, self.depth - 1


def _literal(e: Expressions, node: exp.Literal) -> Value:
    if node.is_string:
        return text_literal(node.this)
    return number_literal(node.this)


def number_literal(text: str) -> Value:
    """Translate a number as Trino types it: by its size, or by the digits that are written."""
    if re.fullmatch(r"[0-9]+", text):
        number = int(text)
        if number >= 2**63:
            raise refuse(text, "It is larger than a bigint.")
        return Value(str(number), t.INTEGER if number < 2**31 else t.BIGINT, constant=number)
    if "e" in text.lower():
        return Value(f"CAST('{text}' AS DOUBLE)", t.DOUBLE, constant=float(text))
    whole, _, fraction = text.partition(".")
    whole = whole.lstrip("0")
    kind = t.decimal(max(len(whole) + len(fraction), 1), len(fraction))
    if len(whole) + len(fraction) > t.MAX_DIGITS:
        raise refuse(text, "It has more than 38 digits.")
    return Value(f"CAST('{whole or '0'}.{fraction}' AS {t.duckdb_type(kind)})", kind, constant=text)


def _null(e: Expressions, node: Node) -> Value:
    return Value("NULL", t.UNKNOWN)


def _boolean(e: Expressions, node: exp.Boolean) -> Value:
    return Value("TRUE" if node.this else "FALSE", t.BOOLEAN)


def _hex(e: Expressions, node: exp.HexString) -> Value:
    text = node.this
    if len(text) % 2:
        raise refuse(f"X'{text}'", "It has an odd number of digits.")
    return Value(
        "'" + "".join(f"\\x{text[n : n + 2]}" for n in range(0, len(text), 2)) + "'::BLOB",
        t.VARBINARY,
    )


def _column(e: Expressions, node: exp.Column) -> Value:
    if not node.table and node.name.lower() in e.lambdas:
        return e.lambdas[node.name.lower()]
    return e.columns.column(node)


def _identifier(e: Expressions, node: exp.Identifier) -> Value:
    if node.name.lower() in e.lambdas:
        return e.lambdas[node.name.lower()]
    return e.columns.column(exp.column(node.copy()))


def _dot(e: Expressions, node: exp.Dot) -> Value:
    return struct_field(e(node.this), node.expression.name)


def struct_field(value: Value, name: str) -> Value:
    """Translate a field of a row, by its name."""
    for held, kind in zip(value.type.fields, value.type.inside, strict=False):
        if held and held.lower() == name.lower():
            return Value(f"struct_extract({value.sql}, {literal(held)})", kind)
    raise t.mismatch(f"{value.type} has no field {name!r}.", repr(name), "Name one of its fields.")


def _paren(e: Expressions, node: exp.Paren) -> Value:
    value = e(node.this)
    return replace(value, sql=f"({value.sql})")


def _neg(e: Expressions, node: exp.Neg) -> Value:
    if isinstance(node.this, exp.Literal) and node.this.this in ("2147483648", str(2**63)):
        kind = t.INTEGER if len(node.this.this) == 10 else t.BIGINT
        text = f"CAST(-{node.this.this} AS {t.duckdb_type(kind)})"
        return Value(text, kind, constant=-int(node.this.this))
    value = e(node.this)
    if value.constant in (-(2**31), -(2**63)) and value.type.is_integer:
        raise t.mismatch(f"NUMERIC_VALUE_OUT_OF_RANGE: {as_written(node)}", str(value.constant))
    if not (value.type.is_number or value.type.name.startswith("interval")):
        raise t.mismatch(f"{as_written(node)} is no number.", str(value.type))
    constant = -value.constant if isinstance(value.constant, int | float) else None
    if value.type.is_integer and constant is None:
        return Value(checked(f"-{value.sql}"), value.type)
    return Value(f"(-{value.sql})", value.type, constant=constant)


def _not(e: Expressions, node: exp.Not) -> Value:
    return Value(f"(NOT {e.condition(node.this)})", t.BOOLEAN)


def _connector(word: str) -> Callable[[Expressions, Node], Value]:
    def translate(e: Expressions, node: Node) -> Value:
        parts = [e.condition(part) for part in node.flatten(unnest=False)]
        decided = _DECIDED[word]  # Trino evaluates nothing beside it
        return Value(decided if decided in parts else connect(word, parts), t.BOOLEAN)

    return translate


_MAY_RAISE = re.compile(rf"\b{PREFIX}|\bgreatest\(|\bCAST\((?!['$\d-])|::DECIMAL")
"""What may raise for a row: macros, whole-number arithmetic, and casts of what is no literal."""


def connect(word: str, parts: Sequence[str]) -> str:
    """Connect conditions with AND or OR, which Trino evaluates from left to right.

    ``x <> 0 AND 10 / x > 1`` raises nothing where x is 0. DuckDB evaluates both sides for all
    rows, so a condition that may raise is asked only where those before it leave it open.
    """
    risky = [n for n, part in enumerate(parts) if n and _MAY_RAISE.search(part)]
    guards = [part for part in parts if "(SELECT " not in part]
    if not risky or len(guards) < len(parts):
        return "(" + f" {word} ".join(parts) + ")"
    guarded = parts[risky[-1]]
    for part in reversed(parts[: risky[-1]]):
        decided = _DECIDED[word]
        rest = f"CASE WHEN {part} IS {decided} THEN {decided} ELSE {guarded} END"
        guarded = f"({part} {word} {rest})"
    plain = [part for part in parts if not _MAY_RAISE.search(part)]
    return "(" + f" {word} ".join([*plain, guarded]) + ")"


_DECIDED = {"AND": "FALSE", "OR": "TRUE"}
"""The operand that decides, whatever the others are."""


def _comparison(op: str) -> Callable[[Expressions, exp.Binary], Value]:
    def translate(e: Expressions, node: exp.Binary) -> Value:
        quantified = node.expression
        if isinstance(quantified, exp.Any | exp.All):
            return _quantified(e, node, op, quantified)
        return compare(e, e(node.this), op, e(node.expression), as_written(node))

    return translate


def compare(e: Expressions, left: Value, op: str, right: Value, what: Words) -> Value:
    """Compare two values as Trino does: NaN is equal to nothing and larger than nothing."""
    common = t.common_type(left.type, right.type)
    if common is None:
        raise t.mismatch(f"{what!r} compares two types.", f"{left.type} and {right.type}")
    is_distinct = op.startswith("IS ")
    if common.inside and (not is_distinct or common.has_float):
        raise refuse(
            what,
            f"Trino compares {common.name}s with nulls inside as unknown.",
            "Compare their elements.",
        )
    if common.name == "json" and op not in ("=", "<>", "IS DISTINCT FROM", "IS NOT DISTINCT FROM"):
        raise refuse(what, "JSON has no order.")
    left, right = (_comparable(e, v, common) for v in (left, right))
    plain = f"{left.sql} {op} {right.sql}"
    if is_distinct or not common.is_float:
        return Value(f"({plain})", t.BOOLEAN)
    return Value(f"({_with_nan(left, op, right, plain)})", t.BOOLEAN)


def _comparable(e: Expressions, value: Value, common: t.Type) -> Value:
    if value.type.is_number and common.is_number and not common.is_float:
        return value
    if value.type.is_number and common.is_number and value.type.is_float and common != t.REAL:
        return value if value.type == common else e.cast(value, common)
    return e.coerce(value, common)


def _with_nan(left: Value, op: str, right: Value, plain: str) -> str:
    """Compare with NaN: DuckDB takes it for equal to itself and largest, Trino for neither."""
    if op == "<>":
        if left.is_finite or right.is_finite:
            return plain
        return f"{plain} OR (isnan({left.sql}) AND ({right.sql}) IS NOT NULL)"
    large, other = (right, left) if op in ("<", "<=") else (left, right)
    if large.is_finite or (op == "=" and other.is_finite):
        return plain
    guard = f"NOT isnan({large.sql})"
    return (
        f"{plain} AND {guard}"
        if other.is_finite
        else (f"{plain} AND ({guard} OR ({other.sql}) IS NULL)")
    )


def _quantified(e: Expressions, node: exp.Binary, op: str, quantified: exp.Any | exp.All) -> Value:
    left = e(node.this)
    query = quantified.this.this if isinstance(quantified.this, exp.Subquery) else quantified.this
    if not isinstance(query, exp.Query | exp.Values):
        raise refuse(as_written(node), "ANY and ALL take a query.")
    text, columns = e.columns.subquery(query)  # pyright: ignore[reportArgumentType]
    common = t.common_type(left.type, columns[0].type) if len(columns) == 1 else None
    if common is None or common.has_float:
        raise refuse(as_written(node), "ANY and ALL compare one column of the same type.")
    word = "ANY" if isinstance(quantified, exp.Any) else "ALL"
    return Value(f"({e.coerce(left, common).sql} {op} {word} ({text}))", t.BOOLEAN)


def _is(e: Expressions, node: exp.Is) -> Value:
    if not isinstance(node.expression, exp.Null):
        raise refuse(as_written(node), "Only IS NULL and IS NOT NULL are in Trino's dialect.")
    return Value(f"({e(node.this).sql} IS NULL)", t.BOOLEAN)


def _between(e: Expressions, node: exp.Between) -> Value:
    what = as_written(node)
    value, low, high = e(node.this), e(node.args["low"]), e(node.args["high"])
    pair = compare(e, value, ">=", low, what), compare(e, value, "<=", high, what)
    return Value(connect("AND", [part.sql for part in pair]), t.BOOLEAN)


def _in(e: Expressions, node: exp.In) -> Value:
    what = as_written(node)
    if isinstance(node.this, exp.Tuple):
        return _in_rows(e, node)
    left = e(node.this)
    query = node.args.get("query") or _listed_values(node)
    if query is not None:
        return _in_query(e, left, query.this if isinstance(query, exp.Subquery) else query, what)
    values = [e(item) for item in node.expressions]
    common = t.common_of([left.type, *(v.type for v in values)])
    if common is None:
        raise t.mismatch(
            f"{what!r} compares different types.",
            ", ".join(dict.fromkeys(str(v.type) for v in [left, *values])),
        )
    if common.inside or (common.is_float and not all(v.is_finite for v in values)):
        either = " OR ".join(compare(e, left, "=", v, what).sql for v in values)
        return Value(_with_all_asked(node, f"({either})", values), t.BOOLEAN)
    items = ", ".join(_comparable(e, v, common).sql for v in values)
    text = f"({_comparable(e, left, common).sql} IN ({items}))"
    return Value(_with_all_asked(node, text, values), t.BOOLEAN)


def _with_all_asked(node: exp.In, text: str, values: Sequence[Value]) -> str:
    """Ask the values of a list that may raise, as Trino does outside of WHERE, HAVING and ON.

    DuckDB makes TRUE of ``1 IN (1, 10 / x)`` before it runs, whatever x is.
    """
    risky = [value.sql for value in values if _MAY_RAISE.search(value.sql)]
    around = node.find_ancestor(exp.Where, exp.Having, exp.Join, exp.Select)
    is_filter = around is not None and not isinstance(around, exp.Select)
    if not risky or is_filter or not _is_constant(node.this):
        return text
    asked = ", ".join(f"({sql}) IS NULL" for sql in risky)
    return f"CASE WHEN len([{asked}]) > 0 THEN {text} END"


def _is_constant(node: Node) -> bool:
    """Return whether an expression is the same for all rows, and not null."""
    return node.find(exp.Column, exp.Identifier, exp.Query, exp.Null) is None


def _listed_values(node: exp.In) -> Node | None:
    """Translate the VALUES of ``x IN (VALUES ...)``."""
    items = node.expressions
    return items[0] if len(items) == 1 and isinstance(items[0], exp.Values) else None


def _in_rows(e: Expressions, node: exp.In) -> Value:
    """Translate rows in a list of rows: every part is equal to its partner."""
    what = as_written(node)
    if node.args.get("query") is not None or _listed_values(node) is not None:
        raise refuse(
            what,
            "Rows in a query are compared as unknown where they hold null.",
            "Write EXISTS with a condition for each column.",
        )
    alternatives = []
    for item in node.expressions:
        parts = item.expressions if isinstance(item, exp.Tuple) else []
        if len(parts) != len(node.this.expressions):
            raise t.mismatch(f"{what!r} compares rows of different lengths.", as_written(item))
        pairs = zip(node.this.expressions, parts, strict=True)
        equal = [compare(e, e(a), "=", e(b), what).sql for a, b in pairs]
        alternatives.append(f"({' AND '.join(equal)})")
    return Value(f"({' OR '.join(alternatives)})", t.BOOLEAN)


def _in_query(e: Expressions, left: Value, query: Node, what: Words) -> Value:
    text, columns = e.columns.subquery(query)  # pyright: ignore[reportArgumentType]
    if len(columns) != 1:
        raise t.mismatch(f"{what!r} asks a query of several columns.", str(len(columns)))
    common = t.common_type(left.type, columns[0].type)
    if common is None or common.inside or common.name == "char":
        raise t.mismatch(f"{what!r} compares two types.", f"{left.type} and {columns[0].type}")
    if left.type != columns[0].type and not (left.type.is_number or left.type.is_text):
        text = f"SELECT {e.coerce(Value('c', columns[0].type), common).sql} FROM ({text}) AS q(c)"
        left = e.coerce(left, common)
    return Value(f"({left.sql} IN ({text}))", t.BOOLEAN)


def _exists(e: Expressions, node: exp.Exists) -> Value:
    query = node.this.this if isinstance(node.this, exp.Subquery) else node.this
    return Value(f"EXISTS ({e.columns.subquery(query)[0]})", t.BOOLEAN)


def _scalar_subquery(e: Expressions, node: Node) -> Value:
    query = node.this if isinstance(node, exp.Subquery) else node
    text, columns = e.columns.subquery(query)  # pyright: ignore[reportArgumentType]
    if len(columns) != 1:
        raise t.mismatch(f"{as_written(node)!r} has several columns.", str(len(columns)))
    return Value(f"({text})", columns[0].type)


def _like(e: Expressions, node: exp.Like, escape: Node | None = None) -> Value:
    value, pattern = (e(part) for part in (node.this, node.expression))
    if not all(v.type.is_text or v.type == t.UNKNOWN for v in (value, pattern)):
        raise t.mismatch(f"{as_written(node)!r} is about text.", f"{value.type} and {pattern.type}")
    word = "NOT LIKE" if node.args.get("negate") else "LIKE"
    if escape is None:
        return Value(f"({value.sql} {word} {pattern.sql})", t.BOOLEAN)
    letter = e(escape).sql
    checked_pattern = e.use("like_pattern", pattern.sql, letter)
    return Value(f"({value.sql} {word} {checked_pattern} ESCAPE {letter})", t.BOOLEAN)


def _escape(e: Expressions, node: exp.Escape) -> Value:
    if not isinstance(node.this, exp.Like):
        raise refuse(as_written(node), "ESCAPE belongs to LIKE.")
    return _like(e, node.this, node.expression)


def _case(e: Expressions, node: exp.Case) -> Value:
    branches = node.args["ifs"]
    default = node.args.get("default")
    results = [branch.args["true"] for branch in branches] + ([default] if default else [])
    values, common = e.to_common(results, "CASE")
    conditions = [_when(e, node.this, branch.this) for branch in branches]
    pairs = zip(conditions, values[: len(conditions)], strict=True)
    text = " ".join(f"WHEN {c} THEN {v.sql}" for c, v in pairs)
    tail = f" ELSE {values[-1].sql}" if default else ""
    return Value(f"CASE {text}{tail} END", common)


def _when(e: Expressions, operand: Node | None, test: Node) -> str:
    if operand is None:
        return e.condition(test)
    return compare(e, e(operand), "=", e(test), "CASE").sql


def _if(e: Expressions, node: exp.If) -> Value:
    default = node.args.get("false")
    values, common = e.to_common([node.args["true"], *([default] if default else [])], "IF")
    tail = f" ELSE {values[1].sql}" if default else ""
    return Value(f"CASE WHEN {e.condition(node.this)} THEN {values[0].sql}{tail} END", common)


def _cast(e: Expressions, node: exp.Cast) -> Value:
    wanted = type_of_node(node.args["to"])
    return e.cast(e(node.this), wanted, safe=isinstance(node, exp.TryCast))


def type_of_node(node: Node) -> t.Type:
    """Translate the type that is written in a CAST."""
    if isinstance(node.this, exp.Interval):
        span = node.this.args["unit"].sql().upper()
        return t.YEAR_TO_MONTH if "MONTH" in span else t.DAY_TO_SECOND
    name = node.this.value.lower() if hasattr(node.this, "value") else str(node.this)
    parts = node.expressions
    numbers = tuple(
        int(p.this.this)
        for p in parts
        if isinstance(p, exp.DataTypeParam) and p.this.this.isdigit()
    )
    match name:
        case "struct":
            fields = list(parts)
            named = [isinstance(p, exp.ColumnDef) for p in fields]
            return t.row(
                [
                    type_of_node(p.args["kind"] if n else p)
                    for p, n in zip(fields, named, strict=True)
                ],
                [p.name if n else "" for p, n in zip(fields, named, strict=True)],
            )
        case "array" | "list":
            return t.array(type_of_node(parts[0]))
        case "map":
            return t.map_of(*(type_of_node(p) for p in parts))
        case "decimal":
            precision = numbers[0] if numbers else t.MAX_DIGITS
            return t.decimal(precision, numbers[1] if len(numbers) > 1 else 0)
        case "timestamp":
            return t.timestamp(numbers[0] if numbers else 3)
        case "timestamptz":
            return t.timestamptz(numbers[0] if numbers else 3, None)
        case "char":
            return t.Type("char", numbers or (1,))
        case "varchar" | "text":
            return t.Type("varchar", numbers)
        case "time":
            return t.Type("time", numbers or (3,))
    name = _TYPE_NAMES.get(name, name)
    if name not in _PLAIN_TYPES:
        raise refuse(node.sql(dialect="trino"), "The embedded engine has no such type.")
    return t.Type(name)


_TYPE_NAMES = {"int": "integer", "float": "real"}
_PLAIN_TYPES = frozenset(
    [
        "boolean",
        "tinyint",
        "smallint",
        "integer",
        "bigint",
        "real",
        "double",
        "date",
        "varbinary",
        "json",
        "uuid",
    ]
)


def _array(e: Expressions, node: exp.Array) -> Value:
    values, common = e.to_common(node.expressions, "ARRAY")
    items = ", ".join(v.sql for v in values)
    return Value(f"[{items}]", t.array(common)) if values else Value("[]", t.array(t.UNKNOWN))


def _tuple(e: Expressions, node: Node) -> Value:
    return make_row([e(item) for item in node.expressions])


def make_row(values: Sequence[Value]) -> Value:
    """Translate a row without names."""
    kind = t.row([v.type for v in values])
    pairs = zip(t.field_names(kind), values, strict=True)
    parts = ", ".join(f"{quote_identifier(n)} := {_typed(v)}" for n, v in pairs)
    return Value(f"struct_pack({parts})", kind)


def _typed(value: Value) -> str:
    return null_of(value, "INTEGER") if value.type == t.UNKNOWN else value.sql


def _bracket(e: Expressions, node: exp.Bracket) -> Value:
    value, (index,) = e(node.this), [e(i) for i in node.expressions]
    if value.type.name == "map":
        key = e.coerce(index, value.type.inside[0])
        return Value(e.use("map_subscript", value.sql, key.sql), value.type.inside[1])
    if value.type.name == "row":
        if not isinstance(index.constant, int) or not 0 < index.constant <= len(value.type.inside):
            raise t.mismatch(f"{as_written(node)!r} is no field.", str(value.type))
        name = t.field_names(value.type)[index.constant - 1]
        kind = value.type.inside[index.constant - 1]
        return Value(f"struct_extract({value.sql}, {literal(name)})", kind)
    if value.type.name != "array" or not index.type.is_integer:
        raise t.mismatch(f"{as_written(node)!r} is no element.", f"{value.type}[{index.type}]")
    return Value(e.use("array_subscript", value.sql, index.sql), value.type.inside[0])


def _interval(e: Expressions, node: exp.Interval) -> Value:
    unit, text = node.args["unit"].sql().upper(), node.this
    if not isinstance(text, exp.Literal):
        raise refuse(as_written(node), "An interval is a text and a unit.")
    return interval_literal(text.this, unit, as_written(node))


_SECONDS = {"SECOND": 1, "MINUTE": 60, "HOUR": 3600, "DAY": 86400}


def interval_literal(text: str, unit: str, what: Words) -> Value:
    """Translate an interval, in microseconds: DuckDB holds seconds apart from days."""
    if unit in ("YEAR", "MONTH") and re.fullmatch(r"[+-]?\d+", text):
        months = int(text) * (12 if unit == "YEAR" else 1)
        return Value(f"to_months({months})", t.YEAR_TO_MONTH)
    match = re.fullmatch(r"([+-]?)(\d+)-(\d+)", text)
    if unit == "YEAR TO MONTH" and match:
        months = int(match[2]) * 12 + int(match[3])
        return Value(f"to_months({match[1]}{months})", t.YEAR_TO_MONTH)
    whole, parts = r"[+-]?\d+", r"[+-]?\d+(\.\d{1,3})?"
    if unit in _SECONDS and re.fullmatch(parts if unit == "SECOND" else whole, text):
        return Value(_seconds(float(text) * _SECONDS[unit]), t.DAY_TO_SECOND)
    match = re.fullmatch(r"([+-]?)(?:(\d+) )?(\d+)(?::(\d+))?(?::(\d+(?:\.\d{1,3})?))?", text)
    if match and unit.startswith("DAY TO"):
        days, hours, minutes, seconds = (float(p or 0) for p in match.groups()[1:])
        total = days * 86400 + hours * 3600 + minutes * 60 + seconds
        return Value(_seconds(-total if match[1] == "-" else total), t.DAY_TO_SECOND)
    raise refuse(what, "The embedded engine reads intervals of one unit, or DAY TO a smaller one.")


def _seconds(seconds: float) -> str:
    return f"to_microseconds({round(seconds * 1e6)})"


def _at_time_zone(e: Expressions, node: exp.AtTimeZone) -> Value:
    return at_zone(e, e(node.this), e(node.args["zone"]), as_written(node))


def at_zone(e: Expressions, value: Value, zone: Value, what: Words) -> Value:
    """Translate the same instant with another zone; a timestamp without one is in UTC."""
    if value.type.name not in ("timestamp", "timestamptz") or zone.text is None:
        raise refuse(what, "AT TIME ZONE takes a timestamp and a zone that is written out.")
    instant = e.cast(value, t.timestamptz(value.type.numbers[0]))
    return Value(instant.sql, t.timestamptz(value.type.numbers[0], checked_zone(zone.text)))


def checked_zone(name: str) -> str:
    """Translate a zone's name as Trino takes it.

    Raises:
        QueryError: There is no such zone.
    """
    from zoneinfo import ZoneInfo

    if re.fullmatch(r"[+-]\d\d:\d\d", name):
        return name
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError) as exc:
        raise QueryError(
            f"There is no time zone {name!r}.",
            got=repr(name),
            expected="a name such as 'Europe/Berlin', or an offset such as '+02:00'",
        ) from exc
    return name


def _window(e: Expressions, node: exp.Window) -> Value:
    """Translate a function with OVER, which stands behind the call, inside of casts around it."""
    over = e.columns.window(node)
    e.over = f" OVER {over}"
    try:
        value = e(node.this)
        if e.over:
            what = as_written(node.this)
            raise t.mismatch(f"FUNCTION_NOT_WINDOW: {what} is no window function.", str(what))
        return value
    finally:
        e.over = e.nulls = ""


def _ignore_nulls(e: Expressions, node: Node) -> Value:
    e.nulls = " IGNORE NULLS" if isinstance(node, exp.IgnoreNulls) else " RESPECT NULLS"
    return e(node.this)


def _function(e: Expressions, node: Node) -> Value:
    from phlo_iceberg.read.dialect.functions import call

    name = node.this if isinstance(node.this, str) else node.name
    return call(e, name.removeprefix(MARK).lower(), node)


def _named(name: str, *parts: str) -> Callable[[Expressions, Node], Value]:
    """Translate a function that sqlglot knows by a class, because its syntax is its own."""

    def translate(e: Expressions, node: Node) -> Value:
        from phlo_iceberg.read.dialect.functions import call

        arguments = [node.args[p] for p in parts if node.args.get(p) is not None]
        return call(e, name, node, arguments)

    return translate


def _filter(e: Expressions, node: exp.Filter) -> Value:
    from phlo_iceberg.read.dialect.functions import call_filtered, listagg

    if isinstance(node.this, exp.GroupConcat):
        return listagg(e, node.this, e.condition(node.expression.this))
    return call_filtered(e, node.this, e.condition(node.expression.this))


def _special(name: str) -> Callable[[Expressions, Node], Value]:
    def translate(e: Expressions, node: Node) -> Value:
        from phlo_iceberg.read.dialect import functions

        return getattr(functions, name)(e, node)

    return translate


def _arithmetic(op: str) -> Callable[[Expressions, exp.Binary], Value]:
    def translate(e: Expressions, node: exp.Binary) -> Value:
        from phlo_iceberg.read.dialect.arithmetic import calculate

        return calculate(e, e(node.this), op, e(node.expression), as_written(node))

    return translate


_KNOWN_PARTS = frozenset(
    [
        *("this", "expression", "expressions", "true", "false", "ifs", "default", "low", "high"),
        *("query", "to", "safe", "unit", "zone", "alias", "partition_by", "order", "spec", "over"),
        *("quoted", "is_string", "table", "db", "catalog", "typed", "position", "start", "length"),
        *("substr", "returning", "path", "option", "json_query", "separator", "negate"),
        *("is_literal", "null_handling", "unique_keys", "return_type", "encoding", "on_condition"),
        *("quote", "on_overflow", "only_json_types", "form"),
    ]
)
"""Parts of expressions that some rule reads, or that change nothing; others are refused."""

_NODES: dict[str, Callable[..., Value]] = {
    "Literal": _literal,
    "Null": _null,
    "Boolean": _boolean,
    "HexString": _hex,
    "Column": _column,
    "Identifier": _identifier,
    "Dot": _dot,
    "Paren": _paren,
    "Neg": _neg,
    "Not": _not,
    "And": _connector("AND"),
    "Or": _connector("OR"),
    "EQ": _comparison("="),
    "NEQ": _comparison("<>"),
    "GT": _comparison(">"),
    "GTE": _comparison(">="),
    "LT": _comparison("<"),
    "LTE": _comparison("<="),
    "NullSafeEQ": _comparison("IS NOT DISTINCT FROM"),
    "NullSafeNEQ": _comparison("IS DISTINCT FROM"),
    "Is": _is,
    "Between": _between,
    "In": _in,
    "Exists": _exists,
    "Subquery": _scalar_subquery,
    "Select": _scalar_subquery,
    "Like": _like,
    "Escape": _escape,
    "Case": _case,
    "If": _if,
    "Cast": _cast,
    "TryCast": _cast,
    "Array": _array,
    "Tuple": _tuple,
    "Bracket": _bracket,
    "Interval": _interval,
    "AtTimeZone": _at_time_zone,
    "Window": _window,
    "IgnoreNulls": _ignore_nulls,
    "RespectNulls": _ignore_nulls,
    "Anonymous": _function,
    "Filter": _filter,
    "Add": _arithmetic("+"),
    "Sub": _arithmetic("-"),
    "Mul": _arithmetic("*"),
    "Div": _arithmetic("/"),
    "Mod": _arithmetic("%"),
    "DPipe": _arithmetic("||"),
    "CurrentDate": _named("current_date"),
    "CurrentTimestamp": _named("current_timestamp"),
    "Localtimestamp": _named("localtimestamp"),
    "Substring": _named("substring", "this", "start", "length"),
    "StrPosition": _named("strpos", "this", "substr"),
    "Trim": _special("trim"),
    "Normalize": _special("normalize"),
    "Extract": _special("extract"),
    "ParseJSON": _named("json_parse", "this"),
    "JSONValue": _special("json_value"),
    "JSONExtract": _special("json_query"),
    "JSONObject": _special("json_object"),
    "GroupConcat": _special("listagg"),
}
