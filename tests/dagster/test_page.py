"""What people do in Dagster's page works with phlo's assets: the page's requests, to `phlo dev`.

All tests share one `phlo dev`. What they expect stands in the guide's page.
"""

import json
import signal
import subprocess
import sys
import time
import urllib.request
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
from phlo.locks import locked
from phlo_testing.ports import free_ports
from phlo_testing.processes import own_environment
from pyiceberg.catalog.sql import SqlCatalog

pytestmark = [pytest.mark.slow, pytest.mark.integration, pytest.mark.xdist_group("page")]

SECONDS = 150
DAYS = ["2025-01-01", "2025-01-02"]
SHOP = """
import time
from pathlib import Path

import dagster as dg
import pandera.pandas as pa
from phlo_dlt import phlo_ingestion


class Orders(pa.DataFrameModel):
    id: str


OPTIONS = dict(unique_key="id", validation_schema=Orders, group="shop", start_date="2025-01-01")


@phlo_ingestion(table_name="orders", **OPTIONS)
def orders(partition_date: str):
    with open("asked", "a") as file:
        file.write(partition_date + "\\n")
    return [{"id": f"{partition_date}-{n}"} for n in range(2)]


@phlo_ingestion(table_name="slow", **OPTIONS)
def slow(partition_date: str):
    yield {"id": partition_date}
    Path(f"slow-{partition_date}").touch()
    time.sleep(600)


def take_turns(partition_date):
    with open("turns", "a") as file:
        file.write("begin ")
        file.flush()
        time.sleep(2)
        file.write("end ")
    return [{"id": partition_date}]


@phlo_ingestion(table_name="pooled", pool="shop", **OPTIONS)
def pooled(partition_date: str):
    return take_turns(partition_date)


@phlo_ingestion(table_name="tagged", **OPTIONS)
def tagged(partition_date: str):
    return take_turns(partition_date)


tagged_job = dg.define_asset_job("tagged_job", ["dlt_tagged"], tags={"source": "shop"})


@dg.asset(
    deps=["dlt_orders"],
    partitions_def=dg.DailyPartitionsDefinition("2025-01-01", end_offset=1),
)
def fragile():
    if not Path("healed").exists():
        raise ValueError("not yet")


again = dg.define_asset_job("again", ["dlt_orders", "fragile"])
"""
NEW = """
import pandera.pandas as pa
from phlo_dlt import phlo_ingestion


class Parcels(pa.DataFrameModel):
    id: str


@phlo_ingestion(table_name="parcels", unique_key="id", validation_schema=Parcels, group="new")
def parcels(partition_date: str):
    return [{"id": "WHAT-" + partition_date}]
"""
WORKSPACE = """
load_from:
  - python_module: {module_name: phlo.definitions, location_name: lake}
  - python_file: {relative_path: other.py, location_name: other}
"""


class Page:
    """A project, and the server of its page."""

    def __init__(self, root: Path, port: int) -> None:
        self.root, self.url = root, f"http://127.0.0.1:{port}/graphql"

    def ask(self, query, **variables):
        """Answer what Dagster's GraphQL answers; an error of the request fails the test."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(self.url, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            answered = json.load(answer)
        assert "errors" not in answered, answered
        (result,) = answered["data"].values()
        return result

    def until(self, wanted, look):
        """Wait until a look gives what is wanted; give it back."""
        end = time.monotonic() + SECONDS
        while not wanted(seen := look()) and time.monotonic() < end:
            time.sleep(0.5)
        assert wanted(seen), (seen, (self.root / "dev.log").read_text()[-3000:])
        return seen

    def backfill(self, asset, days):
        """Launch a backfill of an asset, and give its id."""
        chosen = {"assetSelection": [{"path": [asset]}], "partitionNames": days}
        return self.ask(LAUNCH_BACKFILL, chosen=chosen)["backfillId"]

    def backfill_state(self, backfill):
        return self.ask(BACKFILL, id=backfill)["status"]

    def runs(self, backfill):
        """State of each run of a backfill, by its partition."""
        runs = self.ask(RUNS, tag={"key": "dagster/backfill", "value": backfill})["results"]
        partitions = [{tag["key"]: tag["value"] for tag in run["tags"]} for run in runs]
        return {
            tags["dagster/partition"]: run["status"]
            for run, tags in zip(runs, partitions, strict=True)
        }

    def launch(self, day, job="again"):
        """Launch a run of a job for one day, and give its id."""
        chosen = {
            "selector": SELECTOR | {"pipelineName": job},
            "mode": "default",
            "executionMetadata": {"tags": [{"key": "dagster/partition", "value": day}]},
        }
        return self.ask(LAUNCH, chosen=chosen)["run"]["runId"]

    def state(self, run):
        return self.ask(RUN, id=run)["status"]

    def ids(self, table):
        """Keys of a table, read by pyiceberg; ``None`` where it is not there."""
        database = f"sqlite:///{self.root / '.phlo/catalog.db'}"
        with closing(SqlCatalog("lake", uri=database)) as catalog:
            if not catalog.table_exists(f"bronze.{table}"):
                return None
            rows = catalog.load_table(f"bronze.{table}").scan(selected_fields=("id",)).to_arrow()
        return sorted(rows["id"].to_pylist())

    def assets(self):
        return {".".join(node["assetKey"]["path"]) for node in self.ask(ASSETS)}

    def reload(self):
        """*Reload definitions*; give the error's text, empty where all is well."""
        entry = self.ask(RELOAD, name="phlo.definitions")
        return (entry["locationOrLoadError"] or {}).get("message", "")


