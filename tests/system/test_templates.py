"""Write, test, load and read every template of `phlo init` by the command, without a network."""

import json
import subprocess
import sys

import pytest
from phlo_testing.processes import own_environment

NOWHERE = "http://127.0.0.1:9"
NO_NETWORK = {
    "http_proxy": NOWHERE,
    "https_proxy": NOWHERE,
    "no_proxy": "127.0.0.1",
}

ORDERS_A_DAY = [{"orders": 60, "first": "2025-01-15-000", "coupons": 6}]
REVENUE = [
    {"day": "2025-01-15", "orders": 2, "revenue": 100.0},
    {"day": "2025-01-16", "orders": 2, "revenue": 42.0},
]
SENSORS = [
    {"sensor": "kitchen", "celsius": 19.5},
    {"sensor": "kitchen", "celsius": 20.1},
    {"sensor": "roof", "celsius": -3.2},
    {"sensor": "roof", "celsius": None},
]
SLOW = pytest.mark.slow  # test_flights.py and test_nightscout.py hold what the examples make


@pytest.mark.parametrize(
    ("template", "loads", "query", "rows"),
    [
        pytest.param(
            "basic",
            ["orders --partition 2025-01-15"],
            "SELECT count(*) AS orders, count(DISTINCT id) AS ids FROM bronze.orders",
            [{"orders": 100, "ids": 100}],
            id="basic",
        ),
        pytest.param(
            "rest-api",
            ["orders --partition 2025-01-15"],
            "SELECT count(*) AS orders, min(order_id) AS first, count(coupon) AS coupons "
            "FROM bronze.orders",
            ORDERS_A_DAY,
            marks=SLOW,
            id="rest-api",
        ),
        pytest.param(
            "files",
            ["readings"],
            "SELECT sensor, celsius FROM bronze.readings ORDER BY 1, 2",
            SENSORS,
            marks=SLOW,
            id="files",
        ),
        pytest.param(
            "dbt-medallion",
            ["orders customers", "--select tag:dbt"],
            "SELECT * FROM gold.daily_revenue ORDER BY day",
            REVENUE,
            marks=SLOW,
            id="dbt-medallion",
        ),
        pytest.param(
            "nightscout",
            ["glucose_entries+ --partition 2025-11-04"],
            "SELECT hour_of_day, sum(day_count) AS days FROM marts.mrt_glucose_hourly_patterns "
            "WHERE hour_of_day < 2 GROUP BY hour_of_day ORDER BY hour_of_day",
            [{"hour_of_day": 0, "days": 1}, {"hour_of_day": 1, "days": 1}],
            marks=SLOW,
            id="nightscout",
        ),
        pytest.param(
            "flights",
            [
                "airlines airports planes",
                "flights weather --partition 2013-01-01",
                "--select tag:dbt",
            ],
            "SELECT sum(scheduled_flights) AS flights FROM marts.mrt_daily_carrier_punctuality",
            [{"flights": 842}],
            marks=SLOW,
            id="flights",
        ),
    ],
)
def test_a_template_is_alive_at_once(tmp_path, template, loads, query, rows):
    phlo(tmp_path, "init", "fresh", "--template", template)
    folder = tmp_path / "fresh"
    assert " passed" in phlo(folder, "test", "-q")
    for load in loads:
        checks = json.loads(phlo(folder, "materialize", *load.split(), "--json"))["checks"]
        assert {c["status"] for c in checks if c["severity"] == "error"} == {"passed"} or not checks
    assert json.loads(phlo(folder, "query", query, "--json")) == rows


def phlo(folder, *arguments):
    done = subprocess.run(
        [sys.executable, "-m", "phlo_cli", *arguments],
        cwd=folder,
        env=own_environment(**NO_NETWORK),
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
