#!/usr/bin/env bash
# The project without containers, by the steps of `astro dev start --standalone`: standalone.sh FOLDER ROWS. A .venv made by uv gets
# Airflow and requirements.txt, then the wheel by hand as astro/README.md says; `airflow standalone` runs with its home beside the
# project and finds the DAGs in it. The wheel is that of the image build. Everything is below FOLDER/standalone.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
folder=$1 rows=$2
here=$folder/standalone
port=18082
bin=$HEADRACE_HOME/venv/bin
started=$SECONDS

rm -rf "$here"; mkdir -p "$here"
id=$(podman create localhost/headrace-builder:test true)
podman cp "$id:/build/wheel" "$here/dist" && podman rm "$id" >/dev/null

python=$here/.venv/bin/python
"$bin/uv" venv --quiet --python "$(command -v python3)" "$here/.venv"
"$bin/uv" pip install --quiet --python "$python" --requirement "$root/tests/airflow-requirements.lock"
"$bin/uv" pip install --quiet --python "$python" --requirement "$root/requirements.txt"
"$bin/uv" pip install --quiet --python "$python" --no-index "$here"/dist/headrace-*.whl

settings=(
  PATH="$here/.venv/bin:$PATH" PYTHONPATH="$root/include" ASTRONOMER_ENVIRONMENT=local NO_PROXY='*' no_proxy='*'
  AIRFLOW_HOME="$here/.astro/standalone" AIRFLOW__CORE__DAGS_FOLDER="$root/dags" AIRFLOW__CORE__LOAD_EXAMPLES=False
  AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS=True AIRFLOW__API__PORT=$port
  AIRFLOW__CORE__EXECUTION_API_SERVER_URL="http://localhost:$port/execution/"
  # What the astro command leaves to the user: here, other ports than an Airflow that already runs, and less of this machine.
  AIRFLOW__API__HOST=127.0.0.1 AIRFLOW__API__WORKERS=1 AIRFLOW__CORE__PARALLELISM=2
  AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT=18083 AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT=18084
)
env "${settings[@]}" setsid "$here/.venv/bin/airflow" standalone >"$here/airflow.log" 2>&1 </dev/null &
group=$!
stop() { # as the astro command: TERM to the whole group, then KILL
  kill -TERM -- "-$group" 2>/dev/null || return 0
  for _ in {1..40}; do kill -0 -- "-$group" 2>/dev/null || return 0; sleep 0.25; done
  kill -KILL -- "-$group" 2>/dev/null || true
}
trap stop EXIT

"$bin/python" "$root/tests/image/trigger.py" "http://127.0.0.1:$port" "$root/airflow_settings.yaml" --rows "$rows" --directory "$here/data" || {
  tail -n 60 "$here/airflow.log" >&2
  exit 1
}
echo "standalone did its work in $((SECONDS - started)) s, Airflow's installation included"