SELECTOR = {
    "repositoryLocationName": "phlo.definitions",
    "repositoryName": "__repository__",
}
LAUNCH_BACKFILL = """
mutation($chosen: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $chosen) {
    __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message }
  }
}"""
CANCEL_BACKFILL = """
mutation($id: String!) {
  cancelPartitionBackfill(backfillId: $id) { __typename ... on PythonError { message } }
}"""
BACKFILL = """
query($id: String!) {
  partitionBackfillOrError(backfillId: $id) { ... on PartitionBackfill { status } }
}"""
RUNS = """
query($tag: ExecutionTag!) {
  runsOrError(filter: {tags: [$tag]}) {
    ... on Runs { results { runId status tags { key value } } }
  }
}"""
RUN = "query($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"
LAUNCH = """
mutation($chosen: ExecutionParams!) {
  launchPipelineExecution(executionParams: $chosen) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on UnauthorizedError { message }
    ... on PythonError { message }
  }
}"""
TERMINATE = """
mutation($ids: [String!]!) {
  terminateRuns(runIds: $ids, terminatePolicy: SAFE_TERMINATE) { __typename }
}"""
REEXECUTE = """
mutation($chosen: ReexecutionParams!) {
  launchPipelineReexecution(reexecutionParams: $chosen) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message }
  }
}"""
STEPS = """
query($id: ID!) {
  runOrError(runId: $id) { ... on Run { stepStats { stepKey status } } }
}"""
ASSETS = "query { assetNodes { assetKey { path } } }"
RELOAD = """
mutation($name: String!) {
  reloadRepositoryLocation(repositoryLocationName: $name) {
    ... on WorkspaceLocationEntry { locationOrLoadError { ... on PythonError { message } } }
  }
}"""
LOCATIONS = """
query {
  workspaceOrError {
    ... on Workspace { locationEntries { name loadStatus locationOrLoadError { __typename } } }
  }
}"""


def environment(**more):
    return own_environment(DAGSTER_DISABLE_TELEMETRY="yes", **more)


@contextmanager
def serving(root, port, command, **more):
    """A server of a page, from when it answers until it has ended."""
    with (root / "dev.log").open("a") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", *command, "--port", str(port)],
            cwd=root,
            env=environment(**more),
            stdout=log,
            stderr=log,
        )
    page = Page(root, port)
    try:
        page.until(bool, lambda: server.poll() is not None or answers(page))
        yield page
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(timeout=90)


def answers(page):
    with suppress(OSError):
        return page.ask("query { version }")
    return None


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    root = tmp_path_factory.mktemp("page")
    (root / "workflows").mkdir()
    (root / "workflows/shop.py").write_text(SHOP)
    limit_runs(root)
    (port,) = free_ports(1)
    with serving(root, port, ["phlo_cli", "dev"]) as page:
        yield page


def limit_runs(root):
    """Add the limits that the guide shows to the project's instance."""
    guide = (Path(__file__).parents[2] / "docs/guide/dagster.md").read_text()
    limits = guide.split("## Limits on")[1].split("```yaml\n")[1].split("```")[0]
    command = [sys.executable, "-m", "phlo_cli", "status"]
    subprocess.run(command, cwd=root, env=environment(), check=True, capture_output=True)
    with (root / ".phlo/dagster/dagster.yaml").open("a") as file:
        file.write(limits)


def test_loads_of_one_pool_take_turns(page):
    backfill = page.backfill("dlt_pooled", DAYS)
    page.until("COMPLETED_SUCCESS".__eq__, lambda: page.backfill_state(backfill))
    require_turns(page, "pooled")


def test_runs_of_a_job_whose_tag_is_limited_take_turns(page):
    runs = [page.launch(day, "tagged_job") for day in DAYS]
    page.until(lambda states: states == ["SUCCESS"] * 2, lambda: [page.state(run) for run in runs])
    require_turns(page, "tagged")


