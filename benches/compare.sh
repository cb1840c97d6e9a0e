#!/usr/bin/env bash
# pulsegate beside its floor, in one run on one machine: ratios hold where times do not.
#
#   benches/compare.sh CONNECTIONS INTERVAL_MS TIMEOUT_MS [RUNS]          benches/compare.sh 18000 2000 6000 3
#
# Measures by docs/measure.sh, in turn and RUNS times (1): the floor (benches/floor, nothing but the system calls), the loop with
# an echo handler, and the gateway. Prints a Markdown table of medians and ratios to the floor. Needs what measure.sh needs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
[ $# -ge 3 ] || { sed -n '2,7s/^# \{0,1\}//p' benches/compare.sh >&2; exit 2; }
N=$1 INTERVAL=$2 TIMEOUT=$3 RUNS=${4:-1}
export PORT=${PORT:-18705}
cargo build --release --quiet --bins --example echo
FLOOR=$(cargo bench --no-run --bench floor --message-format=json 2>/dev/null |
    python3 -c 'import json,sys; print([m["executable"] for m in map(json.loads, sys.stdin) if m.get("target",{}).get("name")=="floor" and m.get("executable")][-1])')
BIN=${CARGO_TARGET_DIR:-target}/release
OUT=$(mktemp -d)
trap 'rm -rf "$OUT"' EXIT
for run in $(seq "$RUNS"); do
    # The floor finds ghosts only when it pings: its lateness is no measure, and its exit code not asked for.
    SERVER="$FLOOR --listen 127.0.0.1:$PORT --interval-ms $INTERVAL --timeout-ms $TIMEOUT" \
        docs/measure.sh "$N" "$INTERVAL" "$TIMEOUT" >"$OUT/floor.$run" 2>/dev/null || true
    MAX_CONNECTIONS=19900 SERVER="$BIN/examples/echo" docs/measure.sh "$N" "$INTERVAL" "$TIMEOUT" >"$OUT/loop.$run" 2>/dev/null
    docs/measure.sh "$N" "$INTERVAL" "$TIMEOUT" >"$OUT/gateway.$run" 2>/dev/null
done
python3 - "$OUT" "$RUNS" <<'P'
import re, statistics, sys
out, runs = sys.argv[1], int(sys.argv[2])
patterns = {
    "bytes": r"([0-9]+) B of it anonymous", "cpu": r"CPU per round +([0-9.]+)", "user": r": ([0-9.]+) user",
    "calls": r"system calls per round +([0-9.]+)", "p50": r"p50 ([0-9.]+) ms", "p99": r"p99 ([0-9.]+) ms, max",
}
def figures(name):
    texts = [open(f"{out}/{name}.{r}").read() for r in range(1, runs + 1)]
    return {k: statistics.median(float(re.search(p, t).group(1)) for t in texts) for k, p in patterns.items()}
floor = figures("floor")
print("| server | bytes per idle connection | CPU per round, µs | of it user space | to the floor | system calls per round | ghost lateness p50 / p99, ms |")
print("| --- | --- | --- | --- | --- | --- | --- |")
for name, title in [("floor", "floor"), ("loop", "loop, echo handler"), ("gateway", "gateway")]:
    f = figures(name)
    late = "–" if name == "floor" else f"{f['p50']:.1f} / {f['p99']:.1f}"
    print(f"| {title} | {f['bytes']:.0f} | {f['cpu']:.1f} | {f['user']:.2f} | {f['cpu'] / floor['cpu']:.2f} | {f['calls']:.2f} | {late} |")
P
