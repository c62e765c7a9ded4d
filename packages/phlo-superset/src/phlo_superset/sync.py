"""Bring Superset up to date with the published marts."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

from phlo_superset.changes import Change
from phlo_superset.charts import Chart, PlacedChart, choose_charts, lay_out
from phlo_superset.databases import sync_database
from phlo_superset.datasets import Dataset, sync_dataset
from phlo_superset.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Sequence

    from phlo_superset.client import SupersetClient
    from phlo_superset.databases import MartsConnection
    from phlo_superset.published import PublishedMart


class Sync:
    """One sync; it can be run again at any time, also after one that broke off.

    Args:
        client: Logged in.
        database_name: Superset's name of the marts' database.
        database_uri: SQLAlchemy URI by which Superset reaches it.
        slug: Last part of the dashboard's address.
        title: The dashboard's title.
        dry_run: Write nothing.

    Attributes:
        changes: What was done, in order, or would be done.
    """

    def __init__(
        self,
        client: SupersetClient,
        *,
        database_name: str,
        database_uri: str,
        slug: str,
        title: str,
        dry_run: bool = False,
    ) -> None:
        self._client, self._dry_run = client, dry_run
        self._database_name, self._database_uri = database_name, database_uri
        self._slug, self._title = slug, title
        self.changes: list[Change] = []

    def run(self, marts: Sequence[PublishedMart]) -> list[Change]:
        """Provision database, datasets, charts and dashboard; return what was done."""
        connection, change = sync_database(
            self._client, self._database_name, self._database_uri, dry_run=self._dry_run
        )
        self.changes.append(change)
        listed = self._list_datasets(connection)
        placed = {mart.name: self._sync_mart(connection, mart, listed) for mart in marts}
        self._sync_dashboard(connection, marts, placed)
        if not self._dry_run:
            connection.save_ledger(self._client, self._database_name)
        self._tell_unpublished(marts, listed)
        return self.changes

    def _list_datasets(self, connection: MartsConnection) -> dict[str, dict[str, Any]]:
        if connection.id is None:
            return {}
        datasets = self._client.find("dataset", database=("rel_o_m", connection.id))
        return {f"{dataset['schema']}.{dataset['table_name']}": dataset for dataset in datasets}

    def _sync_mart(
        self,
        connection: MartsConnection,
        mart: PublishedMart,
        listed: dict[str, dict[str, Any]],
    ) -> list[PlacedChart]:
        dataset, change = sync_dataset(
            self._client, connection, mart, listed.get(mart.name), dry_run=self._dry_run
        )
        self.changes.append(change)
        if dataset is None:
            return []
        before = dict(dataset.ledger.fingerprints)
        placed = [
            chart
            for wanted in choose_charts(mart)
            if (chart := self._sync_chart(connection, dataset, mart, wanted)) is not None
        ]
        if not self._dry_run and dataset.id is not None and dataset.ledger.fingerprints != before:
            extra = {"extra": dataset.ledger.written()}
            self._client.update("dataset", dataset.id, mart.name, extra)
        return placed

    def _sync_chart(
        self, connection: MartsConnection, dataset: Dataset, mart: PublishedMart, chart: Chart
    ) -> PlacedChart | None:
        """Create or update a chart; ``None`` where people removed it, or in a dry run."""
        if dataset.id is None or not connection.uuid:
            self.changes.append(Change("chart", chart.title, "create"))
            return None
        key = uuid.uuid5(uuid.UUID(connection.uuid), f"{mart.name} {chart.key}")
        found = self._client.get("chart", str(key))
        body = {
            "slice_name": chart.title,
            "viz_type": chart.viz_type,
            "params": chart.params
            | {"viz_type": chart.viz_type, "datasource": f"{dataset.id}__table"},
        }
        entry = f"chart {chart.key}"
        current = None if found is None else {entry: _chart_value(found)}
        to_write = self._judge(dataset.ledger, "chart", chart.title, current, {entry: body})
        if to_write and not self._dry_run:
            found = self._write_chart(found, str(key), dataset.id, body)
        if found is None:
            return None
        return PlacedChart(found["id"], str(key), chart.title, chart.viz_type == "table")

    def _write_chart(
        self, found: dict[str, Any] | None, key: str, dataset: int, body: dict[str, Any]
    ) -> dict[str, Any]:
        sent, name = body | {"params": json.dumps(body["params"])}, body["slice_name"]
        if found is None:
            link = {"uuid": key, "datasource_id": dataset, "datasource_type": "table"}
            return {"id": self._client.create("chart", name, link | sent)}
        self._client.update("chart", found["id"], name, sent)
        return found

    def _judge(
        self,
        ledger: Ledger,
        kind: str,
        name: str,
        current: dict[str, Any] | None,
        wanted: dict[str, Any],
    ) -> dict[str, Any]:
        """Return the values that phlo may write of an object; tell and note what is done with it.

        Args:
            ledger: Gets the values that phlo writes.
            kind: Of the object.
            name: Its name, for people.
            current: Its values by their name in the ledger; ``None`` where it is not there.
            wanted: What phlo would write.
        """
        comparison = ledger.compare(current or {}, wanted)
        is_removed = current is None and bool(comparison.kept)
        to_write = {} if is_removed else comparison.to_write
        kept = ("its removal",) if is_removed else tuple(n.split()[-1] for n in comparison.kept)
        action = "create" if current is None else "update" if to_write else "unchanged"
        if kept and not to_write:
            action = "keep"
        written = tuple(entry.split()[-1] for entry in to_write) if action == "update" else ()
        self.changes.append(Change(kind, name, action, written, kept))
        if not is_removed:
            ledger.note(comparison, wanted)
        return to_write

    def _sync_dashboard(
        self,
        connection: MartsConnection,
        marts: Sequence[PublishedMart],
        placed: dict[str, list[PlacedChart]],
    ) -> None:
        found = self._client.get("dashboard", self._slug)
        if self._dry_run and not all(placed.values()):  # charts that are not made have no ids
            action = "create" if found is None else "update"
            self.changes.append(Change("dashboard", self._title, action))
            return
        rows = {mart.name: (mart.description, placed[mart.name]) for mart in marts}
        entry = f"dashboard {self._slug}"
        title, layout = f"{entry} title", f"{entry} layout"
        wanted = {title: self._title, layout: lay_out(self._title, rows)}
        current = None
        if found is not None:
            positions = json.loads(found.get("position_json") or "{}")
            current = {title: found.get("dashboard_title"), layout: positions}
        to_write = self._judge(connection.ledger, "dashboard", self._title, current, wanted)
        if to_write and not self._dry_run:
            self._write_dashboard(found, to_write.get(title), to_write.get(layout))

    def _write_dashboard(
        self, found: dict[str, Any] | None, title: str | None, layout: dict[str, Any] | None
    ) -> None:
        """Write title and layout; Superset finds the charts of a dashboard in its ``positions``."""
        if found is None:
            new = {"slug": self._slug, "dashboard_title": title, "published": True}
            found = {"id": self._client.create("dashboard", self._title, new)}
        body: dict[str, Any] = {} if title is None else {"dashboard_title": title}
        if layout is not None:
            metadata = json.loads(found.get("json_metadata") or "{}")
            body["json_metadata"] = json.dumps(metadata | {"positions": layout})
        self._client.update("dashboard", found["id"], self._title, body)

    def _tell_unpublished(
        self, marts: Sequence[PublishedMart], listed: dict[str, dict[str, Any]]
    ) -> None:
        names = {mart.name for mart in marts}
        self.changes += [
            Change("dataset", name, "unpublished")
            for name, dataset in sorted(listed.items())
            if name not in names and Ledger.read(dataset.get("extra")).fingerprints
        ]


def _chart_value(found: dict[str, Any]) -> dict[str, Any]:
    return {
        "slice_name": found.get("slice_name"),
        "viz_type": found.get("viz_type"),
        "params": json.loads(found.get("params") or "{}"),
    }
