#!/usr/bin/env bash
# What ./run bench compares Headrace with, from the package registries, into .headrace/dist and .headrace/bench:
# dsbulk | spark | stress. Prints where it is.
source "$(dirname "${BASH_SOURCE[0]}")/../servers/lib.sh"
dsbulk=1.10.0 spark=3.5.7 connector=3.5.1 mysql=8.4.0 stress=3.11.4

install_dsbulk() {
  maven_jars "$dist/dsbulk-$dsbulk" com.datastax.oss:dsbulk-runner:$dsbulk com.datastax.oss:dsbulk-connectors-csv:$dsbulk \
    com.datastax.oss:dsbulk-workflow-load:$dsbulk com.datastax.oss:dsbulk-executor-reactor:$dsbulk \
    com.datastax.oss:dsbulk-batcher-reactor:$dsbulk
}
install_spark() {
  local folder=$1
  python3 -m venv "$folder/venv"
  "$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check "pyspark==$spark" "pandas<3" pyarrow
  maven_jars "$folder/jars" "com.datastax.spark:spark-cassandra-connector_2.12:$connector" "org.apache.spark:spark-sql-kafka-0-10_2.12:$spark"
  maven_jars "$folder/jdbc" "com.mysql:mysql-connector-j:$mysql"
}
# cassandra-stress comes with Cassandra's own distribution only, and this is the newest one in the registry; it talks to newer servers.
install_stress() {
  local folder=$1 archive=apache-cassandra-$stress-bin.tar.gz
  need mvn "Apache Maven (Debian: maven)"
  mvn --quiet --batch-mode -Dmaven.repo.local="$folder/.repository" \
    org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy -Dartifact="org.apache.cassandra:apache-cassandra:$stress:tar.gz:bin" \
    -DoutputDirectory="$folder" >"$folder/maven.log" 2>&1 || { tail -n 5 "$folder/maven.log" >&2; die "Maven could not fetch cassandra-stress"; }
  tar -xzf "$folder/$archive" -C "$folder" --strip-components 1
  rm -rf "${folder:?}/$archive" "$folder/.repository"
}

case ${1:-} in
  dsbulk) once "$dist/dsbulk-$dsbulk" install_dsbulk; echo "$dist/dsbulk-$dsbulk" ;;
  spark) once "$dist/pyspark-$spark" install_spark "$dist/pyspark-$spark"; echo "$dist/pyspark-$spark" ;;
  stress) once "$dist/cassandra-stress-$stress" install_stress "$dist/cassandra-stress-$stress"; echo "$dist/cassandra-stress-$stress" ;;
  *) say "usage: $0 dsbulk|spark|stress"; exit 2 ;;
esac
