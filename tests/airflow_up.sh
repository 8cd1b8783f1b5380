#!/usr/bin/env bash
# Starts or stops a real Airflow of four daemons on loopback, with everything below $AIRFLOW_HOME: airflow_up.sh start|stop
# Wants `airflow` on the PATH, AIRFLOW_HOME, and AIRFLOW_PORT for start. `start` prints nothing but errors and returns when all are healthy.
set -euo pipefail
: "${AIRFLOW_HOME:?}"
run=$AIRFLOW_HOME/run
mkdir -p "$run"

secret() { # the same for all daemons, which must agree on it
  [ -s "$run/$1" ] || (umask 077; head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n' >"$run/$1")
  cat "$run/$1"
}

settings() {
  local url=http://127.0.0.1:${AIRFLOW_PORT:?}
  export AIRFLOW__CORE__EXECUTOR=LocalExecutor AIRFLOW__CORE__PARALLELISM=2
  export AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS=admin:admin
  export AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE=$AIRFLOW_HOME/passwords.json
  export AIRFLOW__CORE__EXECUTION_API_SERVER_URL=$url/execution/
  export AIRFLOW__API__HOST=127.0.0.1 AIRFLOW__API__PORT=$AIRFLOW_PORT AIRFLOW__API__WORKERS=1 AIRFLOW__API__BASE_URL=$url
  AIRFLOW__API__SECRET_KEY=$(secret api) AIRFLOW__API_AUTH__JWT_SECRET=$(secret jwt)
  export AIRFLOW__API__SECRET_KEY AIRFLOW__API_AUTH__JWT_SECRET
  export AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL=5 AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL=5
  export AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK=False
  export NO_PROXY=127.0.0.1,localhost no_proxy=127.0.0.1,localhost
  (umask 077; printf '{"admin": "%s"}\n' "$(secret admin)" >"$AIRFLOW_HOME/passwords.json")
}

daemon() { # daemon NAME COMMAND...
  local name=$1; shift
  setsid nohup "$@" >"$run/$name.log" 2>&1 </dev/null &
  echo $! >"$run/$name.pid"
}

wait_for() { # wait_for COMMAND...: up to three minutes
  local _
  for _ in $(seq 1 360); do if "$@" >/dev/null 2>&1; then return 0; fi; sleep 0.5; done
  tail -n 20 "$run"/*.log >&2
  return 1
}
answers() { curl -fsS --noproxy '*' "http://127.0.0.1:$AIRFLOW_PORT/api/v2/version"; }
healthy() {
  curl -fsS --noproxy '*' "http://127.0.0.1:$AIRFLOW_PORT/api/v2/monitor/health" |
    python3 -c 'import json, sys; sys.exit(any(part.get("status") != "healthy" for part in json.load(sys.stdin).values()))'
}

left() { ps -o pid= -s "$1" || true; }
stop() {
  local name pid _
  for name in triggerer dag-processor scheduler api-server; do
    [ -s "$run/$name.pid" ] || continue
    pid=$(cat "$run/$name.pid")
    kill -TERM "$pid" 2>/dev/null || true
    for _ in $(seq 1 60); do [ -n "$(left "$pid")" ] || break; sleep 0.25; done
    # A daemon leads a session of its own: what is left of it is ended as a whole.
    [ -z "$(left "$pid")" ] || kill -KILL -- "-$pid" 2>/dev/null || true
    rm -f "$run/$name.pid"
  done
}

case ${1:-} in
  start)
    settings
    airflow db migrate >"$run/migrate.log" 2>&1 || { tail -n 40 "$run/migrate.log" >&2; exit 1; }
    daemon api-server airflow api-server
    wait_for answers
    # The log servers would listen on all addresses; the API server reads the logs from the folder.
    daemon scheduler airflow scheduler --skip-serve-logs
    daemon dag-processor airflow dag-processor
    daemon triggerer airflow triggerer --skip-serve-logs
    wait_for healthy
    ;;
  stop) stop ;;
  *) echo "usage: airflow_up.sh start|stop" >&2; exit 2 ;;
esac
