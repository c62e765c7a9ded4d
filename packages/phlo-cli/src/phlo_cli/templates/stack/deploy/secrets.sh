#!/bin/sh
# Write the passwords that .env does not have yet. What is there stays as it is.
set -eu
umask 077
touch .env
chmod 600 .env
[ -z "$(tail -c 1 .env)" ] || echo >> .env
for name in POSTGRES_PASSWORD LAKE_PASSWORD DAGSTER_PASSWORD MARTS_PASSWORD SUPERSET_PASSWORD \
    MINIO_ROOT_PASSWORD TRINO_SECRET SUPERSET_SECRET_KEY SUPERSET_ADMIN_PASSWORD; do
    if ! grep -q "^$name=" .env; then
        echo "$name=$(head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n')" >> .env
    fi
done
