"""Queries of Trino as queries of DuckDB: their clauses, and the columns that each part gives."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from phlo.errors import QueryError
from phlo.sql import quote_identifier
from sqlglot import exp

from phlo_iceberg.read.dialect import types as t
from phlo_iceberg.read.dialect.expressions import Expressions, struct_field
from phlo_iceberg.read.dialect.functions import ordered
from phlo_iceberg.read.dialect.parser import MARK, PARAMETER, as_written
from phlo_iceberg.read.dialect.values import Node, Value, Words, null_of, refuse

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Unnamed(str):
    """The name that a column without one is shown by, which no query can name."""

    __slots__ = ()


@dataclass(frozen=True)
class Output:
    """A column that a query or table gives.

    Attributes:
        name: Its name for the query; several columns may have the same.
        type: Its type in Trino.
        alias: Its name in DuckDB, where another column has its own.
    """

    name: str
    type: t.Type
    alias: str = ""


@dataclass
class Source:
    """What stands in FROM under one name."""

    alias: str
    columns: list[Output]

    def find(self, name: str) -> Output | None:
        """Translate a column by its name, whose case does not matter.

        Raises:
            QueryError: Several columns have it.
        """
        named = [c for c in self.columns if not isinstance(c.name, Unnamed)]
        columns = [c for c in named if c.name.lower() == name.lower()]
        if len(columns) > 1:
            raise QueryError(
                f"AMBIGUOUS_NAME: Column {name!r} is ambiguous.",
                got=name,
                expected=f"a name that only one column of {self.alias} has",
                hint="Give the columns different names.",
            )
        return columns[0] if columns else None


@dataclass
class Context:
    """What is the same in all of a query.

    Attributes:
        table: Gives the columns of a table, and its text for DuckDB.
        parameters: Types of the values for ``?``.
        uses: Macros and Python functions that the text calls.
        ctes: Columns of the named queries around.
    """

    table: Callable[[exp.Table], tuple[str, list[Output]]]
    parameters: Sequence[t.Type]
    uses: set[str]
    ctes: dict[str, list[Output]] = field(default_factory=dict)


@dataclass
class Scope:
    """The sources that names in one SELECT may stand for."""

    context: Context
    outer: Scope | None = None
    sources: list[Source] = field(default_factory=list)
    merged: dict[str, t.Type] = field(default_factory=dict)
    outputs: dict[str, Value] | None = None
    windows: frozenset[str] = frozenset()
    expressions: Expressions = field(init=False)

    def __post_init__(self) -> None:
        self.expressions = Expressions(self, self.context.uses)

    def column(self, node: exp.Column) -> Value:
        """Resolve a name, from the innermost query outwards."""
        scope: Scope | None = self
        while scope is not None:
            value = scope.own_column(node)
            if value is not None:
                return value
            scope = scope.outer
        raise self._missing(node)

    def own_column(self, node: exp.Column) -> Value | None:
        """Resolve a name among the sources of this query."""
        parts = [p.name for p in node.parts]
        if len(parts) == 1:
            return self._by_name(parts[0], as_written(node))
        found = self._qualified(parts)
        if found is not None:
            return found
        # A column, and the fields inside it.
        whole = self.expressions.lambdas.get(parts[0].lower()) or self._by_name(
            parts[0], as_written(node)
        )
        if whole is None or whole.type.name != "row":
            return None
        for part in parts[1:]:
            whole = struct_field(whole, part)
        return whole

    def _qualified(self, parts: list[str]) -> Value | None:
        for source in self.sources:
            if source.alias.lower() != parts[0].lower() or parts[1].lower() in self.merged:
                continue
            column = source.find(parts[1])
            if column is None:
                return None
            value = _column_of(source, column)
            for part in parts[2:]:
                value = struct_field(value, part)
            return value
        return None if len(parts) < 3 else self._qualified(parts[1:])

    def _by_name(self, name: str, what: Words) -> Value | None:
        if self.outputs is not None and name.lower() in self.outputs:
            return self.outputs[name.lower()]
        if name.lower() in self.merged:
            return Value(quote_identifier(name), self.merged[name.lower()])
        held = [(s, c) for s in self.sources if (c := s.find(name)) is not None]
        if len(held) > 1:
            raise QueryError(
                f"Column {what!r} is ambiguous.",
                got=str(what),
                expected=" or ".join(f"{s.alias}.{c.name}" for s, c in held),
                hint="Write the table before it.",
            )
        return _column_of(*held[0]) if held else None

    def _missing(self, node: exp.Column) -> QueryError:
        what = as_written(node)
        names = [c.name for source in self.sources for c in source.columns]
        return QueryError(
            f"COLUMN_NOT_FOUND: There is no column {what!r}.",
            got=str(what),
            expected=f"one of {names[:30]}",
            hint="Name a column of the tables in FROM; texts stand in single quotes.",
        )

    def subquery(self, node: exp.Query) -> tuple[str, list[Output]]:
        """Translate a query that sees this one's columns."""
        return translate_query(node, self.context, self)

    def parameter(self, number: int) -> Value:
        """Translate a value given from outside."""
        if number > len(self.context.parameters):
            raise QueryError(
                "The query has more parameters than values.",
                got=f"{len(self.context.parameters)} values",
                expected="one for each ?",
            )
        kind = self.context.parameters[number - 1]
        return Value(f"CAST(${number} AS {t.duckdb_type(kind)})", kind)

    def window(self, node: exp.Window) -> str:
        """Translate what stands after OVER, or after AS in WINDOW."""
        e = self.expressions
        parts = []
        alias = node.args.get("alias")
        if alias is not None and not (
            node.args.get("partition_by") or node.args.get("order") or node.args.get("spec")
        ):
            return quote_identifier(alias.name)
        if alias is not None:
            parts.append(quote_identifier(alias.name))
        if node.args.get("partition_by"):
            parts.append("PARTITION BY " + ", ".join(e(p).sql for p in node.args["partition_by"]))
        if node.args.get("order") is not None:
            items = node.args["order"].expressions
            parts.append("ORDER BY " + ", ".join(ordered(e, item) for item in items))
        if node.args.get("spec") is not None:
            parts.append(self._frame(node.args["spec"]))
        return f"({' '.join(parts)})"

    def _frame(self, spec: Node) -> str:
        if spec.args.get("exclude"):
            raise refuse(as_written(spec), "Trino has no EXCLUDE.")
        bounds = []
        for place in ("start", "end"):
            bound, side = spec.args.get(place), spec.args.get(f"{place}_side") or ""
            text = bound if isinstance(bound, str) else self._bound(bound)
            bounds.append(f"{text} {side}".strip())
        return (
            f"{spec.args['kind']} BETWEEN {bounds[0]} AND {bounds[1]}".upper()
            if all(b.replace(" ", "").isalnum() for b in bounds)
            else f"{spec.args['kind']} BETWEEN {bounds[0]} AND {bounds[1]}"
        )

    def _bound(self, bound: Node | None) -> str:
        return "CURRENT ROW" if bound is None else self.expressions(bound).sql


