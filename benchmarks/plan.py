"""`phlo plan` of the flights' year with 1 % changed rows, beside `phlo materialize` of the same.

Both are whole commands on one project whose table has the year; what a plan makes is discarded
before the next round.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.measure import compare

HERE = "benchmarks.plan"
ROUNDS = int(os.environ.get("PHLO_BENCH_ROUNDS", "3"))
EXAMPLE = Path(__file__).parents[1] / "examples" / "flights" / "workflows"
BIN = Path(sys.executable).parent
SOURCE = """\
import os

import numpy as np
import pyarrow as pa
from phlo_dlt import phlo_ingestion
from workflows.ingestion.nyc.source import read_csv
from workflows.schemas.flights import Flights

KEY = ["carrier", "flight", "time_hour"]


@phlo_ingestion(
    table_name="flights", unique_key=KEY, validation_schema=Flights, group="nyc", partitions=None
)
def flights():
    '''The year, the distance of every 200th flight corrected: others in each delivery.'''
    year = read_csv("flights")
    places = np.arange(year.num_rows) % 200 == int(os.environ["DELIVERY"]) % 200
    distance = year["distance"].to_numpy() + places
    return year.set_column(
        year.column_names.index("distance"), "distance", pa.array(distance, pa.float64())
    )
"""


def ask(folder: str, *command: str) -> str:
    """Run one command of phlo on the next delivery, which differs from any other by 1 %."""
    counter = Path(folder) / "deliveries"
    number = len(counter.read_text()) if counter.exists() else 0
    counter.write_text("." * (number + 1))
    return subprocess.run(
        [BIN / "phlo", *command],
        cwd=folder,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "", "DELIVERY": str(number)},
        check=True,
        capture_output=True,
        text=True,
    ).stdout


def load(folder: str) -> None:
    """Load the year anew."""
    ask(folder, "materialize", "flights")


def plan(folder: str) -> object:
    """Plan it, after what was planned before is gone."""
    for one in json.loads(ask(folder, "plan", "list", "--json")):
        ask(folder, "plan", "discard", one["plan_id"])
    return lambda: ask(folder, "plan", "flights")


def run() -> list[dict]:
    """Load and plan in turn; ``ratio`` is the plan's CPU time over the load's."""
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder)
        shutil.copytree(EXAMPLE, project / "workflows")
        for room in ("quality", "publishing", "transforms"):
            shutil.rmtree(project / "workflows" / room)
        (project / "workflows/ingestion/nyc/flights.py").write_text(SOURCE)
        load(folder)
        usages = compare(ROUNDS, load=(f"{HERE}:load", (folder,)), plan=(f"{HERE}:plan", (folder,)))
    loaded, planned = usages["load"], usages["plan"]
    return [
        {
            "what": "a year of flights, 1 % changed",
            "load_s": round(loaded.cpu_seconds, 2),
            "plan_s": round(planned.cpu_seconds, 2),
            "load_wall_s": round(loaded.wall_seconds, 2),
            "plan_wall_s": round(planned.wall_seconds, 2),
            "ratio": planned.cpu_seconds / loaded.cpu_seconds,
        }
    ]
