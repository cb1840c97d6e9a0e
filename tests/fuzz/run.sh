#!/usr/bin/env bash
# Builds the fuzz targets with libFuzzer's coverage counters, on a stable toolchain, and runs them side by side, a thread each,
# from their corpora. The same seed and number of runs do the same work each time.
#
#   run.sh [TARGET...] [-- LIBFUZZER_OPTION...]
#
# TARGET: scan, http, pipelined, response, proxy, protocol_json, pulse (all by default). Without options: the short run of CI, -runs=$RUNS -seed=1.
# RUNS: 10 000. OUT: where new inputs (OUT/TARGET) and inputs that fail (OUT/TARGET-crash-…) are put (a folder that is
# removed at the end, unless something fails). Needs a C++ compiler. Exit: 0 all held; 1 a target failed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
TARGETS=() OPTIONS=(-runs="${RUNS:-10000}" -seed=1)
while [ $# -gt 0 ]; do
    [ "$1" != -- ] || { shift; OPTIONS=("$@"); break; }
    TARGETS+=("$1")
    shift
done
[ ${#TARGETS[@]} -gt 0 ] || TARGETS=(scan http pipelined response proxy protocol_json pulse)

# What cargo-fuzz passes without a sanitizer: counters per edge, and comparisons as hints. The rest of the program is safe
# Rust, so a sanitizer would find little more than panics do.
FLAGS="-Cpasses=sancov-module"
for option in level=4 inline-8bit-counters pc-table trace-compares; do
    FLAGS+=" -Cllvm-args=-sanitizer-coverage-$option"
done
# With a target named, build scripts and macros are built without the counters.
TRIPLE=$(rustc -vV | sed -n 's/^host: //p')
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}
[ "$CARGO_TARGET_DIR" = "$PWD/target" ] || CARGO_TARGET_DIR+=/fuzz
RUSTFLAGS="$FLAGS" cargo build --quiet --release --locked --target "$TRIPLE"
BIN=$CARGO_TARGET_DIR/$TRIPLE/release

KEEP=${OUT:-}
OUT=${OUT:-$(mktemp -d)}
fuzz() { # TARGET
    mkdir -p "$OUT/$1"
    "$BIN/$1" -max_len=16384 -len_control=10 -timeout=120 -rss_limit_mb=2048 -print_final_stats=1 \
        -artifact_prefix="$OUT/$1-" "${OPTIONS[@]}" "$OUT/$1" "corpus/$1" >"$OUT/$1.log" 2>&1
}
declare -A RUNS_OF
for target in "${TARGETS[@]}"; do
    fuzz "$target" &
    RUNS_OF[$target]=$!
done
FAILED=0
for target in "${TARGETS[@]}"; do
    if wait "${RUNS_OF[$target]}"; then
        runs=$(grep -aoE 'number_of_executed_units: [0-9]+' "$OUT/$target.log" | grep -oE '[0-9]+$' || echo 1)
        echo "$target: $runs runs, $(find "$OUT/$target" -type f | wc -l) new inputs"
    else
        grep -a -A6 'panicked at' "$OUT/$target.log" | cut -c1-2000 || tail -n 20 "$OUT/$target.log"
        echo "run.sh: $target failed; the input is $(find "$OUT" -maxdepth 1 -name "$target-*" | head -n 1)"
        FAILED=1
    fi
done
[ -n "$KEEP" ] || [ $FAILED = 1 ] || rm -rf "$OUT"
exit $FAILED
