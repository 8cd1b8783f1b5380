#!/usr/bin/env bash
# MariaDB 10.11 from Debian's packages, on loopback, TLS offered, row binlog on: install|start|stop|status|wipe|client ARGS
# Users: lab/lab with all privileges; tls/tls, who must use TLS; root over the socket.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
port=${MARIADB_PORT:-$((13306 + offset))}
program=$dist/mariadb-10.11 folder=$state/mariadb

run() { local name=$1; shift; "$(loader "$program")" --library-path "$(libraries "$program")" "$program/usr/$name" "$@"; }
client() { run bin/mariadb --no-defaults --socket="$folder/socket" --user=root "$@"; }
install() { once "$program" debian_root "$program" bookworm mariadb-server-core mariadb-client-core; }
ready() { client -N -e 'SELECT concat("MariaDB ", version())'; }

configure() {
  local certificates
  certificates=$("$root/servers/certificates.sh")
  mkdir -p "$folder/data" "$folder/tmp"
  cat >"$folder/my.cnf" <<CNF
[mysqld]
user=$(id -un)
basedir=$program/usr
plugin_dir=$program/usr/lib/mysql/plugin
lc_messages_dir=$program/usr/share/mysql
character_sets_dir=$program/usr/share/mysql/charsets
datadir=$folder/data
tmpdir=$folder/tmp
socket=$folder/socket
pid_file=$folder/data/server.pid
bind_address=127.0.0.1
port=$port
skip_name_resolve=1
ssl_ca=$certificates/ca.crt
ssl_cert=$certificates/server.crt
ssl_key=$certificates/server.key
server_id=1
log_bin=binlog
binlog_format=ROW
binlog_row_metadata=FULL
innodb_buffer_pool_size=128M
max_connections=500
performance_schema=OFF
CNF
}
initialise() { # what mariadb-install-db does, without its search for programs on the system
  local share=$program/usr/share/mysql
  { printf '%s;\n' "CREATE DATABASE mysql" "USE mysql" "SET @auth_root_socket=NULL"
    cat "$share"/{mysql_system_tables,mysql_performance_tables,mysql_system_tables_data,maria_add_gis_sp_bootstrap}.sql
  } | run sbin/mariadbd --defaults-file="$folder/my.cnf" --bootstrap --skip-log-bin >"$folder/initialise.log" 2>&1 ||
    { tail -n 5 "$folder/initialise.log" >&2; rm -rf "$folder/data"; die "MariaDB could not initialise its data"; }
}
launch() {
  free_port "$port" MARIADB_PORT
  configure
  [ -d "$folder/data/mysql" ] || initialise
  spawn "$folder/pid" "$folder/server.log" "$(loader "$program")" --library-path "$(libraries "$program")" \
    "$program/usr/sbin/mariadbd" --defaults-file="$folder/my.cnf"
  wait_ready 90 "$folder/pid" "$folder/server.log" ready
  client <<'SQL'
CREATE DATABASE IF NOT EXISTS headrace;
CREATE USER IF NOT EXISTS lab@'127.0.0.1' IDENTIFIED BY 'lab';
GRANT ALL PRIVILEGES ON *.* TO lab@'127.0.0.1' WITH GRANT OPTION;
CREATE USER IF NOT EXISTS tls@'127.0.0.1' IDENTIFIED BY 'tls' REQUIRE SSL;
GRANT ALL PRIVILEGES ON *.* TO tls@'127.0.0.1';
SQL
}

if [ "${1:-}" = client ]; then shift; client "$@"; else
  serve "${1:-}" mariadb "$folder" "mysql://lab:lab@127.0.0.1:$port/headrace"
fi
