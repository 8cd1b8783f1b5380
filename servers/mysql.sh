#!/usr/bin/env bash
# MySQL 9 from Debian's unstable packages, on loopback, row binlog on: install|start|stop|status|wipe|client ARGS
# Users: lab/lab with all privileges; root over the socket.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
port=${MYSQL_PORT:-$((13307 + offset))}
program=$dist/mysql-9 folder=$state/mysql

run() { local name=$1; shift; "$(loader "$program")" --library-path "$(libraries "$program")" "$program/usr/$name" "$@"; }
client() { run bin/mysql --no-defaults --socket="$folder/socket" --user=root "$@"; }
install() { once "$program" debian_root "$program" sid mysql-server-core mysql-client-core; }
ready() { client -N -e 'SELECT concat("MySQL ", version())'; }

configure() {
  local certificates
  certificates=$("$root/servers/certificates.sh")
  mkdir -p "$folder/tmp"
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
mysqlx=OFF
skip_name_resolve=ON
ssl_ca=$certificates/ca.crt
ssl_cert=$certificates/server.crt
ssl_key=$certificates/server.key
server_id=1
gtid_mode=ON
enforce_gtid_consistency=ON
binlog_row_metadata=FULL
innodb_buffer_pool_size=128M
innodb_redo_log_capacity=100M
max_connections=500
performance_schema=OFF
secure_file_priv=$folder/tmp
CNF
}
initialise() {
  run sbin/mysqld --defaults-file="$folder/my.cnf" --initialize-insecure >"$folder/initialise.log" 2>&1 9>&- ||
    { tail -n 5 "$folder/initialise.log" >&2; rm -rf "$folder/data"; die "MySQL could not initialise its data"; }
}
launch() {
  free_port "$port" MYSQL_PORT
  configure
  [ -d "$folder/data/mysql" ] || initialise
  spawn "$folder/pid" "$folder/server.log" "$(loader "$program")" --library-path "$(libraries "$program")" \
    "$program/usr/sbin/mysqld" --defaults-file="$folder/my.cnf"
  wait_ready 90 "$folder/pid" "$folder/server.log" ready
  client <<'SQL'
CREATE DATABASE IF NOT EXISTS headrace;
CREATE USER IF NOT EXISTS lab@'127.0.0.1' IDENTIFIED BY 'lab';
GRANT ALL PRIVILEGES ON *.* TO lab@'127.0.0.1' WITH GRANT OPTION;
SQL
}

if [ "${1:-}" = client ]; then shift; client "$@"; else
  serve "${1:-}" mysql "$folder" "mysql://lab:lab@127.0.0.1:$port/headrace"
fi
