#!/usr/bin/env bash
# Runs init.cql against the service `cassandra` with the login every new Cassandra has, as soon as the server takes it.
set -euo pipefail
umask 077
credentials=$(mktemp)
trap 'rm -f "$credentials"' EXIT
# In a file, and not on a command line, where every process could read it.
printf '[PlainTextAuthProvider]\nusername = cassandra\npassword = cassandra\n' >"$credentials"

for _ in {1..60}; do
  if cqlsh --credentials "$credentials" --file "$(dirname "${BASH_SOURCE[0]}")/init.cql" "${1:-cassandra}" "${2:-9042}"; then
    echo "keyspace and role are there"
    exit 0
  fi
  sleep 3
done
echo "error: Cassandra did not take the login in time" >&2
exit 1
