#!/usr/bin/env bash
# Apache Hadoop HDFS 3.4 from Maven Central, one NameNode and one DataNode, on loopback: install|start|stop|status|wipe|dfs ARGS
# Ports from HDFS_PORT on: the NameNode's clients; its HTTP with WebHDFS; the DataNode's data, HTTP and inter-process ports.
# Permissions are checked; who starts the servers is the superuser. `dfs` is Hadoop's own shell, as in `dfs -ls -R /`.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
version=3.4.2
port=${HDFS_PORT:-$((19820 + offset))}
jars=$dist/hadoop-$version folder=$state/hdfs

install() { need curl curl; once "$jars" maven_jars "$jars" "org.apache.hadoop:hadoop-hdfs:$version" "org.apache.hadoop:hadoop-common:$version" \
  "org.apache.hadoop:hadoop-hdfs-client:$version" org.slf4j:slf4j-reload4j:1.7.36; }
ready() { # when the DataNode has reported and the NameNode lets files be written
  local beans
  running "$folder/datanode.pid"
  beans=$(curl --silent --fail "http://127.0.0.1:$((port + 1))/jmx" | tr -d ' \n')
  [[ $beans == *'"NumLiveDataNodes":1,'* && $beans == *'"Safemode":"",'* ]] && echo "HDFS $version"
}
hadoop=(java -XX:+UseSerialGC -XX:+ExitOnOutOfMemoryError -Djava.net.preferIPv4Stack=true
  --add-opens=java.base/java.lang=ALL-UNNAMED -cp "$folder/configuration:$jars/*")
properties() { # properties NAME=VALUE...
  local pair
  echo '<configuration>'
  for pair in "$@"; do echo "<property><name>${pair%%=*}</name><value>${pair#*=}</value></property>"; done
  echo '</configuration>'
}
configure() {
  local pages=$folder/configuration/webapps page
  # The servers look for the folders of their web pages, which the packages do not hold.
  for page in hdfs datanode static; do mkdir -p "$pages/$page/WEB-INF"; done
  for page in hdfs datanode; do echo '<web-app version="2.4" xmlns="http://java.sun.com/xml/ns/j2ee"/>' >"$pages/$page/WEB-INF/web.xml"; done
  properties "fs.defaultFS=hdfs://127.0.0.1:$port" "hadoop.tmp.dir=$folder/tmp" >"$folder/configuration/core-site.xml"
  properties "dfs.replication=1" "dfs.namenode.name.dir=file://$folder/name" "dfs.datanode.data.dir=file://$folder/data" \
    "dfs.namenode.http-address=127.0.0.1:$((port + 1))" "dfs.datanode.address=127.0.0.1:$((port + 2))" \
    "dfs.datanode.http.address=127.0.0.1:$((port + 3))" "dfs.datanode.ipc.address=127.0.0.1:$((port + 4))" \
    dfs.datanode.hostname=127.0.0.1 dfs.namenode.datanode.registration.ip-hostname-check=false \
    dfs.namenode.safemode.extension=0 dfs.namenode.safemode.min.datanodes=1 dfs.namenode.handler.count=4 \
    dfs.datanode.max.locked.memory=0 dfs.disk.balancer.enabled=false >"$folder/configuration/hdfs-site.xml"
  printf '%s\n' 'log4j.rootLogger=INFO,console' 'log4j.appender.console=org.apache.log4j.ConsoleAppender' \
    'log4j.appender.console.layout=org.apache.log4j.PatternLayout' \
    'log4j.appender.console.layout.ConversionPattern=%d{ISO8601} %p %c{2}: %m%n' >"$folder/configuration/log4j.properties"
}
launch() {
  local number
  for number in 0 1 2 3 4; do free_port $((port + number)) HDFS_PORT; done
  configure
  stop_process "$folder/datanode.pid"
  [ -d "$folder/name/current" ] ||
    "${hadoop[@]}" -Xmx128M org.apache.hadoop.hdfs.server.namenode.NameNode -format -force -nonInteractive >"$folder/format.log" 2>&1 9>&- ||
    { tail -n 5 "$folder/format.log" >&2; die "HDFS could not format its folder"; }
  spawn "$folder/pid" "$folder/server.log" "${hadoop[@]}" -Xmx128M org.apache.hadoop.hdfs.server.namenode.NameNode
  spawn "$folder/datanode.pid" "$folder/datanode.log" "${hadoop[@]}" -Xmx128M org.apache.hadoop.hdfs.server.datanode.DataNode
  wait_ready 120 "$folder/pid" "$folder/server.log" ready
}

case ${1:-} in
  dfs) shift; "${hadoop[@]}" -Xmx128M org.apache.hadoop.fs.FsShell "$@" ;;
  stop) locked hdfs.start stop_process "$folder/datanode.pid"; serve stop hdfs "$folder" ;;
  *) serve "${1:-}" hdfs "$folder" "hdfs://127.0.0.1:$port" ;;
esac
