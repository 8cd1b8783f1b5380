# shellcheck shell=bash disable=SC2154 # root comes from ./run
# The phases of `./run test`, each timed, logged to .headrace/logs and counted (sourced by ./run).

logs=$HEADRACE_HOME/logs
phase_limit=2400 # seconds after which a phase counts as hung
rows=() passed=0 failed=0 result=ok

run_tests() {
  local quick=0
  case ${1:-} in quick) quick=1 ;; '') ;; *) usage >&2; exit 2 ;; esac
  mkdir -p "$logs"; rm -f "$logs"/*.log "$logs/failures.txt"
  # shellcheck disable=SC2086 # one word per variable
  unset ${!HEADRACE_TEST_@}
  need_rust; need_python
  [ $quick = 1 ] || need_java
  cd "$root" || exit
  # A first run fills some 20 GB: third-party crates, tests, servers, PySpark and Airflow.
  [ -d target ] || [ "$(free_gigabytes)" -ge 20 ] || echo "warning: only $(free_gigabytes) GB are free here; a first run may need 20" >&2
  trap clean_up EXIT
  trap 'exit 130' INT TERM

  if [ $quick = 0 ]; then
    job install "$root/servers/all.sh" install
    job install-spark "$root/bench/peers.sh" spark
  fi
  phase check format cargo fmt --all --check
  phase check clippy cargo clippy --workspace --all-targets --quiet -- --deny warnings
  phase check deny check_dependencies
  phase check build cargo test --no-run
  if [ $quick = 1 ]; then
    phase cargo unit cargo test --no-fail-fast -- --show-output
  else
    phase cargo unit unit_tests
    phase check servers start_servers
    if [ $result = ok ]; then
      eval "$("$root/servers/all.sh" env)"
      phase cargo servers-tests cargo test --no-fail-fast --test '*' -- --show-output
      # It makes the broker stand still, so nothing else may use it meanwhile.
      HEADRACE_TEST_KAFKA_PID=$(cut -d ' ' -f 1 "$HEADRACE_HOME/servers/kafka/pid") \
        phase cargo frozen-broker cargo test --test connectors stands_still -- --show-output
    fi
  fi
  phase check wheel test_wheel
  [ $result = failed ] || phase pytest python "$HEADRACE_HOME/venv/bin/python" -m pytest -q -rs "$root/pylib/tests" "$root/tests/astro_test.py" "$root/tests/faults"
  [ $result = failed ] || [ $quick = 1 ] || phase pytest pages test_pages
  [ $result = failed ] || [ $quick = 1 ] || phase pytest spark test_spark
  [ $quick = 1 ] || phase pytest lake-readers test_lake_readers
  if [ $quick = 0 ] && [ -x "$root/tests/airflow.sh" ]; then phase check airflow "$root/tests/airflow.sh"; fi
  summary
}

check_dependencies() { # licences, bans and sources by deny.toml; advisories where their database can be reached
  local tools=$HEADRACE_HOME/tools database=https://github.com/RustSec/advisory-db
  PATH=$PATH:$tools/bin
  # Without optimisation, which would cost more than all checks together.
  cargo deny --version || cargo install cargo-deny --version 0.20.2 --locked --debug --quiet --root "$tools" || return
  cargo deny check bans licenses sources || return
  if timeout 20 git ls-remote --exit-code "$database" HEAD >/dev/null 2>&1; then
    cargo deny check advisories || return
  else
    echo "SKIP: the advisory database cannot be reached: $database"
  fi
}

unit_tests() {
  local code=0
  cargo test --no-fail-fast --lib --bins -- --show-output || code=1
  cargo test --no-fail-fast --doc || code=1
  return $code
}

start_servers() {
  wait_for_job install
  # Servers that already run stay as they are, before and after; the others start empty.
  "$root/servers/all.sh" stopped >"$logs/ours.txt"
  local servers
  mapfile -t servers <"$logs/ours.txt"
  [ ${#servers[@]} = 0 ] || "$root/servers/all.sh" wipe "${servers[@]}"
  "$root/servers/all.sh" start
}

test_wheel() {
  local packages=(pytest pyyaml)
  [ ! -f "$root/pylib/tests/requirements.txt" ] || packages+=(--requirement "$root/pylib/tests/requirements.txt")
  rm -rf "$HEADRACE_HOME/wheels"
  wheel "$HEADRACE_HOME/wheels"
  python_packages "${packages[@]}"
  "$HEADRACE_HOME/venv/bin/python" -m pip install --quiet --disable-pip-version-check --force-reinstall --no-deps "$HEADRACE_HOME"/wheels/*.whl
}

# The dashboard in headless Chromium, which is installed where it is missing; screenshots are beside the logs.
test_pages() {
  need_chromium
  python_packages playwright
  export HEADRACE_UI_FOLDER=$logs/pages
  rm -rf "$HEADRACE_UI_FOLDER"; mkdir -p "$HEADRACE_UI_FOLDER"
  "$HEADRACE_HOME/venv/bin/python" -m pytest -q -rs -p no:cacheprovider "$root/tests/ui/commerce_test.py"
}

# PySpark is in the environment of `./run bench spark`, which is made beside the first phases: two minutes where it is missing.
spark_python() {
  local folder
  wait_for_job install-spark
  folder=$("$root/bench/peers.sh" spark) && [ -x "$folder/venv/bin/python" ] && echo "$folder/venv/bin/python"
}
test_spark() {
  local python; python=$(spark_python) || return
  "$python" -m pip install --quiet --disable-pip-version-check pytest || return
  "$python" -m pip install --quiet --disable-pip-version-check --force-reinstall --no-deps "$HEADRACE_HOME"/wheels/*.whl || return
  "$python" -m pytest -q -rs "$root/pylib/tests/test_spark.py"
}

# The lake's files read by others. Its Spark test passes over a machine without PySpark; here it has to be there.
test_lake_readers() {
  spark_python || return
  python_packages pytest duckdb pytz pandas polars pyarrow
  "$HEADRACE_HOME/venv/bin/python" -m pytest -q -rs -p no:cacheprovider "$root/tests/lake_readers_test.py"
}

# A job is a background process group, so that Ctrl-C and clean_up reach everything it started.
job() { # job NAME COMMAND...
  local name=$1; shift
  set -m
  ( "$@" ) >"$logs/$name.log" 2>&1 </dev/null &
  set +m
  echo $! >"$logs/$name.pid"
}
wait_for_job() { local pid; pid=$(cat "$logs/$1.pid"); while kill -0 "$pid" 2>/dev/null; do sleep 0.3; done; }

phase() { # phase check|cargo|pytest NAME COMMAND...: sets `result`
  local kind=$1 name=$2 log=$logs/$2.log started=$SECONDS told=$SECONDS pid seconds counts ok bad skipped; shift 2
  echo "== $name"
  job "$name" "$@"
  pid=$!
  while kill -0 "$pid" 2>/dev/null; do
    sleep 0.2
    if [ $((SECONDS - told)) -ge 60 ]; then
      told=$SECONDS
      echo "   $((SECONDS - started)) s: $(tail -n 1 "$log" | cut -c 1-100)"
    fi
    if [ $((SECONDS - started)) -ge $phase_limit ]; then kill -KILL -- "-$pid"; echo "stopped after $phase_limit s" >>"$log"; fi
  done
  result=ok; wait "$pid" || result=failed
  seconds=$((SECONDS - started))

  counts=$(count "$kind" "$log")
  read -r ok bad skipped <<<"$counts"
  # With all servers up nothing may ask for one: it would be a test that never runs.
  if [ -n "${HEADRACE_TEST_CASSANDRA:-}" ] && grep -q '^SKIP: set HEADRACE_TEST' "$log"; then
    echo "these tests did not run: $(grep '^SKIP: set HEADRACE_TEST' "$log" | sort | uniq -c)" >>"$log"
    result=failed
  fi
  if [ "$kind" != check ] && [ $((ok + bad)) = 0 ]; then echo "no test ran" >>"$log"; result=failed; fi
  if [ $result = failed ] && [ "$bad" = 0 ]; then bad=1; fi
  if [ "$bad" != 0 ]; then result=failed; tail -n 120 "$log"; echo "-- the whole output of $name: $log"; failures "$name" "$log"; fi
  passed=$((passed + ok)) failed=$((failed + bad))
  rows+=("$(printf '%-14s %8d %8d %8d %8d   %s' "$name" "$seconds" "$ok" "$bad" "$skipped" "$result")")
  echo "   $result in $seconds s"
}

# What failed and why, for the end of the output: a log's last lines often show other tests than those that failed.
failures() { # failures NAME LOG
  { echo "-- failed in $1:"
    grep -hE -A 4 '^(test .* \.\.\. FAILED|thread .* panicked at|FAILED |E   |error(\[|:))' "$2" | head -n 100 | cut -c 1-300
  } >>"$logs/failures.txt"
}

count() { # count KIND LOG: passed, failed and skipped tests in the output of cargo or pytest
  case $1 in
    cargo) awk '/^test result:/ {ok += $4; bad += $6; skipped += $8} /^SKIP/ {skipped++} END {print ok + 0, bad + 0, skipped + 0}' "$2" ;;
    pytest) awk '/[0-9]+ (passed|failed|skipped|errors?).* in [0-9.]+s/ {ok = bad = skipped = 0
        for (i = 2; i <= NF; i++) {
          if ($i ~ /^passed/) ok = $(i - 1); if ($i ~ /^(failed|error)/) bad += $(i - 1); if ($i ~ /^skipped/) skipped = $(i - 1) } }
      END {print ok + 0, bad + 0, skipped + 0}' "$2" ;;
    *) echo 0 0 0 ;;
  esac
}

summary() {
  echo
  printf '%-14s %8s %8s %8s %8s\n' phase seconds passed failed skipped
  printf '%s\n' "${rows[@]}"
  printf '%-14s %8d\n' total $SECONDS
  grep -hs '^SKIP' "$logs"/*.log | sort | uniq -c | sed 's/^ */skipped /' || true
  echo
  if [ -s "$logs/failures.txt" ]; then cat "$logs/failures.txt"; echo; fi
  [ "$(free_gigabytes)" -ge 1 ] || echo "the disk is full: whatever failed may have failed for that"
  echo "$passed passed, $failed failed"
  [ $failed = 0 ]
}

clean_up() {
  local code=$? pid ours
  trap '' INT TERM
  for pid in $(jobs -pr); do kill -TERM -- "-$pid" 2>/dev/null || true; done
  if [ -s "$logs/ours.txt" ]; then
    mapfile -t ours <"$logs/ours.txt"
    "$root/servers/all.sh" stop "${ours[@]}" || true
    rm -f "$logs/ours.txt"
  fi
  exit $code
}
