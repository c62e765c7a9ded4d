"""The history checker of `make test-chaos` finds what must never be read."""

import importlib.util
import re
from pathlib import Path

import pytest

PATH = Path(__file__).parents[2] / "scripts/chaos.py"
SPEC = importlib.util.spec_from_file_location("chaos", PATH)
chaos = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(chaos)
DAY_1, DAY_2 = chaos.ALL[:2]


def rows_of(*days):
    return [row for day in days for row in chaos.deliver(day).items()]


def merged(*days):
    return list(dict(rows_of(*days)).items())


def problems(table, rows, *acknowledged, before=None):
    checker = chaos.Checker()
    for day in acknowledged:
        checker.acknowledge(table, day)
    if before is not None:
        checker.check("phlo", table, before, set())
    checker.check("phlo", table, rows, checker.acknowledged)
    return checker.problems


@pytest.mark.parametrize(
    ("table", "rows"),
    [
        ("lasts", merged(DAY_1, DAY_2)),
        ("firsts", merged(DAY_2, DAY_1)),
        ("appends", rows_of(DAY_2, DAY_1)),
        ("mart_grown", merged(DAY_1, DAY_2)),
        ("gathered", rows_of(DAY_2, DAY_1)),
    ],
)
def test_a_right_state_passes(table, rows):
    assert problems(table, rows, DAY_1, DAY_2) == []


@pytest.mark.parametrize(
    ("table", "rows", "before", "finding"),
    [
        ("lasts", rows_of(DAY_1, DAY_2), None, "a key twice"),
        ("lasts", merged(DAY_1), None, "is lost|is of"),
        ("lasts", merged(DAY_2, DAY_1), None, "is of 2025-01-01"),
        ("firsts", merged(DAY_1, DAY_2), None, "is of 2025-01-02"),
        ("lasts", [("1", 99_001)], None, "never delivered"),
        ("appends", rows_of(DAY_1), None, "are lost"),
        ("appends", rows_of(DAY_1, DAY_2)[:-1], None, "in part, or twice"),
        ("appends", rows_of(DAY_1, DAY_2, DAY_2), None, "in part, or twice"),
        ("hashes", merged(DAY_1, DAY_2), merged(chaos.ALL[2]), "is lost|is of"),
        ("mart_copied", merged(DAY_1), None, "is lost|is of"),
        ("gathered", rows_of(DAY_1, DAY_2)[:-1], None, "in part, or twice"),
    ],
)
def test_a_wrong_state_is_found(table, rows, before, finding):
    (problem,) = problems(table, rows, DAY_1, DAY_2, before=before)
    assert re.search(finding, problem)
