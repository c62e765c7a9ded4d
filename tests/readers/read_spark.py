"""Reads the tables of a lake with Spark and Iceberg's runtime.

python read_spark.py RUNTIME_JAR,DRIVER_JAR < tables.json
"""

import json
import sys

from canonical import canonical_rows
from spark_session import start


def read(spark, table):
    at = f" VERSION AS OF '{table['ref']}'" if table["ref"] else ""
    try:
        rows = spark.sql(f"SELECT * FROM lake.{table['name']}{at}").collect()
        return {"rows": canonical_rows(row.asDict(recursive=True) for row in rows)}
    except Exception as error:  # noqa: BLE001 - whatever a reader says is its answer
        return {"error": f"{type(error).__name__}: {str(error)[:500]}"}


def main():
    asked = json.load(sys.stdin)
    catalog = asked["catalog"]
    spark = start(sys.argv[1], catalog["uri"], catalog["warehouse"], ["lake"])
    answers = {table["key"]: read(spark, table) for table in asked["tables"]}
    spark.stop()
    print("ANSWERS", json.dumps(answers))


if __name__ == "__main__":
    main()