def _column_of(source: Source, column: Output) -> Value:
    name = quote_identifier(column.alias or column.name)
    return Value(f"{quote_identifier(source.alias)}.{name}", column.type)


def argument(node: Node, name: str) -> Any:
    """Return an argument of a node, whose name ends with ``_`` in some versions of sqlglot."""
    return node.args.get(f"{name}_") or node.args.get(name)


def translate_query(
    node: Node, context: Context, outer: Scope | None = None
) -> tuple[str, list[Output]]:
    """Translate a query.

    Returns:
        Its text for DuckDB, and its columns.

    Raises:
        QueryError: A part has no rule, or its types do not fit.
    """
    with_ = argument(node, "with")
    if with_ is not None:
        context = replace(context, ctes=dict(context.ctes))
        prefix = _with(with_, context, outer)
    else:
        prefix = ""
    if isinstance(node, exp.Select):
        text, columns = _select(node, Scope(context, outer))
    elif isinstance(node, exp.SetOperation):
        text, columns = _set_operation(node, context, outer)
    elif isinstance(node, exp.Subquery):
        text, columns = _parenthesized(node, context, outer)
    elif isinstance(node, exp.Values):
        text, columns = _values(node, Scope(context, outer))
    else:
        raise refuse(as_written(node), "It is no query that the embedded engine translates.")
    return prefix + text, columns


