#!/bin/sh
# Make a role and a database of its own for each user of this server. It runs once, when the
# server's volume is empty.
set -eu
for name in lake dagster marts superset; do
    variable=$(echo "$name" | tr '[:lower:]' '[:upper:]')_PASSWORD
    psql --set ON_ERROR_STOP=1 --username "${POSTGRES_USER:-postgres}" --dbname postgres --quiet \
        --set name="$name" --set password="$(printenv "$variable")" <<'SQL'
CREATE ROLE :"name" LOGIN PASSWORD :'password';
CREATE DATABASE :"name" OWNER :"name";
REVOKE ALL ON DATABASE :"name" FROM PUBLIC;
SQL
done
