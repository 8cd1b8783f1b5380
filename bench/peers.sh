#!/usr/bin/env bash
# What ./run bench compares Headrace with, from the package registries, into .headrace/dist and .headrace/bench:
# dsbulk | spark | stress | scoring | scoring-spark | commerce | bytewax | quix. Prints where it is.
source "$(dirname "${BASH_SOURCE[0]}")/../servers/lib.sh"
dsbulk=1.10.0 spark=3.5.7 connector=3.5.1 mysql=8.4.0 stress=3.11.4 bytewax=0.21.1 quix=3.28.1

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
# What a team that scores in Python takes; and what of it Spark's Python needs beside its own packages.
install_scoring() {
  local folder=$1
  need python3 "Python 3.10 or newer with venv"
  python3 -m venv "$folder"
  "$folder/bin/pip" install --quiet --disable-pip-version-check 9>&- confluent-kafka==2.16.1 orjson==3.13.0 onnxruntime==1.31.1 onnx==1.23.2 \
    clickhouse-connect==1.12.0 "redis[hiredis]==8.1.0" scikit-learn==1.9.1 pandas==3.1.1 numpy==2.4.6
}
install_scoring_spark() {
  local folder=$1
  python3 -m pip install --quiet --disable-pip-version-check --target "$folder/packages" clickhouse-connect==1.12.0 "redis[hiredis]==8.1.0" 9>&-
}
# What looks at Kafka and MariaDB for the case of commerce; and frameworks that count sales per minute.
install_python() { # install_python FOLDER PACKAGE...
  local folder=$1; shift
  need python3 "Python 3.10 or newer with venv"
  python3 -m venv "$folder"
  "$folder/bin/pip" install --quiet --disable-pip-version-check "$@" 9>&-
}

case ${1:-} in
  dsbulk) once "$dist/dsbulk-$dsbulk" install_dsbulk; echo "$dist/dsbulk-$dsbulk" ;;
  spark) once "$dist/pyspark-$spark" install_spark "$dist/pyspark-$spark"; echo "$dist/pyspark-$spark" ;;
  stress) once "$dist/cassandra-stress-$stress" install_stress "$dist/cassandra-stress-$stress"; echo "$dist/cassandra-stress-$stress" ;;
  scoring) once "$dist/scoring-python-1" install_scoring "$dist/scoring-python-1"; echo "$dist/scoring-python-1" ;;
  scoring-spark) once "$dist/scoring-spark-1" install_scoring_spark "$dist/scoring-spark-1"; echo "$dist/scoring-spark-1" ;;
  commerce) once "$dist/commerce-python-1" install_python "$dist/commerce-python-1" confluent-kafka==2.16.1 pymysql==1.2.4
    echo "$dist/commerce-python-1" ;;
  bytewax) once "$dist/bytewax-$bytewax" install_python "$dist/bytewax-$bytewax" "bytewax==$bytewax" confluent-kafka==2.16.1 orjson==3.13.0
    echo "$dist/bytewax-$bytewax" ;;
  quix) once "$dist/quix-$quix" install_python "$dist/quix-$quix" "quixstreams==$quix" orjson==3.13.0; echo "$dist/quix-$quix" ;;
  *) say "usage: $0 dsbulk|spark|stress|scoring|scoring-spark|commerce|bytewax|quix"; exit 2 ;;
esac
