"""Marts of a branch stand in schemas of their own, and go with it."""

import pyarrow as pa
import pytest
from phlo.errors import InvalidNameError
from phlo.events import BranchEvent
from phlo.lake import open_lake
from phlo.names import TableName
from phlo.plugins import notify

pytestmark = pytest.mark.integration


def numbers(*values):
    return pa.table({"n": pa.array(values, pa.int64())})


@pytest.fixture
def on_branch(monkeypatch):
    """Go to a branch, or back to main."""
    from phlo.config import reset_settings
    from phlo.lake import reset_lake

    def go(name):
        monkeypatch.setenv("PHLO_BRANCH", name)
        reset_settings()
        reset_lake()

    return go


def test_marts_of_a_branch_leave_mains_and_are_dropped_with_it(
    write_mart, publish, database, on_branch
):
    database.execute("CREATE SCHEMA other__dev")  # somebody's own, whatever its name
    write_mart("marts.daily", numbers(1))
    publish({"daily": "marts.daily"})
    store = open_lake().store
    store.create_branch("dev")
    on_branch("dev")
    write_mart("marts.daily", numbers(1, 2))
    assert publish({"daily": "marts.daily"})["daily"].target == "marts__dev.daily"
    assert database.execute("SELECT n FROM marts.daily").fetchall() == [(1,)]
    published = database.execute("SELECT n FROM marts__dev.daily ORDER BY n").fetchall()
    assert published == [(1,), (2,)]
    on_branch("main")
    store.publish_branch("dev")
    store.delete_branch("dev")
    notify("phlo_on_branch", BranchEvent("dev", "deleted"))
    schemas = {row[0] for row in database.execute("SELECT nspname FROM pg_namespace").fetchall()}
    assert {"marts", "other__dev"} <= schemas
    assert "marts__dev" not in schemas
    recorded = database.execute("SELECT schema_name FROM phlo.published").fetchall()
    assert recorded == [("marts",)]
    assert open_lake().store.exists(TableName("marts", "daily"))
    publish({"daily": "marts.daily"})
    assert database.execute("SELECT n FROM marts.daily ORDER BY n").fetchall() == [(1,), (2,)]


def test_a_schema_name_that_postgresql_would_cut_is_refused(write_mart, publish, on_branch):
    write_mart("marts.daily", numbers(1))
    open_lake().store.create_branch("x" * 40)
    on_branch("x" * 40)
    with pytest.raises(InvalidNameError, match="shorter name"):
        publish({"daily": "marts.daily"}, target_schema="s" * 22)