def _with(node: exp.With, context: Context, outer: Scope | None) -> str:
    parts = []
    for cte in node.expressions:
        name = cte.args["alias"].name
        names = [c.name for c in cte.args["alias"].args.get("columns") or []]
        query = cte.this
        if node.args.get("recursive") and isinstance(query, exp.Union):
            text, columns = _recursive(name, names, query, context, outer)
        else:
            text, columns = translate_query(query, context, outer)
        columns = _renamed(columns, names)
        context.ctes[name.lower()] = columns
        listed = ", ".join(quote_identifier(c.name) for c in columns)
        parts.append(f"{quote_identifier(name)} ({listed}) AS ({text})")
    word = "WITH RECURSIVE " if node.args.get("recursive") else "WITH "
    return word + ", ".join(parts) + " "


def _recursive(
    name: str, names: list[str], query: exp.Union, context: Context, outer: Scope | None
) -> tuple[str, list[Output]]:
    first, columns = translate_query(query.this, context, outer)
    columns = _renamed(columns, names)
    context.ctes[name.lower()] = columns
    rest, held = translate_query(query.expression, context, outer)
    rest = _as_types(rest, held, [c.type for c in columns], context)
    word = "UNION" if query.args.get("distinct") else "UNION ALL"
    return f"{first} {word} {rest}", columns


def _renamed(columns: list[Output], names: Sequence[str]) -> list[Output]:
    if not names:
        return columns
    if len(names) != len(columns):
        raise QueryError(
            "A list of column names is as long as the query has columns.",
            got=f"{len(names)} names for {len(columns)} columns",
            expected=f"{len(columns)} names",
        )
    return [Output(n, c.type) for c, n in zip(columns, names, strict=True)]


def _parenthesized(
    node: exp.Subquery, context: Context, outer: Scope | None
) -> tuple[str, list[Output]]:
    text, columns = translate_query(node.this, context, outer)
    text = f"({text})"
    return text + _tail(node, context, columns), columns


def _set_operation(
    node: exp.SetOperation, context: Context, outer: Scope | None
) -> tuple[str, list[Output]]:
    word = type(node).__name__.upper()
    for option in ("by_name", "side", "kind", "on"):
        if node.args.get(option):
            raise refuse(as_written(node), "It is no set operation of Trino.")
    operands: list[Node] = [node.expression]
    left, is_distinct = node.this, bool(node.args.get("distinct"))
    while (
        isinstance(left, exp.Union)
        and isinstance(node, exp.Union)
        and not is_distinct
        and not left.args.get("distinct")
        and not any(left.args.get(a) for a in ("order", "limit", "offset"))
        and argument(left, "with") is None
    ):
        operands.append(left.expression)
        left = left.this
    sides = [translate_query(part, context, outer) for part in [left, *reversed(operands)]]
    columns = _common_columns(node, [columns for _, columns in sides])
    kinds = [c.type for c in columns]
    texts = [_as_types(text, held, kinds, context) for text, held in sides]
    glue = f" {word} " if is_distinct else f" {word} ALL "
    return glue.join(f"({x})" for x in texts) + _tail(node, context, columns), columns


