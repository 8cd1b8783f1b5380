#!/usr/bin/env bash
# One Apache Cassandra 5 node from Maven Central, on loopback: install|start|stop|status|wipe
# CASSANDRA_SECURE=1 is a second node, of its own cluster: login needed (cassandra/cassandra), TLS offered on the same port.
# CASSANDRA_NODE=1, 2 or 3 is that node of a cluster of three, on 127.0.0.1, 2 or 3. The first time they are started one after
# another, beginning with 1.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
version=5.0.9
jars=$dist/cassandra-$version
node=${CASSANDRA_NODE:-} address=127.0.0.1 cluster='' authenticator=AllowAllAuthenticator login=() heap=768M memtable=128MiB
if [ -n "$node" ]; then
  case $node in 1 | 2 | 3) ;; *) die "CASSANDRA_NODE is 1, 2 or 3, not $node" ;; esac
  name=cassandra-$node cluster=headrace-three address=127.0.0.$node port=${CASSANDRA_CLUSTER_PORT:-$((19342 + offset))}
  internal=${CASSANDRA_CLUSTER_STORAGE_PORT:-$((17400 + offset))} heap=448M memtable=64MiB
elif [ "${CASSANDRA_SECURE:-0}" = 1 ]; then
  name=cassandra-secure port=${CASSANDRA_SECURE_PORT:-$((19142 + offset))} authenticator=PasswordAuthenticator
  internal=${CASSANDRA_SECURE_STORAGE_PORT:-$((17100 + offset))} login=(cassandra cassandra)
else
  name=cassandra port=${CASSANDRA_PORT:-$((19042 + offset))} internal=${CASSANDRA_STORAGE_PORT:-$((17000 + offset))}
fi
url=cassandra://${login[*]:+cassandra:cassandra@}$address:$port
folder=$state/$name

install() { once "$jars" maven_jars "$jars" "org.apache.cassandra:cassandra-all:$version"; }
ready() { python3 "$root/servers/ready.py" cassandra "$address" "$port" "${login[@]}"; }

configure() {
  local certificates
  certificates=$("$root/servers/certificates.sh")
  mkdir -p "$folder/conf" "$folder/data"
  cat >"$folder/conf/cassandra.yaml" <<CNF
cluster_name: ${cluster:-headrace-$name}
num_tokens: 16
partitioner: org.apache.cassandra.dht.Murmur3Partitioner
auto_bootstrap: false
data_file_directories: ["$folder/data/tables"]
commitlog_directory: "$folder/data/commitlog"
saved_caches_directory: "$folder/data/saved_caches"
hints_directory: "$folder/data/hints"
cdc_raw_directory: "$folder/data/cdc_raw"
commitlog_sync: periodic
commitlog_sync_period: 10000ms
commitlog_total_space: 512MiB
seed_provider: [{class_name: org.apache.cassandra.locator.SimpleSeedProvider, parameters: [{seeds: "127.0.0.1:$internal"}]}]
listen_address: $address
rpc_address: $address
storage_port: $internal
native_transport_port: $port
endpoint_snitch: SimpleSnitch
authenticator: $authenticator
storage_compatibility_mode: NONE
auto_snapshot: false
concurrent_reads: 16
concurrent_writes: 16
memtable_heap_space: $memtable
memtable_offheap_space: $memtable
networking_cache_size: 32MiB
file_cache_size: 32MiB
key_cache_size: 16MiB
CNF
  [ "$name" != cassandra-secure ] || cat >>"$folder/conf/cassandra.yaml" <<CNF
client_encryption_options:
  enabled: true
  optional: true
  ssl_context_factory:
    class_name: org.apache.cassandra.security.PEMBasedSslContextFactory
  keystore: "$certificates/server.pem"
CNF
  cat >"$folder/conf/logback.xml" <<'CNF'
<configuration><appender name="out" class="ch.qos.logback.core.ConsoleAppender"><encoder><pattern>%-5level %date{ISO8601} %F:%L - %msg%n</pattern></encoder></appender>
<root level="INFO"><appender-ref ref="out"/></root></configuration>
CNF
}
modules() { # what Cassandra opens of the Java 17 runtime
  local package
  for package in java.base/jdk.internal.misc java.management.rmi/com.sun.jmx.remote.internal.rmi java.rmi/sun.rmi.registry \
    java.rmi/sun.rmi.server java.sql/java.sql java.base/java.lang.ref jdk.unsupported/sun.misc; do
    echo "--add-exports=$package=ALL-UNNAMED"
  done
  for package in java.lang java.lang.module java.lang.reflect java.io java.net java.nio java.util java.util.concurrent \
    java.util.concurrent.atomic jdk.internal.loader jdk.internal.ref jdk.internal.reflect jdk.internal.math jdk.internal.module \
    jdk.internal.util.jar sun.nio.ch; do
    echo "--add-opens=java.base/$package=ALL-UNNAMED"
  done
  echo --add-opens=jdk.management/com.sun.management.internal=ALL-UNNAMED
  echo --add-opens=java.rmi/sun.rmi.transport.tcp=ALL-UNNAMED
}
launch() {
  free_port "$port" CASSANDRA_PORT "$address"
  free_port "$internal" CASSANDRA_STORAGE_PORT "$address"
  configure
  # shellcheck disable=SC2046 # one word per module option
  spawn "$folder/pid" "$folder/server.log" java "-Xms$heap" "-Xmx$heap" -Xss512k -XX:MaxDirectMemorySize=512M -XX:+UseG1GC \
    -XX:+ExitOnOutOfMemoryError -XX:+PerfDisableSharedMem -Djava.net.preferIPv4Stack=true -Djdk.attach.allowAttachSelf=true \
    "-javaagent:$(echo "$jars"/jamm-*.jar)" $(modules) -Dcassandra.config="file://$folder/conf/cassandra.yaml" \
    -Dlogback.configurationFile="$folder/conf/logback.xml" -Dcassandra.storagedir="$folder/data" -Dcassandra.logdir="$folder" \
    -Dcassandra.jmx.local.port=$((internal + 199 + ${node:-0})) -Dcassandra-foreground=yes -Dcassandra.skip_wait_for_gossip_to_settle=0 \
    -Dcassandra.ring_delay_ms=1000 -Dcassandra.superuser_setup_delay_ms=0 \
    -cp "$folder/conf:$jars/*" org.apache.cassandra.service.CassandraDaemon
  wait_ready 240 "$folder/pid" "$folder/server.log" ready
}

serve "${1:-}" "$name" "$folder" "$url"
