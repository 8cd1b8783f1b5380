#!/usr/bin/env bash
# Builds the image of the Astro project with podman, starts it with the stores of docker-compose.override.yml, runs the DAG
# `recruitment` on the embedded store and on them, compares the two results, and takes everything down. Then the same DAG
# without containers, from the wheel of that build, as `astro dev start --standalone` does it.
# ./run test-image         all of it
#                  keep    the containers only, and leaves them up
#                  down    ends them
#                  wipe    removes them, the images and the caches
# No registry of images is asked: the system is made by debootstrap, the Astro runtime and the stores have stand-ins (tests/image/).
# Everything is below .headrace/image; Airflow listens on 127.0.0.1:18081, the stores on the ports of the compose file.
# Needs root, an apt with a Debian mirror (it installs podman and debootstrap), and about 15 GB of disk.
# PROFILE=release compiles as `astro dev start` does; HEADRACE_STORAGE_DRIVER=vfs helps where podman cannot overlay.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export HEADRACE_HOME=${HEADRACE_HOME:-$root/.headrace}
# shellcheck source=tests/tools.sh
source "$root/tests/tools.sh"

folder=$HEADRACE_HOME/image
project=headrace-image
rows=5000
profile=${PROFILE:-dev}
packages=(podman buildah runc crun netavark aardvark-dns iptables debootstrap)
action=${1:-test}
case $action in test | keep | down | wipe) ;; *) echo "usage: ./run test-image [keep|down|wipe]" >&2; exit 2 ;; esac

[ "$(id -u)" = 0 ] || missing "this needs root: sudo ./run test-image"
for tool in podman debootstrap runc netavark; do
  [ -z "$(PATH=$PATH:/usr/lib/podman:/usr/sbin command -v $tool)" ] || continue
  command -v apt-get >/dev/null || missing "$tool is missing: install ${packages[*]}"
  echo "installing ${packages[*]}"
  mkdir -p "$folder"
  { apt-get -o DPkg::Lock::Timeout=300 update &&
    DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install --yes --no-install-recommends "${packages[@]}"; } </dev/null >"$folder/apt.log" 2>&1 ||
    { tail -n 10 "$folder/apt.log" >&2; missing "apt-get could not install ${packages[*]}"; }
  break
done
need_python
python_packages podman-compose==1.6.0 pyyaml uv
mkdir -p "$folder/tmp"

# Storage, state and networks of its own, so that nothing of this machine's podman is used or changed; the caches of builds
# are in TMPDIR. The engine's settings are for a podman without systemd, and inside a container.
export CONTAINERS_CONF=$folder/containers.conf CONTAINERS_STORAGE_CONF=$folder/storage.conf TMPDIR=$folder/tmp
cat >"$CONTAINERS_STORAGE_CONF" <<CNF
[storage]
driver = "${HEADRACE_STORAGE_DRIVER:-overlay}"
graphroot = "$folder/storage"
runroot = "$folder/run"
CNF
cat >"$CONTAINERS_CONF" <<CNF
[containers]
default_ulimits = ["nofile=20000:20000", "nproc=4096:4096"]
netns = "host"
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
image_default_transport = "containers-storage:"
tmp_dir = "$folder/run/libpod"
[network]
network_backend = "netavark"
network_config_dir = "$folder/networks"
CNF

compose() {
  "$HEADRACE_HOME/venv/bin/podman-compose" --project-name $project \
    --file "$root/docker-compose.override.yml" --file "$root/tests/image/compose.yaml" "$@"
}
down() { compose down --volumes --timeout 10 >"$folder/down.log" 2>&1 || { tail -n 20 "$folder/down.log" >&2; return 1; }; }
case $action in
  down) down; exit ;;
  wipe) down || true; podman system reset --force >"$folder/wipe.log" 2>&1 || true; rm -rf "$folder"; exit ;;
