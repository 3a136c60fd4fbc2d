#!/bin/bash
# As the official image: the data folder is made for the user postgres, who then runs the server.
set -euo pipefail
if [ "$(id -u)" = 0 ]; then
    chown -R postgres "$PGDATA"
    mkdir -p /var/run/postgresql && chown postgres /var/run/postgresql
    exec gosu postgres "$0" "$@"
fi
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    initdb -U postgres -A scram-sha-256 --pwfile=<(printf '%s' "$POSTGRES_PASSWORD") -E UTF8 --locale=C.UTF-8
    echo "host all all all scram-sha-256" >>"$PGDATA/pg_hba.conf"
    echo "listen_addresses = '*'" >>"$PGDATA/postgresql.conf"
    pg_ctl -w -o "-c listen_addresses=''" start
    PGPASSWORD=$POSTGRES_PASSWORD psql -U postgres -c "CREATE DATABASE \"$POSTGRES_DB\""
    pg_ctl -w stop
fi
exec "$@"