def _common_columns(node: Node, sides: list[list[Output]]) -> list[Output]:
    first = sides[0]
    if any(len(side) != len(first) for side in sides):
        raise t.mismatch(
            "The sides of a set operation have different numbers of columns.",
            ", ".join(str(len(side)) for side in sides),
        )
    columns = []
    for number, column in enumerate(first):
        kind = t.common_of(side[number].type for side in sides)
        if kind is None:
            raise t.mismatch(
                f"Column {column.name!r} has different types on the sides of a set operation.",
                ", ".join(dict.fromkeys(str(side[number].type) for side in sides)),
            )
        columns.append(Output(column.name, kind))
    return columns


def _as_types(text: str, columns: list[Output], wanted: list[t.Type], context: Context) -> str:
    """Cast the columns of a query where their types are not the common ones."""
    if all(
        t.duckdb_type(c.type) == t.duckdb_type(w)
        and c.type != t.UNKNOWN
        and (c.type == w or w.name != "char")
        for c, w in zip(columns, wanted, strict=True)
    ):
        return text
    e = Expressions(Scope(context), context.uses)
    names = [f"c{n}" for n in range(len(columns))]
    values = [e.coerce(Value(n, c.type), w) for n, c, w in zip(names, columns, wanted, strict=True)]
    items = [f"{v.sql} AS {quote_identifier(c.name)}" for v, c in zip(values, columns, strict=True)]
    return f"SELECT {', '.join(items)} FROM ({text}) AS q({', '.join(names)})"


def _tail(node: Node, context: Context, columns: list[Output]) -> str:
    """Translate ORDER BY, OFFSET and LIMIT after a set operation: they know its columns alone."""
    scope = Scope(context)
    scope.outputs = {c.name.lower(): Value(quote_identifier(c.name), c.type) for c in columns}
    return _order_by(node, scope, columns) + _limit(node, scope)


_KNOWN_CLAUSES = frozenset(
    [
        "with",
        "with_",
        "kind",
        "expressions",
        "distinct",
        "from",
        "from_",
        "joins",
        "laterals",
        "where",
        "group",
        "having",
        "windows",
        "order",
        "limit",
        "offset",
        "operation_modifiers",
    ]
)


def _select(node: exp.Select, scope: Scope) -> tuple[str, list[Output]]:
    for name, part in node.args.items():
        if part and name not in _KNOWN_CLAUSES and name != "sample":
            raise refuse(as_written(node), f"{name.upper()} is not translated.")
    from_text = _from(node, scope)
    if node.args.get("sample") is not None:
        from_text += _sample(node)
    e = scope.expressions
    where = argument(node, "where")
    where_text = f" WHERE {e.condition(where.this)}" if where is not None else ""
    items = _items(node, scope)
    group_text = _group(node, scope)
    having = node.args.get("having")
    having_text = f" HAVING {e.condition(having.this)}" if having is not None else ""
    windows = [
        f"{quote_identifier(w.name)} AS {scope.window(_unnamed(w))}"
        for w in node.args.get("windows") or []
    ]
    window_text = f" WINDOW {', '.join(windows)}" if windows else ""
    columns = [Output(name, value.type) for name, value in items]
    listed = ", ".join(f"{_nullable(value)} AS {quote_identifier(name)}" for name, value in items)
    distinct = _distinct(node)
    scope.outputs = _unique_outputs(items)
    _check_distinct_order(node, items, scope)
    order = _order_by(node, scope, columns)
    ties = _with_ties(node, scope, columns)
    limit = "" if ties else _limit(node, scope)
    text = (
        f"SELECT {distinct}{listed}{from_text}{where_text}{group_text}{having_text}{window_text}"
        f"{ties}{order}{limit}"
    )
    return text, columns


def _unnamed(window: exp.Window) -> exp.Window:
    plain = window.copy()
    plain.set("alias", None)
    return plain


def _nullable(value: Value) -> str:
    return null_of(value, "INTEGER") if value.type == t.UNKNOWN else value.sql


