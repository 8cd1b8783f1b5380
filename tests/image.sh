#!/usr/bin/env bash
# Builds the image of the Astro project with podman, starts it with the stores of docker-compose.override.yml, runs the DAG
# `recruitment` on the embedded store and on them, and takes everything down: `./run test-image`. `./run test-image keep` leaves
# it up, `./run test-image down` ends that.
# No registry is asked: the system is made by debootstrap, the Astro runtime and the stores have stand-ins (tests/image/).
# Everything is below .headrace/image; Airflow listens on 127.0.0.1:18081, the stores on the ports of the compose file.
# Needs root, an apt with a Debian mirror, and about 15 GB of disk. HEADRACE_STORAGE_DRIVER=vfs helps where podman cannot overlay.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export HEADRACE_HOME=${HEADRACE_HOME:-$root/.headrace}
# shellcheck source=tests/tools.sh
source "$root/tests/tools.sh"

folder=$HEADRACE_HOME/image
rows=5000
action=${1:-test}
case $action in test | keep | down) ;; *) echo "usage: ./run test-image [keep|down]" >&2; exit 2 ;; esac

for tool in podman debootstrap runc; do
  command -v "$tool" >/dev/null ||
    missing "$tool is missing: apt-get install podman buildah runc crun netavark aardvark-dns iptables debootstrap"
done
need_python
python_packages podman-compose==1.6.0 pyyaml
mkdir -p "$folder"

# A storage of its own, so that nothing of this machine's podman is used or changed.
export CONTAINERS_CONF=$root/tests/image/containers.conf CONTAINERS_STORAGE_CONF=$folder/storage.conf
cat >"$CONTAINERS_STORAGE_CONF" <<CNF
[storage]
${HEADRACE_STORAGE_DRIVER:+driver = "$HEADRACE_STORAGE_DRIVER"}
graphroot = "$folder/storage"
runroot = "$folder/run"
CNF

compose() {
  "$HEADRACE_HOME/venv/bin/podman-compose" --project-name headrace-image \
    --file "$root/docker-compose.override.yml" --file "$root/tests/image/compose.yaml" "$@"
}
down() { compose down --volumes --timeout 10 >"$folder/down.log" 2>&1 || { tail -n 20 "$folder/down.log" >&2; return 1; }; }
if [ "$action" = down ]; then down; exit; fi

# The certificates that this machine trusts reach the builds the way Debian wants them.
trust=()
bundle=${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}
[ ! -r "$bundle" ] || trust=(--volume "$bundle:/usr/local/share/ca-certificates/machine.crt:ro")
build() { # build NAME ARGS: an image from local ones; what it prints is in NAME.log
  local name=$1 started=$SECONDS; shift
  podman build --format docker --network=host --isolation=chroot --pull-never "${trust[@]}" \
    --tag "localhost/headrace-$name:test" "$@" >"$folder/$name.log" 2>&1 ||
    { tail -n 40 "$folder/$name.log" >&2; echo "error: cannot build the image $name, see $folder/$name.log" >&2; exit 1; }
  echo "image $name: $((SECONDS - started)) s"
}
debian() { # the system under every image
  ! podman image exists localhost/headrace-debian:test || return 0
  local mirror tree=$folder/debian
  # shellcheck disable=SC2016 # the fields are apt's
  mirror=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Created-By: Packages' | awk '$2 == "bookworm" {print $1; exit}')
  rm -rf "$tree"
  debootstrap --variant=minbase bookworm "$tree" "${mirror:-http://deb.debian.org/debian}" >"$folder/debian.log" 2>&1 ||
    { tail -n 10 "$folder/debian.log" >&2; missing "debootstrap failed, see $folder/debian.log"; }
  tar -C "$tree" -c . | podman import - localhost/headrace-debian:test >/dev/null
  rm -rf "$tree"
}
store_context() { # the software of the stores, as hard links
  local context=$folder/stores name
  "$root/servers/all.sh" install cassandra kafka mysql
  rm -rf "$context"; mkdir -p "$context"
  for name in cassandra kafka mysql; do
    cp --archive --link "$(find "$HEADRACE_HOME/dist" -maxdepth 1 -name "$name-*" | sort -V | tail -n 1)" "$context/$name"
  done
  cp "$root"/tests/image/*.sh "$context"
  cp "$root/servers/cassandra.sh" "$context/servers-cassandra.sh"
}
healthy() { # healthy SERVICE: its own health check, which podman without systemd does not run by itself
  local container end=$((SECONDS + 300))
  until container=$(podman ps --quiet --filter "label=com.docker.compose.service=$1" --filter label=io.podman.compose.project=headrace-image) &&
    [ -n "$container" ] && podman healthcheck run "$container" >/dev/null 2>&1; do
    [ $SECONDS -lt $end ] || { compose logs "$1" 2>&1 | tail -n 40 >&2; echo "error: $1 is not healthy" >&2; return 1; }
    sleep 3
  done
  echo "$1 is healthy"
}

debian
build runtime --file "$root/tests/image/runtime.Dockerfile" "$root/tests"
store_context
for store in postgres cassandra kafka mysql; do
  build $store --file "$root/tests/image/stores.Dockerfile" --target $store "$folder/stores"
done
build airflow --build-arg BASE_IMAGE=localhost/headrace-runtime:test --build-arg BUILDER_IMAGE=localhost/headrace-debian:test "$root"

# What the image promises: no compiler, not root, labels, the wheel and the command.
run_in_image() { podman run --rm --network=none localhost/headrace-airflow:test "$@"; }
[ "$(run_in_image id --user --name)" = astro ] || missing "the image does not run as astro"
for tool in cargo rustc gcc cc make; do
  ! run_in_image bash -c "command -v $tool" >/dev/null || missing "the image has a compiler: $tool"
done
podman inspect --format '{{index .Config.Labels "org.opencontainers.image.title"}} {{index .Config.Labels "org.opencontainers.image.version"}}' \
  localhost/headrace-airflow:test
run_in_image headrace --version
run_in_image python -c 'import headrace; print(headrace.__file__)'

[ "$action" = keep ] || trap down EXIT
down || true
started=$SECONDS
# It returns when the store's keyspace is made, since the scheduler waits for that.
compose up --detach >"$folder/up.log" 2>&1 || { tail -n 40 "$folder/up.log" >&2; exit 1; }
for store in cassandra kafka mysql; do healthy $store; done
"$HEADRACE_HOME/venv/bin/python" "$root/tests/image/trigger.py" http://127.0.0.1:18081 "$root/airflow_settings.yaml" $rows || {
  compose logs scheduler 2>&1 | tail -n 60 >&2
  exit 1
}
echo "the containers did their work in $((SECONDS - started)) s"
