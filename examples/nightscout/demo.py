"""The example from end to end: four days of a sensor, models, checks, marts in PostgreSQL.

Run it with `make demo EXAMPLE=nightscout` from the repository, or `python demo.py` in this folder.
It starts the example's own Nightscout server, unless NIGHTSCOUT_URL names a site.
"""

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
COMMANDS = (
    "backfill glucose_entries --start-date 2025-11-01 --end-date 2025-11-04",
    "materialize --select tag:dbt,group:publishing",
    # What a phone kept back has arrived by now: the day again, and what is made of it.
    "materialize glucose_entries+ --partition 2025-11-04",
    "status",
    "catalog history silver.fct_glucose_readings",
)
QUERY = """
SELECT hour_of_day, reading_count, round(avg_glucose_mg_dl) AS avg_mg_dl,
    round(time_in_range_pct) AS in_range_pct
FROM marts.mrt_glucose_hourly_patterns ORDER BY hour_of_day
"""


def main() -> int:
    """Run all commands; 0 where every one went well."""
    os.environ.setdefault("PHLO_PROJECT_DIR", str(HERE))
    if "NIGHTSCOUT_URL" not in os.environ:
        sys.path.insert(0, str(HERE))
        from workflows.ingestion.nightscout.server import start

        os.environ["NIGHTSCOUT_URL"] = start().url
    codes = [phlo(*command.split()) for command in COMMANDS]
    return max(*codes, phlo("query", QUERY))


def phlo(*arguments: str) -> int:
    """Run one command of phlo, and show it."""
    print(f"\n$ phlo {' '.join(' '.join(arguments).split())}", flush=True)
    return subprocess.run([sys.executable, "-m", "phlo_cli", *arguments], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
