"""Tables on narrow terminals."""

import io

import pytest
from phlo_cli.commands.query import hidden_columns
from phlo_cli.output import Output
from rich.console import Console

ROWS = [
    {"asset": "bronze.orders", "group": "shop", "made": "2025-01-15 06:00:00", "note": None},
    {"asset": "silver.fct_orders", "group": "silver", "made": "2025-01-15 06:00:01", "note": ""},
]


def printed(width, spare=("group", "note"), rows=ROWS):
    output = Output()
    output.__dict__["console"] = Console(file=io.StringIO(), width=width)
    output.rows(rows, columns=("asset", "group", "made", "note"), spare=spare, empty="")
    return output.console.file.getvalue()


@pytest.mark.parametrize("width", range(44, 90))
def test_no_word_is_broken_and_no_value_cut(width):
    text = printed(width)
    assert all(len(line.rstrip()) <= width for line in text.splitlines() if "Not shown" not in line)
    assert "silver.fct_orders" in text
    assert "2025-01-15 06:00:01" in text
    assert ("group" in text.splitlines()[0]) != ("Not shown: group." in text)


def test_an_empty_column_goes_first_and_without_a_word():
    assert "note" in printed(61)
    assert "note" not in printed(53)
    assert "group" in printed(53).splitlines()[0]


def test_a_table_that_cannot_fit_is_folded_and_shows_every_character():
    text = printed(30, spare=())
    assert "".join("".join(line[20:].split()) for line in text.splitlines()[2:]) != ""
    assert text.count("silver.fct_orders") == 1


def test_bookkeeping_columns_are_hidden_where_a_star_brought_them():
    names = ["id", "_dlt_load_id", "_phlo_run_id"]
    assert hidden_columns(names, "SELECT * FROM t") == ["_dlt_load_id", "_phlo_run_id"]
    assert hidden_columns(names, "SELECT id, _DLT_LOAD_ID, _phlo_run_id FROM t") == []
