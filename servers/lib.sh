# shellcheck shell=bash disable=SC2034 # offset is for the scripts
# Shared by the scripts of this folder (sourced, not run): folders, locks, processes, downloads.
# Nothing is installed on the system: software is unpacked under $dist, data and logs live under $state.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
home=${HEADRACE_HOME:-$root/.headrace}
dist=$home/dist
state=${HEADRACE_STATE:-$home/servers} # another folder holds another set of servers of the same software
offset=${HEADRACE_PORT_OFFSET:-0} # added to every default port, for a second set of servers
mkdir -p "$dist" "$state"

say() { echo "$*" >&2; }
die() { say "error: $*"; exit 1; }
[ ${#state} -le 85 ] || die "$state is too long a path for a server's socket: set HEADRACE_HOME or HEADRACE_STATE to a shorter folder"
need() { command -v "$1" >/dev/null || die "$1 is missing: install $2"; }

# locked NAME COMMAND...: one process at a time; servers started inside must not inherit descriptor 9.
locked() { local name=$1; shift; (flock 9; "$@") 9>"$home/.$name.lock"; }

# once FOLDER COMMAND...: runs COMMAND to fill FOLDER unless an earlier run completed it.
once() {
  local folder=$1; shift
  [ -e "$folder/.complete" ] || locked "$(basename "$folder")" fill "$folder" "$@"
}
fill() {
  local folder=$1; shift
  [ ! -e "$folder/.complete" ] || return 0
  say "installing $(basename "$folder")"
  local started=$SECONDS
  rm -rf "$folder"; mkdir -p "$folder"
  "$@"
  touch "$folder/.complete"
  say "installed $(basename "$folder") in $((SECONDS - started)) s"
}

# A pid file holds the process id and its start time, so that a number used again is never taken for ours.
start_time() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | awk '$1 != "Z" {print $20}'; }
running() {
  local pid since
  [ -s "$1" ] && read -r pid since <"$1" && [ "$(start_time "$pid")" = "$since" ]
}
spawn() { # spawn PID_FILE LOG COMMAND...: a process of its own session
  local pid_file=$1 log=$2; shift 2
  setsid "$@" >>"$log" 2>&1 </dev/null 9>&- &
  echo "$! $(start_time $!)" >"$pid_file"
}
stop_process() { # stop_process PID_FILE: TERM, then KILL after 40 s
  local pid since i
  if running "$1"; then
    read -r pid since <"$1"
    kill -TERM "$pid" 2>/dev/null || true
    kill -CONT "$pid" 2>/dev/null || true # a paused process hears nothing
    for ((i = 0; i < 400; i++)); do running "$1" || break; sleep 0.1; done
    if running "$1"; then say "process $pid ignores TERM, killing it"; kill -KILL "$pid"; sleep 0.5; fi
  fi
  rm -f "$1"
}

free_port() { # free_port PORT VARIABLE [ADDRESS]
  ! (exec 3<>"/dev/tcp/${3:-127.0.0.1}/$1") 2>/dev/null || die "port $1 is taken: stop what listens there, or set $2 or HEADRACE_PORT_OFFSET"
}
wait_ready() { # wait_ready SECONDS PID_FILE LOG COMMAND...: until COMMAND succeeds
  local end=$((SECONDS + $1)) pid_file=$2 log=$3; shift 3
  until "$@" >/dev/null 2>&1; do
    running "$pid_file" || { tail -n 30 "$log" >&2; die "the server ended while starting, see $log"; }
    [ $SECONDS -lt $end ] || { tail -n 30 "$log" >&2; die "the server is not ready in time, see $log"; }
    sleep 0.3
  done
}

# serve ACTION NAME FOLDER URL...: the subcommands that every script has; the script defines install, launch and ready.
serve() {
  local action=$1 name=$2 folder=$3; shift 3
  case $action in
    install) install ;;
    start) install; locked "$(basename "$folder").start" start "$name" "$folder"; printf '%s\n' "$@" ;;
    stop) locked "$(basename "$folder").start" stop_process "$folder/pid" ;;
    status)
      running "$folder/pid" || { echo "$name: stopped"; return 3; }
      echo "$name: $(ready 2>/dev/null || echo 'running, not ready'), pid $(cut -d' ' -f1 "$folder/pid"), $*" ;;
    wipe) ! running "$folder/pid" || die "$name is running: stop it first"; rm -rf "$folder" ;;
    *) say "usage: $0 install|start|stop|status|wipe"; return 2 ;;
  esac
}
start() {
  local name=$1 folder=$2 started=$SECONDS
  if running "$folder/pid"; then wait_ready 60 "$folder/pid" "$folder/server.log" ready; return 0; fi
  mkdir -p "$folder"
  launch
  say "$name is up after $((SECONDS - started)) s, pid $(cut -d' ' -f1 "$folder/pid")"
}

