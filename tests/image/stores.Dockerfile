# Stand-ins for the images of the stores and of Postgres where their registry is out of reach: the same servers, from what
# `./run servers` installs and from Debian, with the paths and programs that docker-compose.override.yml relies on.
# tests/image.sh gathers the build's folder: cassandra, kafka and mysql hold the software.
ARG OS_IMAGE=localhost/headrace-debian:test

FROM ${OS_IMAGE} AS postgres
RUN apt-get update && apt-get install --yes --no-install-recommends postgresql-15 && rm -rf /var/lib/apt/lists/*
COPY postgres.sh /usr/local/bin/entrypoint
USER postgres
ENTRYPOINT ["bash", "/usr/local/bin/entrypoint"]

FROM ${OS_IMAGE} AS java
RUN apt-get update && apt-get install --yes --no-install-recommends openjdk-17-jre-headless && rm -rf /var/lib/apt/lists/*

FROM java AS cassandra
RUN apt-get update && apt-get install --yes --no-install-recommends ca-certificates python3-venv && rm -rf /var/lib/apt/lists/* \
 && python3 -m venv /opt/cqlsh && PIP_CERT=/etc/ssl/certs/ca-certificates.crt /opt/cqlsh/bin/pip install --no-cache-dir --quiet cqlsh \
 && ln -s /opt/cqlsh/bin/cqlsh /usr/local/bin/cqlsh
COPY cassandra /opt/cassandra
COPY servers-cassandra.sh /opt/servers-cassandra.sh
COPY cassandra.sh /opt/cassandra.sh
RUN printf '#!/bin/sh\nexec bash /opt/cassandra.sh nodetool "$@"\n' > /usr/local/bin/nodetool \
 && chmod +x /usr/local/bin/nodetool \
 && useradd --create-home cassandra && install --directory --owner=cassandra /var/lib/cassandra
USER cassandra
ENTRYPOINT ["bash", "/opt/cassandra.sh"]

FROM java AS kafka
COPY kafka /opt/kafka/libs
COPY kafka.sh /opt/kafka/run.sh
RUN mkdir /opt/kafka/bin \
 && printf '#!/bin/sh\nexec java ${KAFKA_HEAP_OPTS-} -cp "/opt/kafka/libs/*" org.apache.kafka.tools.TopicCommand "$@"\n' > /opt/kafka/bin/kafka-topics.sh \
 && chmod +x /opt/kafka/bin/kafka-topics.sh \
 && useradd --create-home appuser && install --directory --owner=appuser /var/lib/kafka/data
USER appuser
ENTRYPOINT ["bash", "/opt/kafka/run.sh"]

FROM ${OS_IMAGE} AS mysql
COPY mysql /opt/mysql
COPY mysql.sh /usr/local/bin/entrypoint
RUN useradd --create-home mysql && install --directory --owner=mysql /var/lib/mysql /run/mysqld /etc/mysql/conf.d /docker-entrypoint-initdb.d \
 && printf '#!/bin/sh\nexec bash /usr/local/bin/entrypoint program bin/mysqladmin "$@"\n' > /usr/local/bin/mysqladmin \
 && chmod +x /usr/local/bin/mysqladmin
USER mysql
ENTRYPOINT ["bash", "/usr/local/bin/entrypoint"]
