"""Arrow keeps the offset of datetimes although Pandera is imported."""

import os
import subprocess
import sys

import pytest

CODE = """
IMPORTS
from datetime import datetime, timedelta, timezone
import os, subprocess, sys
import pyarrow as pa
noon = datetime(2024, 1, 1, 12, tzinfo=timezone(timedelta(hours=-5)))
print(pa.array([noon]).cast(pa.int64())[0].as_py() // 3600_000_000 % 24, end=" ")
print(repr(os.environ["PYARROW_IGNORE_TIMEZONE"]))
"""


def hour_and_variable(imports, **environment):
    """The hour that Arrow makes of 12:00-05:00 in a new process, and the variable there."""
    env = {k: v for k, v in os.environ.items() if k != "PYARROW_IGNORE_TIMEZONE"} | environment
    command = [sys.executable, "-c", CODE.replace("IMPORTS", imports)]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(
    "imports",
    ["import phlo.contract.model", "import pandera, phlo.schemas", "import phlo.config, pandera"],
)
def test_an_offset_is_kept_in_every_order_of_imports(imports):
    assert hour_and_variable(imports) == "17 ''\n"


def test_a_value_of_the_user_stays():
    out = hour_and_variable("import phlo.config, phlo.schemas", PYARROW_IGNORE_TIMEZONE="1")

    assert out == "12 '1'\n"
