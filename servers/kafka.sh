#!/usr/bin/env bash
# One Apache Kafka 4 broker (KRaft) from Maven Central, on loopback: install|start|stop|status|wipe|tool CLASS ARGS
# Four listeners from KAFKA_PORT on: plain; SASL (SCRAM-SHA-256, lab/lab-secret); SASL over TLS; TLS with an optional client
# certificate. Topics are never created by themselves.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
version=4.3.1
port=${KAFKA_PORT:-$((19092 + offset))} # the listeners take this port and the three after it, the controller the fifth
jars=$dist/kafka-$version folder=$state/kafka

install() { once "$jars" maven_jars "$jars" "org.apache.kafka:kafka_2.13:$version" "org.apache.kafka:kafka-tools:$version" \
  org.apache.logging.log4j:log4j-slf4j-impl:2.25.4; }
ready() { python3 "$root/servers/ready.py" kafka 127.0.0.1 "$port"; }

configure() {
  local certificates name listeners='' next=$port
  certificates=$("$root/servers/certificates.sh")
  for name in PLAINTEXT SASL_PLAINTEXT SASL_SSL SSL; do listeners+=$name://127.0.0.1:$((next++)),; done
  cat >"$folder/server.properties" <<CNF
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$next
listeners=${listeners}CONTROLLER://127.0.0.1:$next
advertised.listeners=${listeners%,}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL,SSL:SSL
sasl.enabled.mechanisms=SCRAM-SHA-256
listener.name.sasl_plaintext.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.ssl.ssl.client.auth=requested
ssl.keystore.type=PEM
ssl.keystore.location=$certificates/server.pem
ssl.truststore.type=PEM
ssl.truststore.location=$certificates/ca.crt
log.dirs=$folder/data
log.segment.bytes=67108864
log.cleaner.dedupe.buffer.size=16777216
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
offsets.topic.replication.factor=1
offsets.topic.num.partitions=8
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=8
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
CNF
  cat >"$folder/log4j2.yaml" <<'CNF'
Configuration:
  Appenders: { Console: { name: Console, PatternLayout: { pattern: "%d %p %m (%c)%n" } } }
  Loggers: { Root: { level: INFO, AppenderRef: { ref: Console } } }
CNF
}
tool() { java -Xmx256m -XX:TieredStopAtLevel=1 -cp "$jars/*" "$@"; }
format() {
  tool kafka.tools.StorageTool format --cluster-id headrace-tests-0000AAA --config "$folder/server.properties" \
    --add-scram 'SCRAM-SHA-256=[name=lab,password=lab-secret]' >"$folder/format.log" 2>&1 9>&- ||
    { tail -n 5 "$folder/format.log" >&2; die "Kafka could not format its folder"; }
}
launch() {
  local number
  for number in 0 1 2 3 4; do free_port $((port + number)) KAFKA_PORT; done
  configure
  [ -f "$folder/data/meta.properties" ] || format
  spawn "$folder/pid" "$folder/server.log" java -Xms512M -Xmx512M -XX:+UseG1GC -XX:MaxGCPauseMillis=20 -XX:+ExitOnOutOfMemoryError \
    -Djava.awt.headless=true -Djava.net.preferIPv4Stack=true -Dlog4j2.configurationFile="$folder/log4j2.yaml" \
    -cp "$jars/*" kafka.Kafka "$folder/server.properties"
  wait_ready 120 "$folder/pid" "$folder/server.log" ready
}

if [ "${1:-}" = tool ]; then shift; tool "$@"; else
  serve "${1:-}" kafka "$folder" "kafka://127.0.0.1:$port"
fi
