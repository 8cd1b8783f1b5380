#!/usr/bin/env bash
# MySQL 9 in its stand-in image, unpacked Debian packages run with their own loader. As with the real one, conf.d is read, and
# the files of docker-entrypoint-initdb.d run at the first start, on a server that listens on its socket only.
set -euo pipefail
tree=/opt/mysql
loader=$tree/lib64/ld-linux-x86-64.so.2
[ -e "$loader" ] || loader=$tree/usr/lib64/ld-linux-x86-64.so.2
libraries=$tree/usr/lib/x86_64-linux-gnu:$tree/lib/x86_64-linux-gnu:$tree/usr/lib/mysql/private
program() { local name=$1; shift; "$loader" --library-path "$libraries" "$tree/usr/$name" "$@"; }
if [ "${1:-}" = program ]; then shift; program "$@"; exit; fi

cat >/tmp/my.cnf <<CNF
[mysqld]
basedir=$tree/usr
plugin_dir=$tree/usr/lib/mysql/plugin
lc_messages_dir=$tree/usr/share/mysql
character_sets_dir=$tree/usr/share/mysql/charsets
datadir=/var/lib/mysql/data
socket=/run/mysqld/socket
pid_file=/run/mysqld/pid
secure_file_priv=NULL
!includedir /etc/mysql/conf.d/
CNF
if [ ! -d /var/lib/mysql/data/mysql ]; then
  program sbin/mysqld --defaults-file=/tmp/my.cnf --initialize-insecure
  program sbin/mysqld --defaults-file=/tmp/my.cnf --skip-networking &
  client=(program bin/mysql --no-defaults --socket=/run/mysqld/socket --user=root)
  for _ in {1..120}; do "${client[@]}" --execute='SELECT 1' >/dev/null 2>&1 && break; sleep 0.5; done
  for file in /docker-entrypoint-initdb.d/*.sql; do "${client[@]}" <"$file"; done
  kill "$(cat /run/mysqld/pid)"
  wait
fi
exec "$loader" --library-path "$libraries" "$tree/usr/sbin/mysqld" --defaults-file=/tmp/my.cnf --bind-address='*'