def _unique_outputs(items: list[tuple[str, Value]]) -> dict[str, Value]:
    outputs: dict[str, Value] = {}
    for name, value in items:
        outputs.setdefault(name.lower(), value)
    return outputs


def _distinct(node: exp.Select) -> str:
    distinct = node.args.get("distinct")
    if distinct is None:
        return ""
    if distinct.args.get("on") is not None:
        raise refuse("DISTINCT ON", "Trino has no such clause.")
    return "DISTINCT "


def _check_distinct_order(node: exp.Select, items: list[tuple[str, Value]], scope: Scope) -> None:
    """Raise where SELECT DISTINCT is ordered by what it does not select."""
    if node.args.get("distinct") is None or node.args.get("order") is None:
        return
    selected = {value.sql for _, value in items}
    for item in node.args["order"].expressions:
        is_ordinal = isinstance(item.this, exp.Literal) and not item.this.is_string
        if not is_ordinal and scope.expressions(item.this).sql not in selected:
            what = as_written(item.this)
            raise t.mismatch(
                f"EXPRESSION_NOT_IN_DISTINCT: SELECT DISTINCT has no {what!r} to be ordered by.",
                str(what),
                "Select it, or leave out DISTINCT.",
            )


def _items(node: exp.Select, scope: Scope) -> list[tuple[str, Value]]:
    items: list[tuple[str, Value]] = []
    for _number, item in enumerate(node.expressions):
        if isinstance(item, exp.Star):
            items += _star(scope)
        elif isinstance(item, exp.Column) and isinstance(item.this, exp.Star):
            items += _star(scope, item.table)
        else:
            value = scope.expressions(item.this if isinstance(item, exp.Alias) else item)
            items.append((_name(item, len(items)), value))
    return items


def _name(item: Node, number: int) -> str:
    if isinstance(item, exp.Alias):
        return item.alias
    if isinstance(item, exp.Column):
        return item.name
    return item.expression.name if isinstance(item, exp.Dot) else Unnamed(f"_col{number}")


def _star(scope: Scope, alias: str | None = None) -> list[tuple[str, Value]]:
    if alias is None:
        merged = [(n, Value(quote_identifier(n), k)) for n, k in scope.merged.items()]
        rest = [
            (c.name, _column_of(s, c))
            for s in scope.sources
            for c in s.columns
            if c.name.lower() not in scope.merged
        ]
        return merged + rest
    for source in scope.sources:
        if source.alias.lower() == alias.lower():
            return [
                (c.name, _column_of(source, c))
                for c in source.columns
                if c.name.lower() not in scope.merged
            ]
    raise QueryError(f"There is no table {alias!r} in FROM.", got=f"{alias}.*", expected="a table")


def _from(node: exp.Select, scope: Scope) -> str:
    from_ = argument(node, "from")
    if from_ is None:
        return ""
    text = f" FROM {_source(from_.this, scope)}"
    for join in [*(from_.this.args.get("joins") or []), *(node.args.get("joins") or [])]:
        text += _join(join, scope)
    for lateral in node.args.get("laterals") or []:
        text += f", {_source(lateral, scope)}"
    return text


def _join(join: exp.Join, scope: Scope) -> str:
    _check_parts(join, _JOIN_PARTS)
    side, kind = (join.args.get(a) or "" for a in ("side", "kind"))
    if join.args.get("method") or kind.upper() not in ("", "INNER", "CROSS", "OUTER"):
        raise refuse(as_written(join), "Trino has no such join.")
    before = list(scope.sources)
    source = _source(join.this, scope)
    on, using = join.args.get("on"), join.args.get("using")
    words = " ".join(
        w for w in (side.upper(), kind.upper() if kind.upper() != "OUTER" else "") if w
    )
    if using:
        names = [u.name for u in using]
        for name in names:
            _merge(name, before, scope)
        return f" {words} JOIN {source} USING ({', '.join(map(quote_identifier, names))})"
    if on is None:
        return f" CROSS JOIN {source}"
    return f" {words} JOIN {source} ON {scope.expressions.condition(on)}".replace("  ", " ")