# maven_jars FOLDER GROUP:ARTIFACT:VERSION...: the artifacts and all they need at run time.
maven_jars() {
  local folder=$1 work log artifact group name version dependencies='' attempt; shift
  need java "a Java 17 runtime (Debian: openjdk-17-jre-headless)"
  need mvn "Apache Maven (Debian: maven)"
  work=$folder/.maven log=$folder/maven.log
  mkdir -p "$work"
  for artifact in "$@"; do
    IFS=: read -r group name version <<<"$artifact"
    dependencies+="<dependency><groupId>$group</groupId><artifactId>$name</artifactId><version>$version</version></dependency>"
  done
  cat >"$work/pom.xml" <<XML
<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>headrace.test</groupId><artifactId>servers</artifactId><version>1</version><packaging>pom</packaging>
<dependencies>$dependencies</dependencies></project>
XML
  for attempt in 1 2 3; do
    mvn --quiet --batch-mode --file "$work/pom.xml" -Dmaven.repo.local="$work/repository" \
      org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies \
      -DincludeScope=runtime -DoutputDirectory="$folder" >"$log" 2>&1 9>&- && { rm -rf "$work"; return 0; }
    sleep 3
  done
  tail -n 5 "$log" >&2; die "Maven could not fetch $*, see $log"
}

# debian_root FOLDER SUITE PACKAGE...: unpacks the packages and everything they need, their C library included, from
# the Debian mirror this machine is set up with. apt works on private lists and an empty package database.
debian_root() {
  local folder=$1 suite=$2 apt log options mirror package; shift 2
  need apt-get "apt (the database servers come from Debian packages)"
  need dpkg-deb dpkg
  apt=$folder/.apt log=$folder/apt.log
  mkdir -p "$apt"/{lists,cache/archives}/partial "$apt"/{sources,preferences}
  : >"$apt/empty"; : >"$apt/status"
  # shellcheck disable=SC2016 # the fields are apt's
  mirror=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Created-By: Packages' 2>/dev/null |
    awk '$2 ~ /^(bookworm|trixie|forky|sid|stable|testing|unstable)$/ {print $1; exit}')
  [ -n "$mirror" ] || die "apt on this machine knows no Debian mirror (run apt-get update?)"
  printf 'Types: deb\nURIs: %s\nSuites: %s\nComponents: main\nSigned-By: %s\n' "$mirror" "$suite" \
    /usr/share/keyrings/debian-archive-keyring.gpg >"$apt/sources/debian.sources"
  options=(-qq -o Dir::Etc::sourcelist="$apt/empty" -o Dir::Etc::sourceparts="$apt/sources" -o Dir::State::lists="$apt/lists"
    -o Dir::Etc::preferencesparts="$apt/preferences" -o Dir::State::status="$apt/status" -o Dir::Cache="$apt/cache"
    -o Acquire::Languages=none -o Acquire::Retries=3 -o APT::Sandbox::User=root -o Debug::NoLocking=1)
  { apt-get "${options[@]}" update &&
    apt-get "${options[@]}" install --download-only --yes --no-install-recommends "$@"; } >"$log" 2>&1 9>&- ||
    { tail -n 5 "$log" >&2; die "apt could not fetch $*, see $log"; }
  for package in "$apt"/cache/archives/*.deb; do dpkg-deb --extract "$package" "$folder"; done
  rm -rf "$apt"
}

# Runs a program of a debian_root with that root's own loader and libraries.
libraries() { echo "$1/usr/lib/x86_64-linux-gnu:$1/lib/x86_64-linux-gnu:$1/usr/lib/mysql/private"; }
loader() { if [ -e "$1/lib64/ld-linux-x86-64.so.2" ]; then echo "$1/lib64/ld-linux-x86-64.so.2"; else echo "$1/usr/lib64/ld-linux-x86-64.so.2"; fi; }
