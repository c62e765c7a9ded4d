"""`phlo superset sync`, on a real Superset."""

import json
from datetime import date

import pyarrow as pa
import pytest
from phlo_superset.project_sync import sync_project

pytestmark = [pytest.mark.integration, pytest.mark.superset]


def documented(**columns):
    """A schema of columns, by name a type and a comment."""
    return pa.schema(
        [pa.field(name, kind, metadata={"doc": doc}) for name, (kind, doc) in columns.items()]
    )


SALES = documented(
    day=(pa.date32(), "Day of sale"),
    region=(pa.string(), "Where"),
    revenue=(pa.int64(), "Euros"),
    return_share=(pa.float64(), "Share of sales that came back"),
)


def sales(days=2, schema=SALES):
    rows = [
        {
            "day": date(2025, 1, day + 1),
            "region": region,
            "revenue": 10 * (day + n),
            "return_share": 0.5,
        }
        for day in range(days)
        for n, region in enumerate(("north", "south"))
    ]
    return pa.Table.from_pylist(rows, schema=schema)


def actions(changes):
    return {key: change.action for key, change in changes.items()}


def test_marts_are_shown_with_descriptions_metrics_charts_and_a_dashboard(shop):
    shop.publish(sales=sales(), people=pa.table({"name": ["Ann", "Bob"]}))
    assert set(actions(shop.sync()).values()) == {"create"}

    dataset = shop.dataset("sales")
    assert dataset["description"] == "The mart marts.sales, published by phlo."
    columns = {c["column_name"]: (c["description"], c["is_dttm"]) for c in dataset["columns"]}
    assert columns == {
        "day": ("Day of sale", True),
        "region": ("Where", False),
        "revenue": ("Euros", False),
        "return_share": ("Share of sales that came back", False),
    }
    metrics = {m["metric_name"]: (m["expression"], m["d3format"]) for m in dataset["metrics"]}
    assert metrics == {
        "count": ("COUNT(*)", None),
        "sum__revenue": ('SUM("revenue")', None),
        "avg__return_share": ('AVG("return_share")', ".1%"),
    }
    totals = shop.superset.ask(
        dataset["id"],
        columns=["region"],
        metrics=["sum__revenue", "avg__return_share", "count"],
        orderby=[["region", True]],
    )
    assert totals == [
        {"region": "north", "sum__revenue": 10, "avg__return_share": 0.5, "count": 2},
        {"region": "south", "sum__revenue": 30, "avg__return_share": 0.5, "count": 2},
    ]
    dashboard = shop.client.get("dashboard", shop.slug)
    assert (dashboard["dashboard_title"], dashboard["published"]) == (
        f"Marts of {shop.folder.name}",
        True,
    )
    assert sorted(dashboard["charts"]) == [
        "People",
        "People: rows",
        "Sales",
        "Sales: return share (mean)",
    ]


def test_a_browser_shows_the_dashboard_with_its_rows(shop, screenshot):
    shop.publish(sales=sales())
    report = sync_project()
    page, picture = screenshot(f"{report.dashboard_url}?standalone=2")
    for text in ("Sales: return share (mean)", "published by phlo", "north", "2025-01-02"):
        assert text in page
    for error in ("Unexpected error", "Data error", "There is no chart definition"):
        assert error not in page
    assert picture.stat().st_size > 20_000


def objects(shop):
    """When all that Superset holds of a project was changed."""
    client, datasets = shop.client, shop.listed("dataset")
    found = {
        "database": client.find("database", database_name=shop.database_name),
        "dataset": datasets,
        "chart": [c for d in datasets for c in client.find("chart", datasource_id=d["id"])],
        "dashboard": client.find("dashboard", slug=shop.slug),
    }
    return {
        (resource, one["id"]): one.get("changed_on", one.get("changed_on_utc"))
        for resource, ones in found.items()
        for one in ones
    }