esac

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
  local mirror tree=$folder/debian started=$SECONDS
  # shellcheck disable=SC2016 # the fields are apt's
  mirror=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Created-By: Packages' | awk '$2 == "bookworm" {print $1; exit}')
  rm -rf "$tree"
  debootstrap --variant=minbase bookworm "$tree" "${mirror:-http://deb.debian.org/debian}" >"$folder/debian.log" 2>&1 ||
    { tail -n 10 "$folder/debian.log" >&2; missing "debootstrap failed, see $folder/debian.log"; }
  tar -C "$tree" -c . | podman import - localhost/headrace-debian:test >>"$folder/debian.log" 2>&1
  rm -rf "$tree"
  echo "image debian: $((SECONDS - started)) s"
}
store_context() { # the software of the stores, as hard links
  local context=$folder/stores name
  "$root/servers/all.sh" install cassandra kafka mysql
  rm -rf "$context"; mkdir -p "$context"
  for name in cassandra kafka mysql; do
    cp --archive --link "$(find "$HEADRACE_HOME/dist" -maxdepth 1 -name "$name-[0-9]*" | sort -V | tail -n 1)" "$context/$name"
  done
  cp "$root"/tests/image/*.sh "$context"
  cp "$root/servers/cassandra.sh" "$context/servers-cassandra.sh"
}
container() { podman ps --quiet --filter "label=com.docker.compose.service=$1" --filter "label=io.podman.compose.project=$project"; }
healthy() { # healthy SERVICE: its own health check, which podman without systemd does not run by itself
  local id end=$((SECONDS + 600))
  until id=$(container "$1") && [ -n "$id" ] && podman healthcheck run "$id" >/dev/null 2>&1; do
    [ $SECONDS -lt $end ] || { compose logs "$1" 2>&1 | tail -n 40 >&2; echo "error: $1 is not healthy" >&2; return 1; }
    sleep 3
  done
  echo "$1 is healthy"
}
up() { compose up --detach --no-deps "$@" >>"$folder/up.log" 2>&1 || { tail -n 40 "$folder/up.log" >&2; echo "error: cannot start $*" >&2; return 1; }; }
ended() { # ended SERVICE: waits for a service that does its work and ends
  local code
  code=$(podman wait "${project}_$1_1")
  [ "$code" = 0 ] || { compose logs "$1" 2>&1 | tail -n 40 >&2; echo "error: $1 ended with exit code $code" >&2; return 1; }
  echo "$1 is done"
}

debian
build runtime --file "$root/tests/image/runtime.Dockerfile" "$root/tests"
store_context
for store in postgres cassandra kafka mysql; do
  build $store --file "$root/tests/image/stores.Dockerfile" --target $store "$folder/stores"
done
# The builder first, for its wheel and its own time; the second build takes that stage from the cache.
arguments=(--build-arg BASE_IMAGE=localhost/headrace-runtime:test --build-arg BUILDER_IMAGE=localhost/headrace-debian:test --build-arg "PROFILE=$profile")
build builder "${arguments[@]}" --target builder "$root"
build airflow "${arguments[@]}" "$root"

# What the image promises: no compiler, not root, labels, the wheel and the command.
run_in_image() { podman run --rm --network=none localhost/headrace-airflow:test "$@"; }
[ "$(run_in_image id --user --name)" = astro ] || missing "the image does not run as astro"
for tool in cargo rustc gcc g++ cc make; do
  ! run_in_image bash -c "command -v $tool" >/dev/null || missing "the image has a compiler: $tool"
done
[ -z "$(run_in_image find . -path ./logs -prune -o \( -name '*.rs' -o -name 'Cargo.*' \) -print)" ] || missing "the image has sources"
podman inspect --format '{{index .Config.Labels "org.opencontainers.image.title"}} {{index .Config.Labels "org.opencontainers.image.version"}}' \
  localhost/headrace-airflow:test
echo "of the project: $(run_in_image ls | xargs)"
run_in_image headrace --version
run_in_image python -c 'import headrace; print(headrace.__file__)'
# What `astro dev parse` does.
podman run --rm --network=none --volume "$root/.astro:/usr/local/airflow/.astro:ro" localhost/headrace-airflow:test \
  pytest -q -p no:cacheprovider .astro/test_dag_integrity_default.py >"$folder/parse.log" 2>&1 ||
  { tail -n 40 "$folder/parse.log" >&2; missing "astro dev parse would fail"; }
tail -n 1 "$folder/parse.log"
sizes=$(podman images --format '{{.Repository}} {{.Size}}')
echo "size: $(awk '/headrace-airflow/ {print $2, $3}' <<<"$sizes"), of which the runtime $(awk '/headrace-runtime/ {print $2, $3}' <<<"$sizes")"

[ "$action" = keep ] || trap down EXIT
down || true
rm -f "$folder/up.log"
started=$SECONDS
# In the order of depends_on, which podman 4 only knows in part.
up cassandra kafka mysql postgres
for store in cassandra kafka mysql; do healthy $store; done
up stores db-migration
for service in stores db-migration; do ended $service; done
up api-server scheduler dag-processor triggerer
"$HEADRACE_HOME/venv/bin/python" "$root/tests/image/trigger.py" http://127.0.0.1:18081 "$root/airflow_settings.yaml" --rows $rows --stores || {
  compose logs scheduler 2>&1 | tail -n 60 >&2
  exit 1
}
# The same simulated data went both ways; the command in the container finds the stores in its environment.
podman exec "$(container scheduler)" bash -c '
  set -e
  headrace recruitment export --from embedded:/tmp/headrace/store --out /tmp/embedded.csv >/dev/null
  headrace recruitment export --from "$RECRUITMENT_RESULT" --out /tmp/servers.csv >/dev/null
  cmp /tmp/embedded.csv /tmp/servers.csv
  headrace recruitment verify --raw "$RECRUITMENT_RAW" --log "$RECRUITMENT_LOG" --result "$RECRUITMENT_RESULT" >/dev/null
  echo "$(tail -n +2 /tmp/servers.csv | wc -l) hourly rows in MySQL, the same as in the embedded store"'
echo "the containers did their work in $((SECONDS - started)) s"
[ "$action" != keep ] || exit 0
down

"$root/tests/image/standalone.sh" "$folder" $rows
echo "all of it took $SECONDS s"
