"""Reads the tables of a lake with pyiceberg, Polars or Daft, and prints their rows.

    python read_arrow.py pyiceberg|polars|daft < tables.json

Standard input: ``{"catalog": {...}, "tables": [{"key", "name", "snapshot_id"}]}``. Printed: rows or
an error for each key.
"""

import json
import sys

from canonical import canonical_rows
from pyiceberg.catalog import load_catalog


def by_pyiceberg(table, snapshot_id):
    return table.scan(snapshot_id=snapshot_id).to_arrow()


def by_polars(table, snapshot_id):
    import polars as pl

    return pl.scan_iceberg(table, snapshot_id=snapshot_id).collect().to_arrow()


def by_daft(table, snapshot_id):
    import daft

    return daft.read_iceberg(table, snapshot_id=snapshot_id).to_arrow()


def read(reader, table, snapshot_id):
    try:
        return {"rows": canonical_rows(reader(table, snapshot_id).to_pylist())}
    except Exception as error:  # noqa: BLE001 - whatever a reader says is its answer
        return {"error": f"{type(error).__name__}: {error}"}


def main():
    reader = {"pyiceberg": by_pyiceberg, "polars": by_polars, "daft": by_daft}[sys.argv[1]]
    asked = json.load(sys.stdin)
    catalog = load_catalog("lake", **asked["catalog"])
    answers = {
        t["key"]: read(reader, catalog.load_table(t["name"]), t["snapshot_id"])
        for t in asked["tables"]
    }
    print("ANSWERS", json.dumps(answers))


if __name__ == "__main__":
    main()