def _merge(name: str, before: list[Source], scope: Scope) -> None:
    left = scope.merged.get(name.lower()) or next(
        (c.type for s in before if (c := s.find(name)) is not None), None
    )
    right = scope.sources[-1].find(name)
    common = None if left is None or right is None else t.common_type(left, right.type)
    if common is None or common.has_float:
        raise t.mismatch(f"USING ({name}) pairs columns that both sides have, of one type.", name)
    scope.merged[name.lower()] = common


_SOURCE_PARTS = frozenset(
    ["this", "db", "catalog", "alias", "sample", "joins", "expressions", "offset"]
)
_JOIN_PARTS = frozenset(["this", "side", "kind", "on", "using", "method"])


def _check_parts(node: Node, known: frozenset[str]) -> None:
    """Refuse what no rule reads, such as FOR VERSION AS OF."""
    for name, part in node.args.items():
        if part and name not in known:
            raise refuse(as_written(node), f"{name.upper()} is not translated.")


def _source(node: Node, scope: Scope) -> str:
    _check_parts(node, _SOURCE_PARTS)
    alias = node.args.get("alias")
    names = [c.name for c in alias.args.get("columns") or []] if alias is not None else []
    name = alias.name if alias is not None and alias.this is not None else ""
    if isinstance(node, exp.Table):
        return _table(node, scope, name, names)
    if isinstance(node, exp.Unnest):
        return _unnest(node, scope, name, names)
    if isinstance(node, exp.Lateral):
        query, scope_ = node.this, scope
        if isinstance(query, exp.Unnest):
            return _unnest(query, scope, name, names)
        text, columns = translate_query(query, scope.context, scope_)
        return _named(f"LATERAL ({text})", columns, scope, name, names)
    if isinstance(node, exp.Subquery) and isinstance(node.this, exp.Table):
        inner = node.this
        text = _source(inner, scope)
        for join in node.this.args.get("joins") or []:
            text += _join(join, scope)
        return f"({text})"
    if isinstance(node, exp.Subquery | exp.Values):
        query = node.this if isinstance(node, exp.Subquery) else node
        text, columns = translate_query(query, scope.context, scope.outer)
        return _named(f"({text})", columns, scope, name, names) + _sample(node)
    raise refuse(as_written(node), "It is nothing that the embedded engine reads from.")


def _named(text: str, columns: list[Output], scope: Scope, name: str, names: Sequence[str]) -> str:
    """Give a source a name, and its columns names that tell them apart."""
    alias = name or f"_q{len(scope.sources)}"
    columns = _told_apart(_renamed(columns, names))
    scope.sources.append(Source(alias, columns))
    listed = ", ".join(quote_identifier(c.alias or c.name) for c in columns)
    return f"{text} AS {quote_identifier(alias)}({listed})"


def _told_apart(columns: list[Output]) -> list[Output]:
    """Give columns of one name different aliases, since DuckDB reads the first of them for all."""
    names = [c.name.lower() for c in columns]
    if len(set(names)) == len(names):
        return columns
    return [
        replace(c, alias=f"{c.name}:{n}" if names.count(c.name.lower()) > 1 else "")
        for n, c in enumerate(columns)
    ]


def _table(node: exp.Table, scope: Scope, name: str, names: Sequence[str]) -> str:
    if not node.db and node.name.lower() in scope.context.ctes:
        text = quote_identifier(node.name)
        columns = scope.context.ctes[node.name.lower()]
    else:
        text, columns = scope.context.table(node)
    return _named(text, columns, scope, name or node.name, names) + _sample(node)


