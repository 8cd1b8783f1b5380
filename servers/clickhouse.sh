#!/usr/bin/env bash
# ClickHouse, on loopback, HTTP: install|start|stop|status|wipe|query SQL|run FOLDER PORT
# The engine of the current release, embedded by chdb, behind clickhouse_http.py: plain, and TLS on the port after it. It has no
# replication and no native protocol. CLICKHOUSE_OLD=1 is the genuine server 18.16 of Debian. User of both: lab, password lab-secret.
# `run` becomes a server of the current engine, which the tests start and kill themselves.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
version=4.4.0
port=${CLICKHOUSE_PORT:-$((19123 + offset))}
program=$dist/chdb-$version name=clickhouse folder=$state/clickhouse
if [ -n "${CLICKHOUSE_OLD:-}" ]; then
  port=${CLICKHOUSE_OLD_PORT:-$((19125 + offset))}
  program=$dist/clickhouse-18 name=clickhouse-18 folder=$state/clickhouse-18
fi

query() { curl --silent --show-error --fail-with-body --user lab:lab-secret "http://127.0.0.1:$port/" --data-binary "$1"; }
ready() { local found; found=$(query 'SELECT version()') && echo "ClickHouse $found"; }
environment() { # of Python
  need python3 "Python 3.10 or newer with venv"
  python3 -m venv "$program"
  "$program/bin/pip" install --quiet --disable-pip-version-check "chdb==$version" 9>&- || die "pip could not install chdb $version"
}
install() {
  need curl curl
  if [ -n "${CLICKHOUSE_OLD:-}" ]; then once "$program" debian_root "$program" bookworm clickhouse-server; else once "$program" environment; fi
}

configure() {
  mkdir -p "$folder"/{tmp,user_files,format_schemas}
  cat >"$folder/config.xml" <<XML
<yandex>
  <logger><level>information</level><console>1</console></logger>
  <http_port>$port</http_port><listen_host>127.0.0.1</listen_host>
  <path>$folder/data/</path><tmp_path>$folder/tmp/</tmp_path><user_files_path>$folder/user_files/</user_files_path>
  <format_schema_path>$folder/format_schemas/</format_schema_path>
  <users_config>$folder/users.xml</users_config><default_profile>default</default_profile><default_database>default</default_database>
  <mark_cache_size>67108864</mark_cache_size><timezone>UTC</timezone>
</yandex>
XML
  cat >"$folder/users.xml" <<'XML'
<yandex>
  <profiles><default><max_memory_usage>1000000000</max_memory_usage></default></profiles>
  <users><lab><password>lab-secret</password><networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota></lab></users>
  <quotas><default/></quotas>
</yandex>
XML
}
launch() {
  local certificates server
  free_port "$port" CLICKHOUSE_PORT
  if [ -n "${CLICKHOUSE_OLD:-}" ]; then
    configure
    server=("$(loader "$program")" --library-path "$(libraries "$program"):$program/usr/lib" "$program/usr/sbin/clickhouse-server"
      --config-file="$folder/config.xml")
  else
    free_port $((port + 1)) CLICKHOUSE_PORT
    certificates=$("$root/servers/certificates.sh")
    server=("$program/bin/python" "$root/servers/clickhouse_http.py" "$folder" "$port" $((port + 1)) "$certificates/server.crt" "$certificates/server.key")
  fi
  spawn "$folder/pid" "$folder/server.log" "${server[@]}"
  wait_ready 60 "$folder/pid" "$folder/server.log" ready
}

case ${1:-} in
  query) query "$2" ;;
  run) exec "$program/bin/python" "$root/servers/clickhouse_http.py" "$2" "$3" ;;
  *) serve "${1:-}" "$name" "$folder" "clickhouse://lab:lab-secret@127.0.0.1:$port" ;;
esac
