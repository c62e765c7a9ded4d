"""Answers statements of SQL with Spark, one line of JSON each, on catalogs of one database.

python spark_session.py RUNTIME_JAR,DRIVER_JAR '{"uri": ..., "warehouse": ..., "catalogs": [...]}'
"""

import json
import sys

from pyspark.sql import SparkSession


def start(jars, uri, warehouse, catalogs):
    """Start a session that knows these catalogs of one database."""
    extensions = "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions"
    builder = (
        SparkSession.builder.master("local[1]")
        .config("spark.jars", jars)
        .config("spark.ui.enabled", "false")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.memory", "700m")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.driver.extraJavaOptions", "-Duser.timezone=UTC")
        .config("spark.sql.extensions", extensions)
    )
    for name in catalogs:
        catalog = f"spark.sql.catalog.{name}"
        builder = (
            builder.config(catalog, "org.apache.iceberg.spark.SparkCatalog")
            .config(f"{catalog}.type", "jdbc")
            .config(f"{catalog}.uri", f"jdbc:{uri.replace('///', '', 1)}")
            .config(f"{catalog}.warehouse", warehouse)
            .config(f"{catalog}.jdbc.schema-version", "V1")
            .config(f"{catalog}.cache-enabled", "false")
        )
    return builder.getOrCreate()


def main():
    spark = start(sys.argv[1], **json.loads(sys.argv[2]))
    for line in sys.stdin:
        rows = [list(row) for row in spark.sql(json.loads(line)).collect()]
        print("ANSWER", json.dumps(rows), flush=True)
    spark.stop()


if __name__ == "__main__":
    main()
