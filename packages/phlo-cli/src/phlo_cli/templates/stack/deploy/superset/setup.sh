#!/bin/sh
# Make Superset's tables, the user admin and the roles; what is there stays.
set -eu
superset db upgrade
superset fab create-admin --username admin --firstname Superset --lastname Admin \
    --email admin@localhost --password "$SUPERSET_ADMIN_PASSWORD"
superset init
