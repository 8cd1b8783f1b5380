#!/usr/bin/env bash
# Postgres 15 in its stand-in image: user and password `postgres`, reached from the containers' network.
set -euo pipefail
PATH=/usr/lib/postgresql/15/bin:$PATH
data=/var/lib/postgresql/data
if [ ! -s "$data/PG_VERSION" ]; then
  initdb --pgdata="$data" --encoding=UTF8 --locale=C.UTF-8 --username=postgres --pwfile=<(echo postgres) --auth=scram-sha-256
  echo 'host all all all scram-sha-256' >>"$data/pg_hba.conf"
fi
exec postgres -D "$data" -c listen_addresses='*' -c fsync=off -c unix_socket_directories=/tmp