def _sample(node: Node) -> str:
    sample = node.args.get("sample")
    if sample is None:
        return ""
    method, percent = sample.args.get("method"), sample.args.get("percent")
    if method is None or percent is None or not isinstance(percent, exp.Literal):
        raise refuse(as_written(sample), "It samples otherwise.")
    word = "bernoulli" if "BERNOULLI" in method.name.upper() else "system"
    return f" TABLESAMPLE {word}({percent.this}%)"


def _values(node: exp.Values, scope: Scope) -> tuple[str, list[Output]]:
    e = scope.expressions
    rows = [
        [e(i) for i in row.expressions] if isinstance(row, exp.Tuple) else [e(row)]
        for row in node.expressions
    ]
    if any(len(row) != len(rows[0]) for row in rows):
        raise t.mismatch("The rows of VALUES have different lengths.", as_written(node))
    kinds = []
    for column in zip(*rows, strict=True):
        kind = t.common_of(v.type for v in column)
        if kind is None:
            raise t.mismatch(
                "A column of VALUES has different types.",
                ", ".join(dict.fromkeys(str(v.type) for v in column)),
            )
        kinds.append(kind)
    texts = [
        "(" + ", ".join(_nullable(e.coerce(v, k)) for v, k in zip(row, kinds, strict=True)) + ")"
        for row in rows
    ]
    columns = [Output(Unnamed(f"_col{n}"), kind) for n, kind in enumerate(kinds)]
    return f"VALUES {', '.join(texts)}", columns


def _unnest(node: exp.Unnest, scope: Scope, name: str, names: Sequence[str]) -> str:
    """Put columns of arrays and maps side by side, the shorter ones filled up with null."""
    values = [scope.expressions(part) for part in node.expressions]
    offset = node.args.get("offset")
    if isinstance(offset, exp.Identifier):
        names = [*names, offset.name] if names else []
    elif offset:
        pass
    i = "i"
    columns: list[Output] = []
    fields: list[str] = []
    for value in values:
        items, parts = _unnested(value, i)
        for text, kind in parts:
            fields.append(text)
            columns.append(Output(Unnamed(f"_col{len(columns)}"), kind))
    lengths = ", ".join(f"len({_entries(v)})" for v in values)
    if offset:
        fields.append(f"CAST({i} AS BIGINT)")
        columns.append(Output(Unnamed(f"_col{len(columns)}"), t.BIGINT))
    packed = ", ".join(f"c{n} := {text}" for n, text in enumerate(fields))
    most = f"greatest({lengths})" if len(values) > 1 else lengths
    rows = f"list_transform(range(1, 1 + {most}), lambda {i}: struct_pack({packed}))"
    text = f"(SELECT unnest({rows}, max_depth := 2))"
    lateral = "LATERAL " if scope.sources or scope.outer else ""
    return _named(lateral + text, columns, scope, name, names)


def _entries(value: Value) -> str:
    return f"map_entries({value.sql})" if value.type.name == "map" else f"({value.sql})"


def _unnested(value: Value, i: str) -> tuple[str, list[tuple[str, t.Type]]]:
    item = f"({_entries(value)})[{i}]"
    if value.type.name == "map":
        key, held = value.type.inside
        return item, [(f"{item}.key", key), (f"{item}.value", held)]
    if value.type.name != "array":
        raise t.mismatch("UNNEST takes arrays and maps.", str(value.type))
    element = value.type.inside[0]
    if element.name != "row":
        return item, [(item, element)]
    pairs = zip(t.field_names(element), element.inside, strict=True)
    return item, [(f"{item}.{quote_identifier(n)}", k) for n, k in pairs]


def _group(node: exp.Select, scope: Scope) -> str:
    group = node.args.get("group")
    if group is None:
        return ""
    if group.args.get("totals") or group.args.get("all") is not None:
        raise refuse("GROUP BY with ALL, DISTINCT or TOTALS", "It is not translated.")
    parts = [_grouping(part, scope) for part in group.expressions]
    for kind in ("grouping_sets", "cube", "rollup"):
        held = group.args.get(kind) or []
        parts += [_grouping(part, scope) for part in held if not isinstance(part, bool)]
    return f" GROUP BY {', '.join(parts)}"


