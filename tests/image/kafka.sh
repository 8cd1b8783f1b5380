#!/usr/bin/env bash
# Kafka in its stand-in image. As with the real one, the configuration is mounted, and the folder formatted at the first start.
set -euo pipefail
properties=/mnt/shared/config/server.properties
[ -e /var/lib/kafka/data/meta.properties ] ||
  java -Xmx256m -cp '/opt/kafka/libs/*' kafka.tools.StorageTool format --cluster-id "$CLUSTER_ID" --config "$properties"
# shellcheck disable=SC2086 # one word per option
exec java $KAFKA_HEAP_OPTS -cp '/opt/kafka/libs/*' kafka.Kafka "$properties"
