"""A check told in SQL judges a frame too: ``check.execute(df, context)``."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from phlo.config import reset_settings
from phlo.errors import ColumnNotFoundError
from phlo.plugins import reset_plugins
from phlo_quality import (
    AcceptedValuesCheck,
    CountCheck,
    FreshnessCheck,
    NullCheck,
    PatternCheck,
    RangeCheck,
    UniqueCheck,
)

NOW = datetime.now(UTC)
FRAME = pd.DataFrame(
    {
        "id": ["a", "b", "b", None],
        "value": [1.0, 200.0, np.nan, 2.0],
        "at": [NOW, NOW - timedelta(hours=1), NOW, NOW],
    },
    index=[7, 8, 9, 10],
)
LOOKS_AHEAD = PatternCheck("id", "(?!b).*")


@pytest.fixture(autouse=True, params=["with a store", "alone"])
def engine(request, phlo_environment, monkeypatch):
    """The project's engine, and the one of frames where no plugin provides a store."""
    if request.param == "alone":
        monkeypatch.setenv("PHLO_DISABLED_PLUGINS", "iceberg,trino")
        reset_settings()
        reset_plugins()
    return request.param


@pytest.mark.parametrize(
    ("check", "failed_count"),
    [
        (NullCheck(columns=["id", "value"]), 2),
        (RangeCheck(column="value", min_value=0, max_value=100), 1),
        (UniqueCheck(columns=["id"]), 2),
        (AcceptedValuesCheck("id", ["a"]), 2),
        (PatternCheck("id", "[a-z]"), 0),
        (LOOKS_AHEAD, 2),
    ],
)
def test_a_frame_is_judged_as_a_table_is(check, failed_count):
    result = check.execute(FRAME, None)
    assert (result.passed, result.failed_count) == (failed_count == 0, failed_count)
    assert (result.row_count, result.check_name) == (4, type(check).__name__)
    assert len(result.sample) == failed_count


def test_counts_and_freshness_are_those_of_the_frame():
    assert CountCheck(min_count=4).execute(FRAME, None).passed
    assert not CountCheck(max_count=3).execute(FRAME, None).passed
    assert FreshnessCheck("at", 1).execute(FRAME, None).passed
    assert NullCheck(["id"]).execute(FRAME.head(0), None).status == "skipped"


def test_a_frame_without_the_column_is_an_error():
    with pytest.raises(ColumnNotFoundError, match="no column 'idd'"):
        NullCheck(["idd"]).execute(FRAME, None)
