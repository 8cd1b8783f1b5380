#!/usr/bin/env bash
# The servers of the tests, all or those named: install|start|stop|status|wipe [SERVER...]; `stopped` lists those that do
# not run; `env` prints the variables by which the tests find them, `fault-env` those of `./run faults`, which also kills servers.
# cassandra-1 to 3 and kafka-1 to 3 are the nodes of clusters; they are only started by name.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
action=${1:-}; shift || true
all=("$@")
[ $# -gt 0 ] || all=(cassandra kafka mariadb mysql cassandra-secure redis redis-secure clickhouse clickhouse-18 hdfs s3)

one() { # one ACTION SERVER
  case $2 in
    cassandra-secure) CASSANDRA_SECURE=1 "$root/servers/cassandra.sh" "$1" ;;
    cassandra-[123]) CASSANDRA_NODE=${2##*-} "$root/servers/cassandra.sh" "$1" ;;
    redis-secure) REDIS_SECURE=1 "$root/servers/redis.sh" "$1" ;;
    clickhouse-18) CLICKHOUSE_OLD=1 "$root/servers/clickhouse.sh" "$1" ;;
    kafka-[123]) KAFKA_NODE=${2##*-} "$root/servers/kafka.sh" "$1" ;;
    *) "$root/servers/$2.sh" "$1" ;;
  esac
}
every() { # every ACTION: side by side, failing when one fails
  local server pids=() pid failed=0
  for server in "${all[@]}"; do one "$1" "$server" & pids+=($!); done
  for pid in "${pids[@]}"; do wait "$pid" || failed=1; done
  return $failed
}
environment() {
  local kafka=${KAFKA_PORT:-$((19092 + offset))} mariadb=${MARIADB_PORT:-$((13306 + offset))}
  local clickhouse=${CLICKHOUSE_PORT:-$((19123 + offset))} s3=${S3_PORT:-$((19900 + offset))}
  cat <<ENV
export HEADRACE_TEST_CASSANDRA=cassandra://127.0.0.1:${CASSANDRA_PORT:-$((19042 + offset))}
export HEADRACE_TEST_CASSANDRA_SECURE=cassandra://cassandra:cassandra@127.0.0.1:${CASSANDRA_SECURE_PORT:-$((19142 + offset))}
export HEADRACE_TEST_KAFKA=kafka://127.0.0.1:$kafka
export HEADRACE_TEST_KAFKA_SASL=kafka://lab:lab-secret@127.0.0.1:$((kafka + 1))
export HEADRACE_TEST_KAFKA_SECURE=kafka://lab:lab-secret@127.0.0.1:$((kafka + 2))
export HEADRACE_TEST_KAFKA_TLS=kafka://127.0.0.1:$((kafka + 3))
export HEADRACE_TEST_MYSQL=mysql://lab:lab@127.0.0.1:$mariadb/headrace
export HEADRACE_TEST_MYSQL_SECURE=mysql://tls:tls@127.0.0.1:$mariadb/headrace
export HEADRACE_TEST_MYSQL9=mysql://lab:lab@127.0.0.1:${MYSQL_PORT:-$((13307 + offset))}/headrace
export HEADRACE_TEST_REDIS=redis://127.0.0.1:${REDIS_PORT:-$((19379 + offset))}
export HEADRACE_TEST_REDIS_SECURE=rediss://:redis-secret@127.0.0.1:${REDIS_SECURE_PORT:-$((19380 + offset))}
export HEADRACE_TEST_REDIS_RUN='$root/servers/redis.sh run'
export HEADRACE_TEST_CLICKHOUSE=clickhouse://lab:lab-secret@127.0.0.1:$clickhouse
export HEADRACE_TEST_CLICKHOUSE_SECURE=clickhouses://lab:lab-secret@127.0.0.1:$((clickhouse + 1))
export HEADRACE_TEST_CLICKHOUSE_OLD=clickhouse://lab:lab-secret@127.0.0.1:${CLICKHOUSE_OLD_PORT:-$((19125 + offset))}
export HEADRACE_TEST_CLICKHOUSE_RUN='$root/servers/clickhouse.sh run'
export HEADRACE_TEST_HDFS=hdfs://127.0.0.1:${HDFS_PORT:-$((19820 + offset))}
export HEADRACE_TEST_S3='s3://lab:lab-secret@lake?endpoint=http://127.0.0.1:$s3'
export HEADRACE_TEST_S3_SECURE='s3://lab:lab-secret@lake?endpoint=https://127.0.0.1:$((s3 + 1))'
export HEADRACE_TEST_CERTIFICATES='$state/certificates'
ENV
}
fault_environment() {
  local kafka=${KAFKA_CLUSTER_PORT:-$((19292 + offset))} cassandra=${CASSANDRA_CLUSTER_PORT:-$((19342 + offset))}
  cat <<ENV
export HEADRACE_FAULTS='$state'
export HEADRACE_FAULTS_CASSANDRA=cassandra://127.0.0.1:$cassandra,127.0.0.2:$cassandra,127.0.0.3:$cassandra
export HEADRACE_FAULTS_CASSANDRA_ALONE=cassandra://127.0.0.1:${CASSANDRA_PORT:-$((19042 + offset))}
export HEADRACE_FAULTS_KAFKA=kafka://127.0.0.1:$kafka,127.0.0.1:$((kafka + 10)),127.0.0.1:$((kafka + 20))
export HEADRACE_FAULTS_MYSQL=mysql://lab:lab@127.0.0.1:${MARIADB_PORT:-$((13306 + offset))}
ENV
}

case $action in
  install | start | stop | wipe) every "$action" ;;
  status) for server in "${all[@]}"; do one status "$server" || true; done ;;
  stopped) for server in "${all[@]}"; do one status "$server" >/dev/null || echo "$server"; done ;;
  env) environment ;;
  fault-env) fault_environment ;;
  *) say "usage: $0 install|start|stop|status|wipe|stopped|env|fault-env [SERVER...]"; exit 2 ;;
esac
