#!/usr/bin/env bash
# Tests the provider and the DAGs in a real Airflow, with the wheel that `./run test` has built: on the embedded store and, where
# the HEADRACE_TEST_… variables name servers, on those. Everything is below .headrace/airflow; the daemons listen on loopback.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export HEADRACE_HOME=${HEADRACE_HOME:-$root/.headrace}
# shellcheck source=tests/tools.sh
source "$root/tests/tools.sh"
need_python

wheel=$(ls "$HEADRACE_HOME"/wheels/headrace-*.whl 2>/dev/null | tail -n 1) || true
[ -n "$wheel" ] || missing "no wheel in $HEADRACE_HOME/wheels: ./run test builds it"

folder=$HEADRACE_HOME/airflow
venv=$folder/venv
lock=$root/tests/airflow-requirements.lock
stamp=$venv/.$(cksum <"$lock" | cut -d' ' -f1)
mkdir -p "$folder"
if [ ! -e "$stamp" ]; then
  python_packages uv
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$HEADRACE_HOME/venv/bin/uv" pip install --quiet --python "$venv/bin/python" --requirement "$lock" pytest
  touch "$stamp"
fi
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --force-reinstall --no-deps "$wheel"

# A home of its own for every run: database, logs and configuration vanish with it.
AIRFLOW_HOME=$(mktemp -d "$folder/home.XXXXXX")
export AIRFLOW_HOME
trap 'AIRFLOW_HOME=$AIRFLOW_HOME/live "$root/tests/airflow_up.sh" stop; rm -rf "$AIRFLOW_HOME"' EXIT
export AIRFLOW__CORE__DAGS_FOLDER=$root/dags AIRFLOW__CORE__LOAD_EXAMPLES=False
export AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=sqlite:///$AIRFLOW_HOME/airflow.db
export AIRFLOW__USAGE_DATA_COLLECTION__ENABLED=False SCARF_ANALYTICS=false DO_NOT_TRACK=1
PYTHONPYCACHEPREFIX=$AIRFLOW_HOME/pycache
export PYTHONPYCACHEPREFIX
# Models are trained in the environment of the wheel's own tests, which has what that needs.
export HEADRACE_PYTHON=${HEADRACE_PYTHON:-$HEADRACE_HOME/venv/bin/python}
PATH=$venv/bin:$PATH

airflow db migrate >"$AIRFLOW_HOME/migrate.log" 2>&1 || { tail -n 40 "$AIRFLOW_HOME/migrate.log"; exit 1; }
python -m pytest -q -rs -p no:cacheprovider "$@" "$root"/tests/airflow_{provider,watch,lineage,dag,scoring,commerce,live}_test.py
