#!/usr/bin/env bash
# Redis 7.0 from Debian's packages, on loopback: install|start|stop|status|wipe|client ARGS|run ARGS
# Two ports from REDIS_PORT on: plain, for everyone; TLS, where REDIS_SECURE=1 makes a second server that also wants a password
# (user default, password redis-secret). `run ARGS` becomes a server with those settings, which the tests start and kill themselves.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
port=${REDIS_PORT:-$((19379 + offset))}
program=$dist/redis-7.0 name=redis folder=$state/redis url=redis://127.0.0.1:$port login=()
if [ -n "${REDIS_SECURE:-}" ]; then
  port=${REDIS_SECURE_PORT:-$((19380 + offset))}
  name=redis-secure folder=$state/redis-secure url=rediss://:redis-secret@127.0.0.1:$port
  login=(--tls --cacert "$state/certificates/ca.crt" --user default --pass redis-secret --no-auth-warning)
fi

run() { local name=$1; shift; "$(loader "$program")" --library-path "$(libraries "$program")" "$program/usr/bin/$name" "$@"; }
client() { run redis-cli -h 127.0.0.1 -p "$port" "${login[@]}" "$@"; }
install() { once "$program" debian_root "$program" bookworm redis-server redis-tools; }
ready() { local found; found=$(client info server) && found=${found#*redis_version:} && echo "Redis ${found%%[[:space:]]*}"; }

configure() {
  cat <<CNF
bind 127.0.0.1
dir $folder
daemonize no
save ""
appendonly yes
CNF
  if [ -z "${REDIS_SECURE:-}" ]; then echo "port $port"; return; fi
  local certificates
  certificates=$("$root/servers/certificates.sh")
  cat <<CNF
port 0
tls-port $port
tls-cert-file $certificates/server.crt
tls-key-file $certificates/server.key
tls-ca-cert-file $certificates/ca.crt
tls-auth-clients no
requirepass redis-secret
CNF
}
launch() {
  free_port "$port" "$([ "$name" = redis ] && echo REDIS_PORT || echo REDIS_SECURE_PORT)"
  configure >"$folder/redis.conf"
  spawn "$folder/pid" "$folder/server.log" "$(loader "$program")" --library-path "$(libraries "$program")" \
    "$program/usr/bin/redis-server" "$folder/redis.conf"
  wait_ready 30 "$folder/pid" "$folder/server.log" ready
}

case ${1:-} in
  client) shift; client "$@" ;;
  run) shift; exec "$(loader "$program")" --library-path "$(libraries "$program")" "$program/usr/bin/redis-server" "$@" ;;
  *) serve "${1:-}" "$name" "$folder" "$url" ;;
esac
