#!/usr/bin/env bash
# Fuzzes the parsers, all or those named, each for some seconds: all.sh SECONDS [TARGET...]
# Needs cargo-fuzz (`cargo install cargo-fuzz --locked`) and a C++ compiler; the stable compiler will do. What it learns stays in
# fuzz/corpus; an input that fails is named, and is in fuzz/artifacts: mend the parser, and make the input a test of its crate.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
seconds=${1:?usage: all.sh SECONDS [TARGET...]}; shift
targets=("$@")
[ $# -gt 0 ] || mapfile -t targets < <(cd fuzz_targets && ls -- *.rs | sed 's/\.rs$//')
cargo fuzz --version >/dev/null 2>&1 || { echo "cargo-fuzz is missing: cargo install cargo-fuzz --locked" >&2; exit 1; }

export RUSTC_BOOTSTRAP=1 # coverage counters are not stable yet; nothing here needs an address sanitizer, since all of it is safe Rust
for target in "${targets[@]}"; do
  echo "== $target"
  mkdir -p "corpus/$target"
  cargo fuzz run --fuzz-dir . --sanitizer none "$target" "corpus/$target" "seeds/$target" -- \
    -max_total_time="$seconds" -max_len=4096 -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 2>&1 |
    grep -E 'panicked|assertion|left:|right:|Test unit written|stat::(number_of_executed_units|average_exec|new_units|peak_rss)|ERROR|error'
done
