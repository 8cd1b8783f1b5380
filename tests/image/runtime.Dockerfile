# A stand-in for the Astro runtime where its registry is out of reach: same user, home and ONBUILD steps, Airflow from PyPI.
ARG OS_IMAGE=localhost/headrace-debian:test
FROM ${OS_IMAGE}
ENV AIRFLOW_HOME=/usr/local/airflow PYTHONPATH=/usr/local/airflow ASTRONOMER_ENVIRONMENT=local PYTHONUNBUFFERED=1 \
    PATH=/opt/airflow/bin:$PATH PIP_CERT=/etc/ssl/certs/ca-certificates.crt SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates python3 python3-venv tini \
 && rm -rf /var/lib/apt/lists/*
COPY airflow-requirements.lock /tmp/requirements.lock
RUN python3 -m venv /opt/airflow \
 && pip install --no-cache-dir --quiet uv \
 && uv pip install --no-cache --quiet --python /opt/airflow/bin/python --requirement /tmp/requirements.lock psycopg2-binary asyncpg pytest \
 && useradd --uid 50000 --gid 0 --create-home --home-dir $AIRFLOW_HOME astro \
 && install --directory --owner=astro --group=root --mode=775 $AIRFLOW_HOME/logs
WORKDIR /usr/local/airflow
ONBUILD COPY packages.txt .
ONBUILD USER root
ONBUILD RUN grep -v '^#' packages.txt > /tmp/packages || true; if [ -s /tmp/packages ]; then apt-get update && xargs apt-get install --yes --no-install-recommends < /tmp/packages; fi
ONBUILD COPY requirements.txt .
ONBUILD RUN if grep -q '^[^#]' requirements.txt; then uv pip install --no-cache --python /opt/airflow/bin/python --requirement requirements.txt; fi
ONBUILD USER astro
ONBUILD COPY --chown=astro:0 . .
USER astro
ENTRYPOINT ["tini", "--"]
