"""The macros that phlo brings, on a real Trino: each gives what it gives on DuckDB."""

from pathlib import Path

import duckdb
import jinja2
import phlo_dbt
import pytest

pytestmark = [pytest.mark.trino, pytest.mark.integration]

MACROS = Path(phlo_dbt.__file__).parent / "macros"
MILLISECONDS = (-62_135_596_800_000, -1, 0, 1, 999, 1_762_214_400_123, 253_402_300_799_999)
NUMBERS = (
    "(select * from (values (1, 'a'), (2, 'b'), (3, null), (null, 'd')) as t(n, v)) as numbers"
)
EXPRESSIONS = [
    "count_where('n > 1')",
    "count_where(\"v = 'a' or v is null\")",
    "share(count_where('n > 1'), 'count(*)')",
    "share('sum(n)', 'count(n) - 3')",
    "share('1', '3')",
    *(f"hour_of_day(from_epoch_milliseconds('{n}'))" for n in MILLISECONDS),
    *(f"epoch(from_epoch_milliseconds('{n}'))" for n in MILLISECONDS),
    "epoch(from_epoch_milliseconds('null'))",
    "epoch(from_epoch_milliseconds('min(n) * 1000'))",
]
RANGES = [
    "'n', 1, 3, false",
    "'n', 1, none, false",
    "'n', none, 2, true",
    "'n', 1, 3, true",
    "'n', none, 'n - 1', false",
    "'n', 2, none, false, \"v is not null\"",
]
# How each engine tells a moment as a number, so that the answers can be compared.
EPOCH = {"duckdb": "epoch({})", "trino": "to_unixtime({})"}


class Macros:
    """The macros as dbt's Jinja renders them for one engine.

    dbt-trino is no dependency; of what it does, dispatch by prefix is all that matters here.
    """

    def __init__(self, engine: str) -> None:
        names = ("phlo_helpers", "phlo_tests")
        text = "".join((MACROS / f"{name}.sql").read_text() for name in names)
        self._text = text.replace("{% test ", "{% macro ").replace("endtest", "endmacro")
        self._engine = engine
        self._globals = {
            "adapter": self,
            "return": lambda value: value,
            "epoch": EPOCH[engine].format,
        }

    def dispatch(self, name: str):
        """Return the engine's version of a macro, else the one for all."""
        macros = jinja2.Environment().from_string(self._text, self._globals).module
        return getattr(macros, f"{self._engine}__{name}", None) or getattr(
            macros, f"default__{name}"
        )

    def render(self, call: str) -> str:
        text = f"{self._text}{{{{ {call} }}}}"
        return jinja2.Environment().from_string(text, self._globals).render().strip()


def queries(engine: str) -> list[str]:
    """One query for each call of a macro."""
    macros = Macros(engine)
    expressions = [f"select {macros.render(call)} from {NUMBERS}" for call in EXPRESSIONS]
    ranges = [
        f"select count(*) from ({macros.render(f'phlo_values_outside({NUMBERS!r}, {bounds})')})"
        for bounds in RANGES
    ]
    return [*expressions, *ranges]


def test_every_macro_answers_on_trino_what_it_answers_on_duckdb(trino_lake):
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        expected = [connection.execute(query).fetchall()[0] for query in queries("duckdb")]
    answers = [tuple(trino_lake.execute(query)[0]) for query in queries("trino")]
    pairs = zip([*EXPRESSIONS, *RANGES], answers, expected, strict=True)
    assert [pair for pair in pairs if pair[1] != pair[2]] == []
    assert expected[0] == (2,)
