#!/usr/bin/env bash
# An S3-compatible object store on loopback: S3Proxy from Maven Central, which keeps objects as files: install|start|stop|status|wipe
# Path-style requests, plain and with TLS on the port after it, signature version 4. Key lab, secret lab-secret, bucket `lake`.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
version=4.1.0
port=${S3_PORT:-$((19900 + offset))}
jars=$dist/s3proxy-$version folder=$state/s3

install() {
  need curl curl
  need openssl openssl
  once "$jars" maven_jars "$jars" "org.gaul:s3proxy:$version" \
    com.fasterxml.jackson.core:jackson-annotations:2.22 # which Maven's rule of the nearest would take too old
}
ready() { # a request without a signature is answered, and refused
  [ "$(curl --silent --output /dev/null --write-out '%{http_code}' "http://127.0.0.1:$port/lake")" = 403 ] && echo "S3Proxy $version"
}
configure() {
  local certificates
  certificates=$("$root/servers/certificates.sh")
  mkdir -p "$folder/data/lake" # a folder is a bucket
  chmod o= "$folder/data/lake" # else everybody may read it
  openssl pkcs12 -export -in "$certificates/server.pem" -out "$folder/server.p12" -passout pass:lab-secret
  cat >"$folder/s3proxy.properties" <<CNF
s3proxy.endpoint=http://127.0.0.1:$port
s3proxy.secure-endpoint=https://127.0.0.1:$((port + 1))
s3proxy.keystore-path=$folder/server.p12
s3proxy.keystore-password=lab-secret
s3proxy.authorization=aws-v4
s3proxy.identity=lab
s3proxy.credential=lab-secret
jclouds.provider=filesystem
jclouds.filesystem.basedir=$folder/data
CNF
  echo '<configuration><appender name="out" class="ch.qos.logback.core.ConsoleAppender"><encoder><pattern>%date %level %logger{0} %msg%n</pattern></encoder></appender><root level="INFO"><appender-ref ref="out"/></root></configuration>' >"$folder/logback.xml"
}
launch() {
  free_port "$port" S3_PORT
  free_port $((port + 1)) S3_PORT
  configure
  spawn "$folder/pid" "$folder/server.log" java -Xmx128M -XX:+UseSerialGC -XX:+ExitOnOutOfMemoryError -Djava.net.preferIPv4Stack=true \
    -Dlogback.configurationFile="$folder/logback.xml" -cp "$jars/*" org.gaul.s3proxy.Main --properties "$folder/s3proxy.properties"
  wait_ready 60 "$folder/pid" "$folder/server.log" ready
}

serve "${1:-}" s3 "$folder" "s3://lab:lab-secret@lake?endpoint=http://127.0.0.1:$port"
