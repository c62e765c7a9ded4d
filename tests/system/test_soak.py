"""A sample of `make soak`, and its arithmetic."""

import importlib.util
import io
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

PATH = Path(__file__).parents[2] / "scripts/soak.py"
SPEC = importlib.util.spec_from_file_location("soak", PATH)
soak = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(soak)


@pytest.mark.parametrize("hour", range(24))
def test_the_day_of_the_zone_ends_at_the_moment(hour):
    moment = datetime(2025, 6, 1, hour, 37, tzinfo=UTC)
    offset = soak.offset_with_midnight_at(moment)
    zone = ZoneInfo.from_file(io.BytesIO(soak.zone_file(offset)))
    assert moment.astimezone(zone).strftime("%H:%M") == "00:00"
    assert timedelta(hours=-12) < offset <= timedelta(hours=12)


@pytest.mark.slow
@pytest.mark.integration
def test_a_minute_of_attacks_leaves_nothing_out_and_nothing_behind():
    done = subprocess.run(
        [sys.executable, PATH, "--minutes", "1", "--seed", "5"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