def test_a_second_sync_and_a_dry_run_write_nothing(shop):
    shop.publish(sales=sales())
    would = shop.sync(dry_run=True)
    assert set(actions(would).values()) == {"create"}
    assert objects(shop) == {}
    assert actions(shop.sync()) == actions(would)
    before = objects(shop)
    assert len(before) == 5
    for dry_run in (False, True):
        assert set(actions(shop.sync(dry_run=dry_run)).values()) == {"unchanged"}
    assert objects(shop) == before


def test_what_people_changed_or_removed_stays_and_is_told(shop, postgres_database):
    shop.publish(sales=sales())
    shop.sync()
    client, dataset = shop.client, shop.dataset("sales")
    charts = {c["slice_name"]: c["id"] for c in client.find("chart", datasource_id=dataset["id"])}
    metrics = [
        {"id": m["id"], "metric_name": m["metric_name"], "expression": "SUM(revenue) / 100"}
        for m in dataset["metrics"]
        if m["metric_name"] == "sum__revenue"
    ]
    columns = [
        {"id": c["id"], "column_name": c["column_name"]}
        | ({"description": "Our regions"} if c["column_name"] == "region" else {})
        for c in dataset["columns"]
    ]
    extra = {"extra": json.dumps(json.loads(dataset["extra"]) | {"warning_markdown": "careful"})}
    computed = {"column_name": "decade", "expression": "extract(decade from day)"}
    body = {"description": "Ours", "metrics": metrics, "columns": [*columns, computed]} | extra
    client.update("dataset", dataset["id"], "sales", body)
    client.update("chart", charts["Sales"], "Sales", {"slice_name": "Our rows"})
    client._request("DELETE", f"/api/v1/chart/{charts['Sales: return share (mean)']}", "delete")
    dashboard = client.get("dashboard", shop.slug)
    client.update("dashboard", dashboard["id"], "x", {"dashboard_title": "Our board"})

    changed = documented(
        day=(pa.date32(), "Day of sale"),
        region=(pa.string(), "Where"),
        revenue=(pa.int64(), "Euros"),
        return_share=(pa.float64(), "Share of sales that came back"),
        visits=(pa.int64(), "Visits"),
    )
    rows = sales().append_column("visits", pa.array([1, 2, 3, 4])).cast(changed)
    shop.publish(sales=rows)
    with postgres_database.connect(autocommit=True) as connection:
        for column in ("day", "region"):
            connection.execute(f"COMMENT ON COLUMN marts.sales.{column} IS 'In Paris'")
        connection.execute("COMMENT ON TABLE marts.sales IS 'All sales'")
    for _ in range(2):
        told = shop.sync()
    assert told[("dataset", "marts.sales")].kept == (
        "description",
        "column region",
        "metric avg__return_share",
        "metric sum__revenue",
    )
    assert told[("chart", "Sales")].kept == ("rows",)
    assert told[("chart", "Sales: return share (mean)")].kept == ("its removal",)
    assert told[("dashboard", f"Marts of {shop.folder.name}")].kept == ("title",)
    dataset = shop.dataset("sales")
    assert dataset["description"] == "Ours"
    assert json.loads(dataset["extra"])["warning_markdown"] == "careful"
    assert {c["column_name"]: c["description"] for c in dataset["columns"]} == {
        "day": "In Paris",
        "region": "Our regions",
        "revenue": "Euros",
        "return_share": "Share of sales that came back",
        "visits": "Visits",
        "decade": None,
    }
    assert {m["metric_name"]: m["expression"] for m in dataset["metrics"]} == {
        "sum__revenue": "SUM(revenue) / 100",
        "sum__visits": 'SUM("visits")',
    }
    assert [c["slice_name"] for c in client.find("chart", datasource_id=dataset["id"])] == [
        "Our rows"
    ]
    assert client.get("dashboard", shop.slug)["dashboard_title"] == "Our board"
