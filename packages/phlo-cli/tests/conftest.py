"""A project of plain Dagster assets, and the `phlo` command in this process or its own."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass

import pytest

PLAIN_ASSETS = """
    import logging

    import dagster as dg
    from phlo.errors import ContractError

    daily = dg.DailyPartitionsDefinition("2025-01-01", end_date="2025-02-01")
    late = dg.DailyPartitionsDefinition("2025-01-10", end_date="2025-02-01")


    @dg.asset(partitions_def=daily, group_name="api", tags={"domain": "orders"})
    def dlt_orders(context) -> None:
        logging.getLogger("phlo_dlt.load").warning("Dropped 3 columns of [orders].")
        context.add_output_metadata(
            {
                "extracted": 5,
                "inserted": 3,
                "unchanged": 2,
                "dagster/row_count": 8,
            }
        )


    @dg.asset_check(asset=dlt_orders, blocking=True)
    def has_rows() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=True, metadata={"row_count": 5, "status": "passed"})


    @dg.asset(partitions_def=late, deps=[dlt_orders])
    def dlt_refunds() -> None: ...


    @dg.asset(deps=[dlt_orders, dlt_refunds], group_name="marts")
    def daily_totals(context) -> None:
        print("partition is", context.run.tags.get("dagster/partition"))


    @dg.asset
    def broken() -> None:
        try:
            raise ContractError(
                "3 rows break the contract.", got="'x'", expected="a number", hint="Repair it."
            )
        except ContractError as error:
            raise dg.Failure(str(error), allow_retries=False) from error


    @dg.asset(deps=[broken])
    def after_broken() -> None: ...


    @dg.asset
    def crashes() -> None:
        {}["missing"]


    @dg.asset(retry_policy=dg.RetryPolicy(max_retries=1))
    def crashes_twice() -> None:
        {}["missing"]
"""


@dataclass(frozen=True)
class Answer:
    """What a command said."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


@pytest.fixture
def phlo(capfd, monkeypatch):
    """Run `phlo` in this process; returns its exit code and what it printed."""
    from phlo_cli.main import main

    monkeypatch.setenv("COLUMNS", "120")

    def run(*arguments: str) -> Answer:
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(list(arguments))
        out, err = capfd.readouterr()
        return Answer(int(ended.value.code or 0), out, err)

    return run


@pytest.fixture
def phlo_process(phlo_environment):
    """Run `phlo` as a process of its own."""

    def run(*arguments: str) -> Answer:
        done = subprocess.run(
            [sys.executable, "-m", "phlo_cli", *arguments],
            capture_output=True,
            text=True,
            cwd=phlo_environment,
            timeout=120,
            check=False,
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def plain_project(phlo_project):
    """A project of plain Dagster assets, with partitions and checks."""
    phlo_project.write("workflows/plain.py", PLAIN_ASSETS)
    return phlo_project
