"""Reads the tables of a lake with DuckDB's own iceberg extension, from its wheels."""

import json
import sys

import duckdb
from canonical import canonical_rows
from duckdb_extensions import import_extension


def read(connection, table):
    at = f", snapshot_from_id={table['snapshot_id']}" if table["snapshot_id"] else ""
    query = f"SELECT * FROM iceberg_scan('{table['metadata_location']}'{at})"
    try:
        return {"rows": canonical_rows(connection.execute(query).to_arrow_table().to_pylist())}
    except Exception as error:  # noqa: BLE001 - whatever a reader says is its answer
        return {"error": f"{type(error).__name__}: {error}"}


def main():
    asked = json.load(sys.stdin)
    connection = duckdb.connect()
    for extension in ("avro", "iceberg"):
        import_extension(extension)
        connection.load_extension(extension)
    connection.execute("SET TimeZone = 'UTC'")
    print("ANSWERS", json.dumps({t["key"]: read(connection, t) for t in asked["tables"]}))


if __name__ == "__main__":
    main()
