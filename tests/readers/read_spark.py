"""Reads the tables of a lake with Spark and Iceberg's runtime.

python read_spark.py RUNTIME_JAR,DRIVER_JAR < tables.json
"""

import json
import sys

from canonical import canonical_rows
from pyspark.sql import SparkSession


def start(jars, catalog):
    extensions = "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions"
    builder = (
        SparkSession.builder.master("local[2]")
        .config("spark.jars", jars)
        .config("spark.ui.enabled", "false")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.memory", "700m")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.driver.extraJavaOptions", "-Duser.timezone=UTC")
        .config("spark.sql.extensions", extensions)
        .config("spark.sql.catalog.lake", "org.apache.iceberg.spark.SparkCatalog")
        .config("spark.sql.catalog.lake.type", "jdbc")
        .config("spark.sql.catalog.lake.uri", f"jdbc:{catalog['uri'].replace('///', '', 1)}")
        .config("spark.sql.catalog.lake.warehouse", catalog["warehouse"])
        .config("spark.sql.catalog.lake.jdbc.schema-version", "V1")
    )
    return builder.getOrCreate()


def read(spark, table):
    at = f" VERSION AS OF '{table['ref']}'" if table["ref"] else ""
    try:
        rows = spark.sql(f"SELECT * FROM lake.{table['name']}{at}").collect()
        return {"rows": canonical_rows(row.asDict(recursive=True) for row in rows)}
    except Exception as error:  # noqa: BLE001 - whatever a reader says is its answer
        return {"error": f"{type(error).__name__}: {str(error)[:500]}"}


def main():
    asked = json.load(sys.stdin)
    spark = start(sys.argv[1], asked["catalog"])
    answers = {table["key"]: read(spark, table) for table in asked["tables"]}
    spark.stop()
    print("ANSWERS", json.dumps(answers))


if __name__ == "__main__":
    main()
