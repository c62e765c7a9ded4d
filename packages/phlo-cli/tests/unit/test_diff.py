"""`phlo diff`: what differs between branches, runs, snapshots and times."""

import pytest
from phlo.lake import open_lake, reset_lake

EVENTS = """
    import pandera.pandas as pa
    from phlo_dlt import phlo_ingestion
    from workflows import values


    class EventSchema(pa.DataFrameModel):
        id: str
        value: int


    @phlo_ingestion(
        table_name="events", unique_key="id", validation_schema=EventSchema, group="api"
    )
    def events(partition_date: str):
        return [{"id": id, "value": value} for id, value in values.ROWS.items()]


    @phlo_ingestion(
        table_name="others", unique_key="id", validation_schema=EventSchema, group="api"
    )
    def others(partition_date: str):
        return [{"id": id, "value": value} for id, value in values.ROWS.items()]
"""


@pytest.fixture
def load(phlo_project, phlo):
    """Load rows by an asset; returns the run's id."""
    phlo_project.write("workflows/events.py", EVENTS)

    def run(asset, *options, **rows):
        phlo_project.write("workflows/values.py", f"ROWS = {rows!r}\n")
        answer = phlo("materialize", asset, "--partition", "2025-01-15", "--json", *options)
        assert answer.code == 0, answer.err
        return answer.json["run_id"]

    return run


@pytest.fixture
def diff(phlo):
    """Compare two states; returns change, added, removed and changed rows by table."""

    def compare(*arguments):
        answer = phlo("diff", *arguments, "--json")
        assert answer.code == 0, answer.err
        return {
            row["table"]: (row["change"], row["added"], row["removed"], row["changed"])
            for row in answer.json
        }

    return compare


def test_states_are_named_by_run_snapshot_time_and_branch(load, diff, phlo):
    first = load("events", a=1, b=2)
    second = load("events", a=5, b=2, c=3)
    third = load("others", x=1)
    events, others = "bronze.events", "bronze.others"

    assert diff(f"{second}^", second) == {events: ("changed", 1, 0, 1)}
    assert diff(f"{first[:8]}^", first[:8]) == {events: ("created", 2, 0, 0)}
    assert diff(first, second) == {events: ("changed", 1, 0, 1)}
    assert diff(second, first) == {events: ("changed", 0, 1, 1)}
    assert diff(f"{first}^", third) == {events: ("created", 3, 0, 0), others: ("created", 1, 0, 0)}
    newest, oldest = phlo("catalog", "history", "events", "--json").json
    between = oldest["committed_at"]
    assert diff(oldest["snapshot_id"], newest["snapshot_id"]) == {events: ("changed", 1, 0, 1)}
    assert diff(between) == {events: ("changed", 1, 0, 1), others: ("created", 1, 0, 0)}
    assert diff(between, "--table", "events") == {events: ("changed", 1, 0, 1)}
    assert diff("2000-01-01") == {events: ("created", 3, 0, 0), others: ("created", 1, 0, 0)}
    assert diff("main") == {}

    assert phlo("branch", "create", "dev").code == 0
    assert diff("main", "dev") == {}
    load("events", "--branch", "dev", a=5, b=9, c=3)
    assert diff("main", "dev") == {events: ("changed", 0, 0, 1)}
    assert diff("dev", "main") == {events: ("changed", 0, 0, 1)}
    assert diff(between, "dev")[events] == ("changed", 1, 0, 2)
    shown = phlo("diff", "main", "dev")
    assert "value before=2" in shown.out
    assert "value after=9" in shown.out


def test_a_state_that_is_no_longer_kept_is_no_new_table(load, diff, phlo):
    first, second = load("events", a=1), load("events", a=2)
    third = load("events", a=3)
    table = open_lake().store.catalog.load_table("bronze.events")
    table.maintenance.expire_snapshots().by_id(table.history()[0].snapshot_id).commit()
    reset_lake()
    assert diff(f"{third}^", third) == {"bronze.events": ("changed", 0, 0, 1)}
    assert diff(second) == {"bronze.events": ("changed", 0, 0, 1)}
    for old in (f"{second}^", "2000-01-01"):
        answer = phlo("diff", old)
        assert answer.code != 0
        assert "no longer kept" in answer.err
    assert phlo("diff", first).code == 2


@pytest.mark.parametrize("name", ["", "^", "nothing", "main^", "2025-01-15^", "deadbeef", "9999"])
def test_a_state_that_is_none_is_a_wrong_use(load, phlo, name):
    load("events", a=1)
    answer = phlo("diff", name)
    assert answer.code == 2
    assert f"Nothing is called '{name}'" in answer.err
    assert "Traceback" not in answer.err


def test_a_project_that_cannot_be_loaded_is_compared_by_the_keys_last_known(
    load, diff, phlo_project
):
    load("events", a=1)
    run_id = load("events", a=2)
    phlo_project.write("workflows/broken.py", "def (:")
    assert diff(f"{run_id}^", run_id)["bronze.events"][1:] == (0, 0, 1)
