#!/usr/bin/env bash
# Cassandra in its stand-in image, and its nodetool (`nodetool ARGS`). As with the real one, JVM_EXTRA_OPTS names the configuration.
set -euo pipefail
# What Cassandra opens of the Java runtime is written down once, in the script of the test servers.
modules=$(bash -c "source <(sed -n '/^modules()/,/^}/p' /opt/servers-cassandra.sh); modules")
if [ "${1:-}" = nodetool ]; then
  shift
  # shellcheck disable=SC2086 # one word per option
  exec java -Xmx64m $modules -cp '/opt/cassandra/*' org.apache.cassandra.tools.NodeTool "$@"
fi

cat >/tmp/logback.xml <<'CNF'
<configuration><appender name="out" class="ch.qos.logback.core.ConsoleAppender"><encoder><pattern>%-5level %F:%L - %msg%n</pattern></encoder></appender>
<root level="INFO"><appender-ref ref="out"/></root></configuration>
CNF
# shellcheck disable=SC2086 # one word per option
exec java -Xms"$MAX_HEAP_SIZE" -Xmx"$MAX_HEAP_SIZE" -Xss512k -XX:+UseG1GC -XX:+ExitOnOutOfMemoryError -Djava.net.preferIPv4Stack=true \
  -Djdk.attach.allowAttachSelf=true "-javaagent:$(echo /opt/cassandra/jamm-*.jar)" $modules \
  -Dlogback.configurationFile=/tmp/logback.xml -Dcassandra.storagedir=/var/lib/cassandra -Dcassandra.logdir=/tmp \
  -Dcassandra.jmx.local.port=7199 -Dcassandra-foreground=yes $JVM_EXTRA_OPTS \
  -cp '/opt/cassandra/*' org.apache.cassandra.service.CassandraDaemon
