"""Marts, passwords and databases that change between two syncs, and syncs that break off."""

from contextlib import suppress
from functools import partial
from itertools import cycle

import pyarrow as pa
import pytest
from phlo.errors import ServiceError
from phlo.lake import open_lake, reset_lake
from phlo.sql import Identifier, sql
from phlo_superset.client import SupersetClient

pytestmark = [pytest.mark.integration, pytest.mark.superset]


def columns_of(shop, name):
    dataset = shop.dataset(name)
    return {c["column_name"]: (c["type"], c["is_dttm"]) for c in dataset["columns"]}


def test_columns_follow_the_mart(shop):
    shop.publish(m=pa.table({"n": [1], "amount": [1], "t": ["x"]}))
    shop.sync()
    shop.publish(m=pa.table({"n": [1], "amount": [1.5], "at": pa.array([0], pa.timestamp("us"))}))
    change = shop.sync()[("dataset", "marts.m")]
    assert change.action == "update"
    assert {"column amount", "column t", "column at", "metric avg__amount"} <= set(change.written)
    assert columns_of(shop, "m") == {
        "n": ("BIGINT", False),
        "amount": ("DOUBLE PRECISION", False),
        "at": ("TIMESTAMP WITHOUT TIME ZONE", True),
    }
    rows = shop.superset.ask(shop.dataset("m")["id"], columns=["n", "amount"])
    assert rows == [{"n": 1, "amount": 1.5}]
    assert shop.sync()[("dataset", "marts.m")].action == "unchanged"


def test_marts_that_are_gone_are_told_and_left(shop, postgres_database):
    shop.publish(kept=pa.table({"n": [1]}), gone=pa.table({"n": [1]}))
    shop.sync()
    with postgres_database.connect(autocommit=True) as connection:
        connection.execute("DROP TABLE marts.gone")
    assert shop.sync()[("dataset", "marts.gone")].action == "unpublished"
    assert shop.dataset("gone")["table_name"] == "gone"
    shop.publish(gone=pa.table({"n": [2]}))
    assert shop.sync()[("dataset", "marts.gone")].action == "unchanged"


def test_a_dataset_that_people_removed_is_not_made_again(shop):
    shop.publish(m=pa.table({"n": [1]}), other=pa.table({"n": [1]}))
    shop.sync()
    path = f"/api/v1/dataset/{shop.dataset('m')['id']}"
    shop.client._request("DELETE", path, "delete")
    for _ in range(2):
        assert shop.sync()[("dataset", "marts.m")].kept == ("its removal",)
    assert [d["table_name"] for d in shop.listed("dataset")] == ["other"]


def test_names_are_taken_as_they_are(shop):
    hostile = {'a "b"': [1], "é": ["x"], "Day": pa.array([0], pa.date32()), "100%": [1.0]}
    shop.publish(**{"weird 'n\"m%s": pa.table(hostile)})
    shop.sync()
    dataset = shop.dataset("weird 'n\"m%s")
    assert {c["column_name"] for c in dataset["columns"]} == set(hostile)
    metrics = [m["metric_name"] for m in dataset["metrics"]]
    (row,) = shop.superset.ask(dataset["id"], columns=["é"], metrics=metrics)
    assert row == {"é": "x", "count": 1, 'sum__a "b"': 1, "avg__100%": 1.0}
    assert {c.action for c in shop.sync().values()} == {"unchanged"}


def test_a_new_password_reaches_superset(shop, postgres_database, set_environment):
    shop.publish(m=pa.table({"n": [1]}))
    with postgres_database.connect(autocommit=True) as connection:
        role = Identifier(f"bi_{postgres_database.database}")
        for statement in (
            "CREATE ROLE {r} LOGIN SUPERUSER PASSWORD 'first'",
            "ALTER ROLE {r} PASSWORD 'second'",
        ):
            connection.execute(sql(statement, r=role).encode())
            password = "first" if "first" in statement else "second"
            set_environment(PHLO_POSTGRES_USER=role, PHLO_POSTGRES_PASSWORD=password)
            action = "create" if password == "first" else "update"
            assert shop.sync()[("database", shop.database_name)].action == action
    assert shop.sync()[("database", shop.database_name)].action == "unchanged"
    assert shop.superset.ask(shop.dataset("m")["id"], columns=["n"]) == [{"n": 1}]


def test_a_database_that_people_made_is_used_as_it_is(shop, postgres_database, set_environment):
    shop.publish(m=pa.table({"n": [1]}))
    secret = postgres_database.password.get_secret_value()
    address = f"{postgres_database.host}:{postgres_database.port}/{postgres_database.database}"
    uri = f"postgresql://{postgres_database.user}:{secret}@{address}"
    body = {"database_name": f"Our {shop.folder.name}", "sqlalchemy_uri": uri}
    key = shop.client.create("database", "ours", body)
    set_environment(PHLO_SUPERSET_DATABASE_NAME=body["database_name"])
    for action in ("create", "unchanged"):
        told = shop.sync()
        assert told[("database", body["database_name"])].kept == ("its address",)
        assert told[("dataset", "marts.m")].action == action
    assert shop.client.connection(key)["sqlalchemy_uri"].startswith("postgresql://")
    assert shop.client.find("database", database_name=shop.database_name) == []


class BreakingSends:
    """Lets the requests of a sync break off at one of its writes.

    Args:
        at: Which write, counted from 1; the first one is the login.
        is_sent: Whether Superset gets it, so that only its answer is lost.
    """

    def __init__(self, at, *, is_sent):
        self._at, self._is_sent, self._writes, self._send = at, is_sent, 0, SupersetClient._send

    def __get__(self, client, _):
        return partial(self, client)

    def __call__(self, client, method, path, **options):
        self._writes += method != "GET"
        is_last = method != "GET" and self._writes == self._at
        if not is_last or self._is_sent:
            answer = self._send(client, method, path, **options)
        if is_last:
            raise ServiceError("Superset is gone.")
        return answer


def test_a_sync_that_broke_off_anywhere_is_completed_by_the_next(shop, monkeypatch):
    """Every sync breaks off one write later than the one before; the last one does not."""
    shop.publish(m=pa.table({"n": [1], "t": ["x"]}))
    for syncs, place in enumerate(cycle([(2, True), (3, False)])):  # noqa: B007 - asserted below
        at, is_sent = place
        with monkeypatch.context() as context, suppress(ServiceError):
            context.setattr(SupersetClient, "_send", BreakingSends(at, is_sent=is_sent))
            shop.sync()
            break
    assert syncs > 4
    assert {c.action for c in shop.sync().values()} == {"unchanged"}
    dataset = shop.dataset("m")
    assert len(shop.client.find("chart", datasource_id=dataset["id"])) == 2
    assert {m["metric_name"] for m in dataset["metrics"]} == {"count", "sum__n"}
    assert len(shop.client.get("dashboard", shop.slug)["charts"]) == 2


def test_marts_of_a_branch_are_not_shown(shop, set_environment):
    shop.publish(m=pa.table({"n": [1]}))
    open_lake().store.create_branch("dev")
    set_environment(PHLO_BRANCH="dev")
    reset_lake()
    shop.publish(m=pa.table({"n": [2]}), other=pa.table({"n": [1]}))
    set_environment(PHLO_BRANCH="main")
    reset_lake()
    assert [name for kind, name in shop.sync() if kind == "dataset"] == ["marts.m"]
