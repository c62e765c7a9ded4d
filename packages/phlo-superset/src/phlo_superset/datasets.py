"""Datasets of published marts: description, columns and metrics."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from phlo_superset.changes import Change
from phlo_superset.ledger import Ledger, fingerprint

if TYPE_CHECKING:
    from phlo_superset.client import SupersetClient
    from phlo_superset.columns import Column
    from phlo_superset.databases import MartsConnection
    from phlo_superset.ledger import Comparison
    from phlo_superset.published import PublishedMart

_METRIC = ("expression", "verbose_name", "description", "d3format")


@dataclass
class Dataset:
    """A dataset of a mart.

    Attributes:
        id: Superset's id of it; ``None`` while it is not made, in a dry run.
        ledger: What phlo wrote: description, columns, metrics and charts.
    """

    id: int | None
    ledger: Ledger = field(default_factory=lambda: Ledger({}, {}))


def sync_dataset(
    client: SupersetClient,
    connection: MartsConnection,
    mart: PublishedMart,
    listed: dict[str, Any] | None,
    *,
    dry_run: bool,
) -> tuple[Dataset | None, Change]:
    """Create the dataset of a mart, or bring it up to date.

    Args:
        client: Logged in.
        connection: Of the marts' database.
        mart: The mart.
        listed: The dataset as Superset lists it; ``None``: there is none.
        dry_run: Write nothing.

    Returns:
        The dataset, unless people removed it or put a query in its place; and what is done.
    """
    entry = f"dataset {mart.name}"
    if listed is None and entry in connection.ledger.fingerprints:
        return None, Change("dataset", mart.name, "keep", kept=("its removal",))
    if listed is not None and listed.get("kind") == "virtual":
        return None, Change("dataset", mart.name, "keep", kept=("its query",))
    connection.ledger.fingerprints[entry] = fingerprint(mart.name)
    if listed is not None:
        return _update(client, mart, listed["id"], is_new=False, dry_run=dry_run)
    if dry_run:
        return Dataset(None), Change("dataset", mart.name, "create")
    body = {"database": connection.id, "schema": mart.schema, "table_name": mart.table}
    return _update(
        client, mart, client.create("dataset", mart.name, body), is_new=True, dry_run=False
    )


def _update(
    client: SupersetClient, mart: PublishedMart, key: int, *, is_new: bool, dry_run: bool
) -> tuple[Dataset, Change]:
    found = client.get("dataset", key) or {}
    ledger = Ledger.read(found.get("extra"))
    wanted = _wanted(mart)
    comparison = ledger.compare(_current(found), wanted)
    retyped = _retyped(mart, ledger)
    gone = [c["column_name"] for c in _physical(found) if c["column_name"] not in _names(mart)]
    body = _body(found, mart, comparison, retyped, gone)
    changes_ledger = ledger.note(comparison, wanted)
    ledger.fingerprints |= {f"type {c.name}": fingerprint(c.type) for c in mart.columns}
    if not dry_run and (body or changes_ledger or retyped):
        client.update("dataset", key, mart.name, body | {"extra": ledger.written()})
    written = (*comparison.to_write, *(f"column {name}" for name in [*retyped, *gone]))
    action = (
        "create" if is_new else "update" if body else "keep" if comparison.kept else "unchanged"
    )
    change = Change(
        "dataset", mart.name, action, tuple(dict.fromkeys(written)), tuple(comparison.kept)
    )
    return Dataset(key, ledger), change


def _names(mart: PublishedMart) -> set[str]:
    return {column.name for column in mart.columns}


def _physical(found: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the columns that stand in the table; people may have added computed ones."""
    return [column for column in found.get("columns", []) if not column.get("expression")]


def _wanted(mart: PublishedMart) -> dict[str, Any]:
    return {
        "description": mart.description,
        **{f"column {column.name}": column.description for column in mart.columns},
        **{f"metric {metric.name}": metric.as_superset() for metric in mart.metrics},
    }


def _current(found: dict[str, Any]) -> dict[str, Any]:
    metrics = {
        f"metric {metric['metric_name']}": {name: metric.get(name) or "" for name in _METRIC}
        for metric in found.get("metrics", [])
    }
    columns = {
        f"column {column['column_name']}": column.get("description") or ""
        for column in found.get("columns", [])
    }
    return {"description": found.get("description") or "", **columns, **metrics}


def _retyped(mart: PublishedMart, ledger: Ledger) -> list[str]:
    """List the columns whose type is not that of the last sync."""
    known = ledger.fingerprints
    return [
        column.name
        for column in mart.columns
        if known.get(f"type {column.name}", fingerprint(column.type)) != fingerprint(column.type)
    ]


def _body(
    found: dict[str, Any],
    mart: PublishedMart,
    comparison: Comparison,
    retyped: list[str],
    gone: list[str],
) -> dict[str, Any]:
    """Write the attributes that change; Superset wants lists of columns and metrics whole."""
    to_write = comparison.to_write
    body: dict[str, Any] = {}
    if "description" in to_write:
        body["description"] = to_write["description"]
    if retyped or gone or any(name.startswith("column ") for name in to_write):
        body["columns"] = _columns(found, mart, comparison, retyped, gone)
    metrics = {
        name.removeprefix("metric "): value
        for name, value in to_write.items()
        if name.startswith("metric ")
    }
    if metrics:
        body["metrics"] = _metrics(found, metrics)
    return body


def _columns(
    found: dict[str, Any],
    mart: PublishedMart,
    comparison: Comparison,
    retyped: list[str],
    gone: list[str],
) -> list[dict[str, Any]]:
    columns: dict[str, dict[str, Any]] = {
        column["column_name"]: {"id": column["id"], "column_name": column["column_name"]}
        for column in found.get("columns", [])
        if column["column_name"] not in gone or column.get("expression")
    }
    for column in mart.columns:
        name, entry = column.name, f"column {column.name}"
        if name not in columns and entry in comparison.kept:
            continue
        if name not in columns or name in retyped:
            columns[name] = columns.get(name, {}) | _attributes(column)
        if entry in comparison.to_write:
            columns[name]["description"] = column.description
    return list(columns.values())


def _attributes(column: Column) -> dict[str, Any]:
    return {
        "column_name": column.name,
        "type": column.type.upper(),
        "is_dttm": column.is_temporal,
        "filterable": True,
        "groupby": True,
        "is_active": True,
    }


def _metrics(found: dict[str, Any], to_write: dict[str, Any]) -> list[dict[str, Any]]:
    metrics: dict[str, dict[str, Any]] = {
        metric["metric_name"]: {name: metric[name] for name in ("id", "metric_name", "expression")}
        for metric in found.get("metrics", [])
    }
    for name, attributes in to_write.items():
        values = {key: value or None for key, value in attributes.items()}
        metrics[name] = metrics.get(name, {}) | {"metric_name": name} | values
    return list(metrics.values())
