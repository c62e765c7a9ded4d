#!/bin/sh
# Print the settings for .env by which `phlo` on this machine uses the servers of the stack.
set -eu
value() { sed -n "s/^$1=//p" .env | tail -n 1; }
port() { port=$(value "$1"); echo "${port:-$2}"; }
postgres=$(port POSTGRES_PORT 5432)
cat <<END
PHLO_ICEBERG_CATALOG_URI=postgresql+psycopg://lake:$(value LAKE_PASSWORD)@127.0.0.1:$postgres/lake
PHLO_ICEBERG_WAREHOUSE=s3://lake/warehouse
PHLO_ICEBERG_S3_ENDPOINT=http://127.0.0.1:$(port MINIO_PORT 9000)
PHLO_ICEBERG_S3_REGION=us-east-1
PHLO_ICEBERG_S3_ACCESS_KEY_ID=phlo
PHLO_ICEBERG_S3_SECRET_ACCESS_KEY=$(value MINIO_ROOT_PASSWORD)
PHLO_TRINO_HOST=127.0.0.1
PHLO_TRINO_PORT=$(port TRINO_PORT 8080)
PHLO_TRINO_WORK_CATALOGS=work-1=lake_work_1,work-2=lake_work_2
PHLO_POSTGRES_HOST=127.0.0.1
PHLO_POSTGRES_PORT=$postgres
PHLO_POSTGRES_DATABASE=marts
PHLO_POSTGRES_USER=marts
PHLO_POSTGRES_PASSWORD=$(value MARTS_PASSWORD)
END