def _grouping(node: Node, scope: Scope) -> str:
    words = {exp.Cube: "CUBE", exp.Rollup: "ROLLUP", exp.GroupingSets: "GROUPING SETS"}
    if type(node) in words:
        inside = ", ".join(_grouping(part, scope) for part in node.expressions)
        return f"{words[type(node)]} ({inside})"
    if isinstance(node, exp.Tuple):
        return f"({', '.join(_grouping(part, scope) for part in node.expressions)})"
    if isinstance(node, exp.Paren):
        return f"({_grouping(node.this, scope)})"
    if isinstance(node, exp.Literal) and not node.is_string:
        return node.this
    return scope.expressions(node).sql


def _order_by(node: Node, scope: Scope, columns: list[Output]) -> str:
    order = node.args.get("order")
    if order is None:
        return ""
    return " ORDER BY " + ", ".join(_ordered(item, scope, columns) for item in order.expressions)


def _ordered(item: Node, scope: Scope, columns: list[Output]) -> str:
    if isinstance(item.this, exp.Literal) and not item.this.is_string:
        direction = "DESC" if item.args.get("desc") else "ASC"
        nulls = "FIRST" if item.args.get("nulls_first") else "LAST"
        return f"{item.this.this} {direction} NULLS {nulls}"
    if isinstance(item.this, exp.Column) and not item.this.table:
        _check_is_one(item.this.name, columns)
    return ordered(scope.expressions, item)


def _check_is_one(name: str, columns: list[Output]) -> None:
    """Raise where ORDER BY names several columns of the SELECT."""
    if sum(c.name.lower() == name.lower() for c in columns) > 1:
        raise QueryError(
            f"AMBIGUOUS_NAME: Column {name!r} is ambiguous in ORDER BY.",
            got=name,
            expected="a name that only one column of the SELECT has",
            hint="Give the columns different names.",
        )


def _limit(node: Node, scope: Scope) -> str:
    text = ""
    limit, offset = node.args.get("limit"), node.args.get("offset")
    if isinstance(limit, exp.Fetch):
        options = limit.args.get("limit_options")
        if options is not None and options.args.get("with_ties"):
            raise refuse("WITH TIES", "It is translated after one SELECT alone.")
        count = limit.args.get("count")
        text = f" LIMIT {_row_count(count, scope) if count is not None else 1}"
    elif limit is not None:
        count = limit.expression
        is_all = count is None or str(as_written(count)).upper() == "ALL"
        text = "" if is_all else f" LIMIT {_row_count(count, scope)}"
    if offset is not None:
        text += f" OFFSET {_row_count(offset.expression, scope)}"
    return text


def _row_count(node: Node, scope: Scope) -> str:
    is_parameter = node.name.removeprefix(MARK) == PARAMETER
    if not is_parameter and not (isinstance(node, exp.Literal) and node.is_int):
        raise t.mismatch("LIMIT, OFFSET and FETCH take a number of rows.", as_written(node))
    return scope.expressions(node).sql


def _with_ties(node: exp.Select, scope: Scope, columns: list[Output]) -> str:
    """Translate FETCH FIRST n ROWS WITH TIES: the rows whose rank is at most n."""
    limit = node.args.get("limit")
    options = limit.args.get("limit_options") if isinstance(limit, exp.Fetch) else None
    if limit is None or options is None or not options.args.get("with_ties"):
        return ""
    order = node.args.get("order")
    if order is None or node.args.get("offset") is not None or node.args.get("distinct"):
        raise refuse("WITH TIES", "It is translated after ORDER BY, without OFFSET or DISTINCT.")
    items = ", ".join(ordered(scope.expressions, item) for item in order.expressions)
    count = _row_count(limit.args["count"], scope)
    return f" QUALIFY rank() OVER (ORDER BY {items}) <= {count}"
