#!/usr/bin/env bash
# One Apache Kafka 4 broker (KRaft) from Maven Central, on loopback: install|start|stop|status|wipe|tool CLASS ARGS
# Four listeners from KAFKA_PORT on: plain; SASL (SCRAM-SHA-256, lab/lab-secret); SASL over TLS; TLS with an optional client
# certificate. Topics are never created by themselves.
# KAFKA_NODE=1, 2 or 3 is that broker of a cluster of three (three replicas, two of them in sync). Its ports: plain; plain, for
# a proxy, which listens on the port after it; the controller.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
version=4.3.1
node=${KAFKA_NODE:-}
if [ -n "$node" ]; then
  case $node in 1 | 2 | 3) ;; *) die "KAFKA_NODE is 1, 2 or 3, not $node" ;; esac
  cluster=${KAFKA_CLUSTER_PORT:-$((19292 + offset))} # ten ports for each broker
  name=kafka-$node port=$((cluster + 10 * (node - 1))) replicas=3 in_sync=2 heap=256M
else
  # The listeners take this port and the three after it, the controller the fifth.
  name=kafka port=${KAFKA_PORT:-$((19092 + offset))} replicas=1 in_sync=1 heap=512M
fi
jars=$dist/kafka-$version folder=$state/$name

install() { once "$jars" maven_jars "$jars" "org.apache.kafka:kafka_2.13:$version" "org.apache.kafka:kafka-tools:$version" \
  org.apache.logging.log4j:log4j-slf4j-impl:2.25.4; }
ready() { python3 "$root/servers/ready.py" kafka 127.0.0.1 "$port"; }

listeners() { # listeners CERTIFICATES: of a broker that is alone
  local name all='' next=$port
  for name in PLAINTEXT SASL_PLAINTEXT SASL_SSL SSL; do all+=$name://127.0.0.1:$((next++)),; done
  cat <<CNF
node.id=1
controller.quorum.voters=1@127.0.0.1:$next
listeners=${all}CONTROLLER://127.0.0.1:$next
advertised.listeners=${all%,}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL,SSL:SSL
sasl.enabled.mechanisms=SCRAM-SHA-256
listener.name.sasl_plaintext.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.ssl.ssl.client.auth=requested
ssl.keystore.type=PEM
ssl.keystore.location=$1/server.pem
ssl.truststore.type=PEM
ssl.truststore.location=$1/ca.crt
CNF
}
cluster_listeners() { # of a broker of three
  cat <<CNF
node.id=$node
controller.quorum.voters=1@127.0.0.1:$((cluster + 3)),2@127.0.0.1:$((cluster + 13)),3@127.0.0.1:$((cluster + 23))
listeners=PLAINTEXT://127.0.0.1:$port,PROXIED://127.0.0.1:$((port + 1)),CONTROLLER://127.0.0.1:$((port + 3))
advertised.listeners=PLAINTEXT://127.0.0.1:$port,PROXIED://127.0.0.1:$((port + 2))
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT
CNF
}
configure() {
  local certificates
  certificates=$("$root/servers/certificates.sh")
  { if [ -n "$node" ]; then cluster_listeners; else listeners "$certificates"; fi; cat; } >"$folder/server.properties" <<CNF
process.roles=broker,controller
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs=$folder/data
log.segment.bytes=67108864
log.cleaner.dedupe.buffer.size=16777216
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
default.replication.factor=$replicas
min.insync.replicas=$in_sync
offsets.topic.replication.factor=$replicas
offsets.topic.num.partitions=8
transaction.state.log.replication.factor=$replicas
transaction.state.log.min.isr=$in_sync
transaction.state.log.num.partitions=8
share.coordinator.state.topic.replication.factor=$replicas
share.coordinator.state.topic.min.isr=$in_sync
CNF
  cat >"$folder/log4j2.yaml" <<'CNF'
Configuration:
  Appenders: { Console: { name: Console, PatternLayout: { pattern: "%d %p %m (%c)%n" } } }
  Loggers: { Root: { level: INFO, AppenderRef: { ref: Console } } }
CNF
}
tool() { java -Xmx256m -XX:TieredStopAtLevel=1 -cp "$jars/*" "$@"; }
format() {
  local logins=(--add-scram 'SCRAM-SHA-256=[name=lab,password=lab-secret]')
  [ -z "$node" ] || logins=()
  tool kafka.tools.StorageTool format --cluster-id headrace-tests-0000AAA --config "$folder/server.properties" \
    "${logins[@]}" >"$folder/format.log" 2>&1 9>&- ||
    { tail -n 5 "$folder/format.log" >&2; die "Kafka could not format its folder"; }
}
launch() {
  local number ports=(0 1 2 3 4) variable=KAFKA_PORT
  [ -z "$node" ] || ports=(0 1 3) variable=KAFKA_CLUSTER_PORT
  for number in "${ports[@]}"; do free_port $((port + number)) "$variable"; done
  configure
  [ -f "$folder/data/meta.properties" ] || format
  spawn "$folder/pid" "$folder/server.log" java "-Xms$heap" "-Xmx$heap" -XX:+UseG1GC -XX:MaxGCPauseMillis=20 -XX:+ExitOnOutOfMemoryError \
    -Djava.awt.headless=true -Djava.net.preferIPv4Stack=true -Dlog4j2.configurationFile="$folder/log4j2.yaml" \
    -cp "$jars/*" kafka.Kafka "$folder/server.properties"
  wait_ready 120 "$folder/pid" "$folder/server.log" ready
}

if [ "${1:-}" = tool ]; then shift; tool "$@"; else
  serve "${1:-}" "$name" "$folder" "kafka://127.0.0.1:$port"
fi