def require_turns(page, table):
    """The loads of two days did not run at once, and both were published."""
    turns = page.root / "turns"
    assert turns.read_text().split() == ["begin", "end"] * 2
    turns.unlink()
    assert page.ids(table) == DAYS


def test_a_backfill_makes_one_run_for_each_partition(page):
    backfill = page.backfill("dlt_orders", DAYS)
    page.until("COMPLETED_SUCCESS".__eq__, lambda: page.backfill_state(backfill))
    assert page.runs(backfill) == dict.fromkeys(DAYS, "SUCCESS")
    assert page.ids("orders") == [f"{day}-{n}" for day in DAYS for n in range(2)]


def test_a_canceled_backfill_publishes_nothing(page):
    backfill = page.backfill("dlt_slow", DAYS)
    page.until(all, lambda: [(page.root / f"slow-{day}").exists() for day in DAYS])
    page.ask(CANCEL_BACKFILL, id=backfill)
    page.until("CANCELED".__eq__, lambda: page.backfill_state(backfill))
    assert page.runs(backfill) == dict.fromkeys(DAYS, "CANCELED")
    assert page.ids("slow") is None
    require_free_staging(page)


def test_a_terminated_run_publishes_nothing(page):
    backfill = page.backfill("dlt_slow", ["2025-01-05"])
    page.until(bool, (page.root / "slow-2025-01-05").exists)
    (run,) = page.ask(RUNS, tag={"key": "dagster/backfill", "value": backfill})["results"]
    page.ask(TERMINATE, ids=[run["runId"]])
    page.until("CANCELED".__eq__, lambda: page.state(run["runId"]))
    assert page.ids("slow") is None
    require_free_staging(page)


def require_free_staging(page):
    for lock in (page.root / ".phlo/staging").rglob(".lock"):
        with locked(lock, timeout_seconds=5):  # raises while a process holds it
            pass


def test_a_run_is_executed_again_from_its_failure(page):
    day = "2025-01-07"
    failed = page.launch(day)
    page.until("FAILURE".__eq__, lambda: page.state(failed))
    (page.root / "healed").touch()
    chosen = {"parentRunId": failed, "strategy": "FROM_FAILURE"}
    again = page.ask(REEXECUTE, chosen=chosen)["run"]["runId"]
    page.until("SUCCESS".__eq__, lambda: page.state(again))
    assert page.ask(STEPS, id=again)["stepStats"] == [{"stepKey": "fragile", "status": "SUCCESS"}]
    assert (page.root / "asked").read_text().split().count(day) == 1


def test_a_reload_takes_what_was_edited(page):
    file = page.root / "workflows/new.py"
    assert "dlt_parcels" not in page.assets()
    file.write_text(NEW.replace("WHAT", "old"))
    assert page.reload() == ""
    assert "dlt_parcels" in page.assets()
    file.write_text(NEW.replace("WHAT", "new"))
    assert page.reload() == ""
    backfill = page.backfill("dlt_parcels", ["2025-01-01"])
    page.until("COMPLETED_SUCCESS".__eq__, lambda: page.backfill_state(backfill))
    assert page.ids("parcels") == ["new-2025-01-01"]


def test_a_reload_of_a_broken_file_names_it_and_the_next_one_heals(page):
    file = page.root / "workflows/broken.py"
    file.write_text("import nothing_of_this_name\n")
    assert "workflows/broken.py" in page.reload()
    file.unlink()
    assert page.reload() == ""
    assert "dlt_orders" in page.assets()


def test_a_read_only_page_shows_several_code_locations_and_launches_nothing(page):
    (page.root / "other.py").write_text("import dagster as dg\n\n@dg.asset\ndef other(): ...\n")
    (page.root / "workspace.yaml").write_text(WORKSPACE)
    (port,) = free_ports(1)
    command = ["dagster_webserver", "--read-only", "-w", "workspace.yaml"]
    home = str(page.root / ".phlo/dagster")
    with serving(page.root, port, command, DAGSTER_HOME=home) as shown:
        entries = shown.ask(LOCATIONS)["locationEntries"]
        assert {entry["name"] for entry in entries} == {"lake", "other"}
        kinds = {entry["locationOrLoadError"]["__typename"] for entry in entries}
        assert kinds == {"RepositoryLocation"}
        assert {"dlt_orders", "other"} <= shown.assets()
        chosen = {
            "selector": SELECTOR | {"repositoryLocationName": "lake", "pipelineName": "again"},
            "mode": "default",
        }
        assert shown.ask(LAUNCH, chosen=chosen)["__typename"] == "UnauthorizedError"
