r"""Python's regular expressions in SQL."""

import re

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phlo.contract.patterns import to_sql_pattern

PATTERNS = [
    r"^\d{5}$",
    r"\w+\s?\S",
    r"[\w.]+@[^\s@]+",
    r"a|b$",
    r"[]a]\D",
    r"[^]a]",
    r"[a&&b][[]",
    r".\n",
    r"(a)(?:b)?\Z",
]
FUNCTIONS = {"start": re.match, "anywhere": re.search, "whole": re.fullmatch}


@pytest.mark.parametrize("where", FUNCTIONS)
@pytest.mark.parametrize("pattern", PATTERNS)
@given(st.text(alphabet="ab1@.&]^[ _\n\x0bé٣\u2003", max_size=6))
@settings(max_examples=25, deadline=None)
@pytest.mark.filterwarnings("ignore:Possible:FutureWarning")
def test_a_rewritten_pattern_matches_what_python_matches(pattern, where, text):
    rewritten = to_sql_pattern(pattern, where)

    found = duckdb.execute("SELECT regexp_matches(?, ?)", [text, rewritten]).fetchone()

    assert found == (FUNCTIONS[where](pattern, text) is not None,)


@pytest.mark.parametrize(
    "pattern",
    [r"(?=a)", r"(a)\1", r"\ba", r"(?i)a", r"a$b", r"a{,3}", r"(?P<x>a)", r"[\W]", "a{2000}"],
)
def test_what_the_engines_do_not_know_is_left_to_python(pattern):
    assert to_sql_pattern(pattern, "start") is None
