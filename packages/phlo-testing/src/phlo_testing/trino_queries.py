"""Random queries in Trino's dialect over random tables, for two engines to answer alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import strategies as st

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

COLUMNS = {
    "i": "integer",
    "d": "decimal(10,2)",
    "w": "decimal(38,6)",
    "n": "bigint",
    "x": "double",
    "s": "varchar",
    "day": "date",
    "at": "timestamp(3)",
    "ok": "boolean",
}
"""Columns of every random table."""

_VALUES = {
    "i": ["0", "1", "-7", "12", "2147483647"],
    "d": ["0.00", "1.25", "-3.75", "99999999.99", "2.5"],
    "w": [
        "0.000001",
        "-1.5",
        "123456789012345678.123456",
        "99999999999999999999999999999999.999999",
    ],
    "n": ["0", "-1", "3", "9223372036854775807", "-9223372036854775807", "9007199254740993"],
    "x": [
        "0e0",
        "-0e0",
        "1.5e0",
        "-2.25e0",
        "nan()",
        "infinity()",
        "1e300",
        "1234567890123456789e0",
    ],
    "s": ["''", "'a'", "'Ab c'", "'naïve'", "'😀,x'", "'12'", "' 7 '"],
    "day": ["date '2024-02-29'", "date '2025-01-31'", "date '1969-12-31'"],
    "at": [
        "timestamp '2025-03-30 01:59:59.999'",
        "timestamp '2024-12-31 23:59:59.001'",
        "timestamp '1970-01-01 00:00:00.000'",
    ],
    "ok": ["true", "false"],
}

_OPERATIONS = {
    "i": [
        "({i} + {i})",
        "({i} - {i})",
        "({i} * 2)",
        "({i} / {i})",
        "({i} % 3)",
        "abs({i})",
        "coalesce({i}, {i})",
        "nullif({i}, {i})",
        "case when {ok} then {i} else {i} end",
        "try({i} / {i})",
        "try(coalesce({i} / {i}, {i}))",
        "try(if({i} / {i} is null, 1, {i}))",
        "try(cast(cardinality(array[{i} / {i}, 1]) as integer))",
        "try_cast({s} as integer)",
        "cast({d} as integer)",
        "cast(length({s}) as integer)",
        "cast(year({day}) as integer)",
        "cast(date_diff('month', {day}, {day}) as integer)",
        "cast(date_diff('hour', {at}, {at}) / 1000 as integer)",
        "greatest({i}, {i})",
        "cardinality(array[{i}, {i}])",
        "element_at(array[{i}, {i}], 2)",
        "reduce(array[{i}, 1], 0, (a, b) -> a + coalesce(b, 0), a -> a)",
    ],
    "d": [
        "({d} + {d})",
        "({d} * {d})",
        "({d} / {d})",
        "({d} % 1.5)",
        "({d} + {i})",
        "round({d}, 1)",
        "floor({d})",
        "ceil({d})",
        "abs({d})",
        "try_cast({s} as decimal(10,2))",
        "try_cast({x} as decimal(10,2))",
        "coalesce({d}, {d})",
        "greatest({d}, {d})",
        "if({ok}, {d}, {d})",
        "element_at(array[{d}, {d}], 1)",
        "try({d} / {d})",
        "sign({d})",
        "truncate({d})",
        "-({d})",
        "cast({n} as decimal(10,2))",
        "try_cast({w} as decimal(10,2))",
        "try({d} * {d})",
        "reduce(array[{d}, 1.25], cast(0 as decimal(38,4)), (a, b) -> a + b, a -> a)",
    ],
    "w": [
        "({w} + {w})",
        "({w} - {d})",
        "({d} * {d})",
        "({d} * {n})",
        "({n} * 1.5)",
        "({n} + {d})",
        "({w} * {i})",
        "({w} / {n})",
        "({n} / {d})",
        "({w} % {d})",
        "round({w}, 2)",
        "abs({w})",
        "try_cast({x} as decimal(38,6))",
        "try_cast({s} as decimal(38,6))",
        "cast({n} as decimal(38,6))",
        "coalesce({w}, {d})",
        "least({w}, {d})",
        "nullif({w}, {d})",
    ],
    "n": [
        "({n} + {i})",
        "({n} - {n})",
        "({n} * {i})",
        "({n} / {i})",
        "({n} % {i})",
        "abs({n})",
        "bitwise_and({n}, {i})",
        "coalesce({n}, {i})",
        "try({n} * {n})",
        "try_cast({w} as bigint)",
        "try_cast({x} as bigint)",
        "try_cast({s} as bigint)",
        "date_diff('second', {at}, {at})",
        "length({s})",
        "greatest({n}, {i})",
    ],
    "x": [
        "({x} + {x})",
        "({x} * 0.5e0)",
        "({x} / {x})",
        "({x} - {d})",
        "abs({x})",
        "round({x})",
        "floor({x})",
        "sqrt({x})",
        "cast({i} as double)",
        "cast({d} as double)",
        "try_cast({s} as double)",
        "least({x}, {x})",
        "nullif({x}, {x})",
    ],
    "s": [
        "({s} || {s})",
        "upper({s})",
        "reverse({s})",
        "substr({s}, {i} % 5)",
        "substr({s}, 2, 2)",
        "split_part({s}, ',', 1)",
        "replace({s}, 'a', 'é')",
        "lpad({s}, 4, '-')",
        "trim({s})",
        "concat({s}, '|', {s})",
        "cast({i} as varchar)",
        "cast({d} as varchar)",
        "cast({x} as varchar)",
        "try(coalesce(cast(cast({s} as integer) as varchar), {s}))",
        "format('%s|%5s', {x}, {s})",
        "cast({day} as varchar)",
        "cast({at} as varchar)",
        "cast({ok} as varchar)",
        "regexp_replace({s}, '([a-z])', '<$1>')",
        "regexp_extract({s}, '[a-z]+')",
        "date_format({at}, '%Y-%m-%d %H:%i')",
        "to_hex(md5(to_utf8({s})))",
        "if({ok}, {s})",
        "array_join(array[{s}, {s}], '+')",
        "json_extract_scalar('{{\"a\": [1, \"b\"]}}', '$.a[1]')",
    ],
    "day": [
        "date_trunc('month', {day})",
        "date_add('day', {i} % 100, {day})",
        "date_add('month', {i} % 25, {day})",
        "({day} + interval '1' month)",
        "last_day_of_month({day})",
        "cast({at} as date)",
        "try_cast({s} as date)",
        "coalesce({day}, {day})",
    ],
    "at": [
        "date_trunc('hour', {at})",
        "date_add('minute', {i} % 1000, {at})",
        "({at} + interval '1' day)",
        "cast({day} as timestamp(3))",
    ],
    "ok": [
        "({i} > {i})",
        "({x} >= {x})",
        "({x} <> {x})",
        "({x} = {x})",
        "({d} < {d})",
        "({d} = {i})",
        "({d} * {d} > {i})",
        "({d} * {d} between {d} and {w})",
        "({d} in ({d}, {i}, 1.25))",
        "({w} = {n})",
        "({w} < {x})",
        "({n} = {x})",
        "({n} <> {w})",
        "({n} in ({i}, {n}))",
        "({w} is distinct from {d})",
        "({s} like '%a%')",
        "({s} <= {s})",
        "({day} < {day})",
        "({at} > {day})",
        "({i} is null)",
        "({i} in (1, 12, {i}))",
        "({x} in (1.5e0, {x}))",
        "({i} between 0 and {i})",
        "({i} is distinct from {i})",
        "({ok} and {ok})",
        "({ok} or not {ok})",
        "is_nan({x})",
        "contains(array[{i}, 1], {i})",
        "any_match(array[{i}, 1], e -> e > 0)",
        "regexp_like({s}, '^[a-z]')",
    ],
}

_AGGREGATES = [
    "count(*)",
    "count({s})",
    "count(distinct {i})",
    "sum({i})",
    "sum({d})",
    "avg({d})",
    "avg({i})",
    "min({x})",
    "max({x})",
    "max({s})",
    "min({day})",
    "max({at})",
    "count_if({ok})",
    "bool_or({ok})",
    "sum({i}) filter (where {ok})",
    "array_agg({i} order by {i})",
    "max_by(d + 1, d)",
    "min_by(s || '!', s)",
    "max({d} * {d})",
    "sum({w})",
    "sum({n})",
    "sum({d} * {d})",
    "avg({w})",
    "avg({n})",
    "min({w})",
    "count(distinct {d})",
    "count(distinct {x})",
    "sum(distinct {d})",
    "array_agg({d} order by {d} * {d})",
    "array_agg(distinct i % 3 order by i % 3 desc)",
    "array_agg(distinct d * d order by d * d)",
    "array_sort(array_agg(distinct {n}))",
    "listagg(distinct s, ',') within group (order by s)",
    "count(*) filter (where {d} * {d} > {i})",
]

_WINDOWS = [
    "row_number() over (partition by ok order by i, d, s, day, at)",
    "rank() over (order by d)",
    "sum(i) over (partition by ok)",
    "lag(s) over (order by i, d, s, day, at)",
    "max(x) over (partition by s)",
    "count(*) over (order by day)",
    "sum(d * d) over (partition by ok)",
    "sum(i) over (partition by s)",
    "max(w) over (partition by ok)",
    "dense_rank() over (order by d * d, n)",
    "first_value(s) over (partition by ok order by d * w, i, d, s, n, day, at)",
    "avg(d) over (order by i range between unbounded preceding and current row)",
]


@st.composite
def expressions(draw: st.DrawFn, kind: str, depth: int = 2, table: str = "") -> str:
    """Return an expression of the kind of a column."""
    if depth == 0 or draw(st.integers(0, 3)) == 0:
        leaves = [f"{table}{kind}", *_VALUES[kind]]
        leaf = draw(st.sampled_from(leaves))
        return leaf if leaf == leaves[0] else f"cast({leaf} as {COLUMNS[kind]})"
    return draw(_filled(draw(st.sampled_from(_OPERATIONS[kind])), depth - 1, table))


@st.composite
def _filled(draw: st.DrawFn, template: str, depth: int, table: str = "") -> str:
    """Return a template whose ``{i}``, ``{x}``, ... are different expressions of these kinds."""
    for kind in COLUMNS:
        while "{" + kind + "}" in template:
            inner = draw(expressions(kind, depth, table))
            template = template.replace("{" + kind + "}", inner, 1)
    return template.replace("{{", "{").replace("}}", "}")


@st.composite
def _tables(draw: st.DrawFn) -> str:
    rows = []
    for _ in range(draw(st.integers(1, 5))):
        cells = [
            f"cast({draw(st.sampled_from(['null', *_VALUES[name]]))} as {kind})"
            for name, kind in COLUMNS.items()
        ]
        rows.append(f"({', '.join(cells)})")
    return f"(values {', '.join(rows)}) as t({', '.join(COLUMNS)})"


def queries() -> SearchStrategy[str]:
    """Draw queries over one table or two, as users of every clause write them."""
    return st.one_of(
        _projections(),
        _groups(),
        _grouping_sets(),
        _windows(),
        _joins(),
        _set_operations(),
        _subqueries(),
        _unnested(),
    )


@st.composite
def _projections(draw: st.DrawFn) -> str:
    kinds = draw(st.lists(st.sampled_from(list(COLUMNS)), min_size=1, max_size=3))
    items = ", ".join(draw(expressions(kind)) for kind in kinds)
    return f"select {items} from {draw(_tables())} where {draw(expressions('ok'))}"


@st.composite
def _groups(draw: st.DrawFn) -> str:
    key = draw(st.sampled_from(["i", "s", "day", "ok", "d", "w", "n"]))
    aggregate = draw(_filled(draw(st.sampled_from(_AGGREGATES)), 1))
    return f"select {key}, {aggregate} as a from {draw(_tables())} group by {key}"


@st.composite
def _windows(draw: st.DrawFn) -> str:
    return f"select i, d, s, {draw(st.sampled_from(_WINDOWS))} as w from {draw(_tables())}"


@st.composite
def _joins(draw: st.DrawFn) -> str:
    word = draw(st.sampled_from(["join", "left join", "full join"]))
    key = draw(st.sampled_from(["i", "x", "s", "d", "w", "n"]))
    left, right = draw(_tables()), draw(_tables())
    kind = draw(st.sampled_from(list(COLUMNS)))
    item = draw(expressions(kind, 1, "l."))
    return (
        f"select l.{key}, r.{key}, {item} from (select * from {left}) l "
        f"{word} (select * from {right}) r on l.{key} = r.{key}"
    )


@st.composite
def _grouping_sets(draw: st.DrawFn) -> str:
    words = ["rollup (ok, i)", "cube (ok, s)", "grouping sets ((ok), (s, i), ())"]
    aggregate = draw(_filled(draw(st.sampled_from(_AGGREGATES)), 1))
    word = draw(st.sampled_from(words))
    keys = [key for key in ("ok", "i", "s") if f"{key}," in word or f"{key})" in word]
    return (
        f"select {', '.join(keys)}, grouping({', '.join(keys)}) as g, {aggregate} as a "
        f"from {draw(_tables())} group by {word}"
    )


@st.composite
def _set_operations(draw: st.DrawFn) -> str:
    word = draw(st.sampled_from(["union", "union all", "intersect", "except", "except all"]))
    kinds = [k for k in COLUMNS if k != "x"]  # either zero, and NaN, are one value or two
    kind = draw(st.sampled_from(kinds))
    sides = [f"select {draw(expressions(kind))} from {draw(_tables())}" for _ in range(2)]
    return f"{sides[0]} {word} {sides[1]}"


@st.composite
def _subqueries(draw: st.DrawFn) -> str:
    key = draw(st.sampled_from(["i", "d", "n", "s", "day"]))
    inner = f"(select {key} as k, {draw(expressions('i', 1))} as v from {draw(_tables())})"
    condition = draw(
        st.sampled_from(
            [
                "t.{key} in (select k from {inner} u)",
                "t.{key} not in (select k from {inner} u)",
                "exists (select 1 from {inner} u where u.k = t.{key})",
                "not exists (select 1 from {inner} u where u.k < t.{key})",
                "(select count(v) from {inner} u where u.k = t.{key}) > 0",
            ]
        )
    )
    return f"select t.i, t.s from {draw(_tables())} where {condition.format(key=key, inner=inner)}"


@st.composite
def _unnested(draw: st.DrawFn) -> str:
    kind = draw(st.sampled_from(["i", "d", "s", "day"]))
    items = ", ".join(draw(expressions(kind, 1)) for _ in range(draw(st.integers(1, 3))))
    order = draw(st.sampled_from(["", " with ordinality"]))
    names = "e, o" if order else "e"
    return (
        f"select i, {names} from {draw(_tables())} "
        f"cross join unnest(array[{items}]){order} as u({names})"
    )
