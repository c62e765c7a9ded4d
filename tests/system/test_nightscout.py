"""The nightscout example, by Dagster's own command, held against the values of its server."""

import os
import shlex
import shutil
import subprocess
import sys
from datetime import date, datetime
from pathlib import Path

import pytest
from phlo_cli.location import open_location
from phlo_cli.names import select
from phlo_cli.plan import build_plan
from phlo_cli.run import materialize_assets
from pyiceberg.catalog import load_catalog

EXAMPLE = Path(__file__).parents[2] / "examples" / "nightscout"
COMMAND = """
dagster asset materialize --select
      "dlt_glucose_entries,stg_glucose_entries,fct_glucose_readings,mrt_glucose_readings,fct_daily_glucose_metrics,mrt_glucose_hourly_patterns" --partition "2025-11-04" -m phlo.definitions
"""  # noqa: E501 - one word of a shell
DAY = date(2025, 11, 4)


@pytest.fixture
def root(phlo_project, postgres_database, monkeypatch):
    """The example in a folder of its own, on a server of this process, publishing for real."""
    shutil.copytree(EXAMPLE / "workflows", phlo_project.root / "workflows", dirs_exist_ok=True)
    phlo_project.load()
    from workflows.ingestion.nightscout.server import start

    server = start()
    monkeypatch.setenv("NIGHTSCOUT_URL", server.url)
    yield phlo_project.root
    server.shutdown()
    server.server_close()


def read(root, table: str) -> list[dict]:
    """Rows of a table as pyiceberg reads them."""
    state = root / ".phlo"
    catalog = load_catalog(
        "lake",
        type="sql",
        uri=f"sqlite:///{state / 'catalog.db'}",
        warehouse=(state / "warehouse").as_uri(),
    )
    rows = catalog.load_table(table).scan().to_arrow().to_pylist()
    catalog.engine.dispose()
    return rows


def expected_readings(*, with_late: bool) -> dict[str, int]:
    """Glucose in mg/dl of the day by the moment of the reading, from the server's own values."""
    from workflows.ingestion.nightscout.server import entries_of, glucose

    moments = {e["dateString"] for e in entries_of(DAY, with_late=with_late)}

    parsed = {text: datetime.fromisoformat(text.replace("Z", "+00:00")) for text in moments}
    return {moment.isoformat(): glucose(moment) for moment in parsed.values()}


def readings(root, table: str) -> dict[str, int]:
    return {r["reading_timestamp"].isoformat(): r["glucose_mg_dl"] for r in read(root, table)}


@pytest.mark.slow
@pytest.mark.integration
@pytest.mark.timeout(600)
def test_the_six_assets_by_dagsters_command_then_late_readings_and_published_marts(
    root, postgres_database
):
    command = str(Path(sys.executable).parent / "dagster")
    words = [command, *shlex.split(COMMAND)[1:]]
    done = subprocess.run(words, cwd=root, env=os.environ, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    first = expected_readings(with_late=False)
    for table in ("bronze.stg_glucose_entries", "silver.fct_glucose_readings"):
        actual = readings(root, table)
        assert actual.keys() == first.keys()
        # One decimal of mmol/l is 1.8 mg/dl.
        assert all(abs(actual[moment] - first[moment]) <= 1 for moment in first)
    assert len(read(root, "bronze.glucose_entries")) > len(first)  # uploads tried again
    [day] = read(root, "gold.fct_daily_glucose_metrics")
    assert (day["reading_date"], day["reading_count"]) == (DAY, len(first))

    location = open_location()
    names = ["dlt_glucose_entries+", "group:publishing"]
    plan = build_plan(location, select(location, names), partition=DAY.isoformat())
    run = materialize_assets(location, plan)

    assert run.is_ok, run.errors
    whole = expected_readings(with_late=True)
    assert readings(root, "silver.fct_glucose_readings").keys() == whole.keys() > first.keys()
    assert {check.status.value for check in run.checks} == {"passed"}
    hours = read(root, "marts.mrt_glucose_hourly_patterns")
    assert sum(hour["reading_count"] for hour in hours) == len(whole)
    with postgres_database.connect() as connection:
        published = connection.execute("SELECT count(*) FROM marts.glucose_readings").fetchone()
    assert published == (len(whole),)
