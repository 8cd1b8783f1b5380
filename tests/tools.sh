# shellcheck shell=bash
# The tools that the scripts need, and where to find them (sourced by ./run).

missing() { echo "error: $*" >&2; exit 1; }
at_least() { [ "$(printf '%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]; } # at_least WANTED HAVE

free_gigabytes() { df -Pk "$root" | awk 'NR == 2 {print int($4 / 1048576)}'; }

need_rust() {
  local account beside have
  account=$(getent passwd "$(id -u)" 2>/dev/null | cut -d: -f6 || true)
  # A fresh HOME knows neither rustup's commands nor its toolchains: look where the account really lives.
  export HOME=${HOME:-$account}
  PATH=$PATH:$HOME/.cargo/bin:$account/.cargo/bin
  if ! cargo --version >/dev/null 2>&1; then
    if [ -z "${RUSTUP_HOME:-}" ] && command -v cargo >/dev/null; then
      beside=$(dirname "$(dirname "$(dirname "$(command -v cargo)")")")/.rustup # cargo is HOME/.cargo/bin/cargo
      if [ -d "$beside" ]; then export RUSTUP_HOME=$beside; fi
    fi
    if ! cargo --version >/dev/null 2>&1 && command -v rustup >/dev/null; then
      echo "installing Rust with rustup" >&2
      { rustup toolchain install stable --no-self-update --profile minimal --component clippy --component rustfmt >&2 && rustup default stable >&2; } || true
    fi
  fi
  have=$(cargo --version 2>/dev/null | awk '{print $2}' || true)
  [ -n "$have" ] || missing "cargo is missing: install Rust 1.95 or newer with rustup (Debian 13: apt-get install rustup && rustup default stable)"
  at_least 1.95 "$have" || missing "cargo $have is too old: rustup update stable (1.95 or newer is needed)"
  local tool
  for tool in cc make perl; do
    command -v $tool >/dev/null || missing "$tool is missing: apt-get install build-essential perl"
  done
}

need_python() {
  command -v python3 >/dev/null || missing "python3 is missing: apt-get install python3 python3-venv"
  python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' || missing "$(python3 --version) is too old: Python 3.10 or newer is needed"
  python3 -c 'import venv, ensurepip' 2>/dev/null || missing "Python's venv is missing: apt-get install python3-venv"
}

need_java() {
  local have
  command -v java >/dev/null || missing "java is missing: apt-get install openjdk-17-jre-headless"
  command -v mvn >/dev/null || missing "mvn is missing: apt-get install maven"
  have=$(java -version 2>&1 | awk -F'"' '/version/ {print $2; exit}')
  at_least 17 "$have" || missing "Java $have is too old: apt-get install openjdk-17-jre-headless"
}

need_chromium() { # sets CHROMIUM to the browser that the tests of pages drive; installs Debian's where there is none
  local name install=(apt-get install --yes --no-install-recommends chromium fonts-dejavu-core)
  for name in chromium chromium-browser google-chrome-stable google-chrome; do
    CHROMIUM=${CHROMIUM:-$(command -v $name || true)}
  done
  if [ -z "$CHROMIUM" ]; then
    command -v apt-get >/dev/null || missing "chromium is missing: install it, or name a Chromium or Chrome in CHROMIUM"
    [ "$(id -u)" = 0 ] || missing "chromium is missing: as root, apt-get update && ${install[*]}"
    echo "installing chromium with apt-get" >&2
    { apt-get -qq -o DPkg::Lock::Timeout=300 update && DEBIAN_FRONTEND=noninteractive "${install[0]}" -o DPkg::Lock::Timeout=300 -qq "${install[@]:1}"; } \
      </dev/null >&2 || missing "chromium could not be installed: ${install[*]}"
    CHROMIUM=$(command -v chromium) || missing "chromium is not on the PATH"
  fi
  export CHROMIUM
}

python_packages() { # python_packages PACKAGE...: into the repository's own environment, unless they are there
  local venv=$HEADRACE_HOME/venv stamp file
  # Files of requirements count by what is in them.
  stamp=$venv/.$({ printf '%s ' "$@"; for file in "$@"; do [ ! -f "$file" ] || cat "$file"; done; } | cksum | cut -d' ' -f1)
  [ ! -e "$stamp" ] || return 0
  [ -x "$venv/bin/python" ] || python3 -m venv "$venv"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$@"
  touch "$stamp"
}
