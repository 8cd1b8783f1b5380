# shellcheck shell=bash disable=SC2034,SC2154 # logs and result are those of phases.sh; root comes from ./run
# `./run faults`: real servers killed, paused and cut off while the steps run (sourced by ./run, after phases.sh).
# The servers are a set of their own: those of `./run servers` are not touched.

run_faults() { # run_faults [GROUP...]
  local group
  [ $# -gt 0 ] || set -- kafka mariadb network cassandra
  for group in "$@"; do
    [ -n "$(servers_of "$group")" ] || { echo "unknown group: $group (kafka, mariadb, network, cassandra)" >&2; exit 2; }
  done
  need_rust; need_python; need_java
  export HEADRACE_STATE=$HEADRACE_HOME/faults HEADRACE_PORT_OFFSET=$((${HEADRACE_PORT_OFFSET:-0} + 1000))
  logs=$HEADRACE_HOME/logs/faults
  mkdir -p "$logs"; rm -f "$logs"/*
  cd "$root" || exit
  trap clean_up EXIT
  trap 'exit 130' INT TERM
  eval "$("$root/servers/all.sh" fault-env)"

  phase check build cargo test --test pipelines --no-run
  [ $result = ok ] || { summary; return 1; }
  for group in "$@"; do fault_group "$group"; done
  summary
}

servers_of() { # servers_of GROUP: what it needs; those before a slash must be up before the others
  case $1 in
    kafka) echo kafka-1 kafka-2 kafka-3 mariadb ;;
    mariadb) echo mariadb ;;
    network) echo cassandra kafka-1 kafka-2 kafka-3 mariadb ;;
    cassandra) echo cassandra-1 / cassandra-2 / cassandra-3 ;;
  esac
}

fault_group() {
  local group=$1 servers
  read -ra servers <<<"$(servers_of "$group" | tr -d /)"
  printf '%s\n' "${servers[@]}" >"$logs/ours.txt"
  phase check "$group-servers" start_group "$group" "${servers[@]}"
  if [ $result = ok ]; then
    phase cargo "$group" cargo test --test pipelines -- --test-threads=1 --show-output "faults_servers::$group::"
    # What was struck, seen and counted, beside the bare results.
    grep -E '^(case|seed|strike|seen|exact)' "$logs/$group.log" | sed 's/^/   /' || true
  fi
  "$root/servers/all.sh" stop "${servers[@]}"
  rm -f "$logs/ours.txt"
}

start_group() { # start_group GROUP SERVER...: from nothing
  local group=$1 some stage stages; shift
  "$root/servers/all.sh" stop "$@"
  "$root/servers/all.sh" wipe "$@"
  "$root/servers/all.sh" install "$@"
  IFS=/ read -ra stages <<<"$(servers_of "$group")"
  for stage in "${stages[@]}"; do
    read -ra some <<<"$stage"
    "$root/servers/all.sh" start "${some[@]}"
  done
}
