#!/usr/bin/env bash
# A storm: many connect at once while others live. Are all served, and do the others keep their heartbeat times?
#
#   benches/scenarios/storm.sh [NEWCOMERS [LIVING]]          benches/scenarios/storm.sh 18000 1500
#
# The gateway on one CPU with a ping a second, both swarms on the other, the living one with precedence there. Prints what
# became of the newcomers and the time between two pings of the living, as they saw it. Loopback only, half a minute.
#
# Needs Linux, two CPUs, taskset, python3. Environment: PORT (18990). Exit: 0 measured; 1 a client was not served or was
# closed; 2 could not measure.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

fail() {
    echo "storm.sh: $*" >&2
    exit 2
}

NEWCOMERS=${1:-18000} LIVING=${2:-1500} PORT=${PORT:-18990}
for number in "$NEWCOMERS" "$LIVING"; do [[ $number =~ ^[1-9][0-9]{0,5}$ ]] || fail "not a whole number: $number"; done
[ "$(nproc)" -ge 2 ] && command -v taskset >/dev/null || fail "two CPUs and taskset are needed: one for the gateway alone"
ulimit -S -n "$(ulimit -H -n)"
[ "$(ulimit -n)" = unlimited ] || [ "$(ulimit -n)" -gt $((NEWCOMERS + LIVING + 64)) ] || fail "they do not fit under the descriptor limit, $(ulimit -n)"
(exec 3<>"/dev/tcp/127.0.0.1/$PORT") 2>/dev/null && fail "something listens on port $PORT already; set PORT"
cargo build --release --quiet --features swarm --bins || fail "the build failed"
BIN=${CARGO_TARGET_DIR:-target}/release

OUT=$(mktemp -d)
GATEWAY='' LIVE=''
trap 'kill $GATEWAY $LIVE 2>/dev/null || true; wait || true; rm -rf "$OUT"' EXIT
trap 'exit 130' INT TERM

LISTEN_ADDR=127.0.0.1:$PORT ADMIN_ADDR=127.0.0.1:0 HEARTBEAT_INTERVAL_MS=1000 CONNECTION_TIMEOUT_MS=4000 DRAIN_MS=0 LOG_LEVEL=warn \
    MAX_CONNECTIONS=$((NEWCOMERS + LIVING)) taskset -c 0 "$BIN/pulsegate" >"$OUT/gateway.log" 2>&1 &
GATEWAY=$!
for _ in $(seq 100); do
    kill -0 "$GATEWAY" 2>/dev/null || fail "the gateway ended at once: $(tail -1 "$OUT/gateway.log")"
    (exec 3<>"/dev/tcp/127.0.0.1/$PORT") 2>/dev/null && break
    sleep 0.1
done
SWARM=(taskset -c 1 timeout --foreground 90 "$BIN/pulsegate-swarm" --target "ws://127.0.0.1:$PORT" --sources 4)
# Where precedence is not allowed, the two share their CPU evenly, and the living seem later than they are.
FIRST=()
nice -n -15 true 2>/dev/null && FIRST=(nice -n -15)
"${FIRST[@]}" "${SWARM[@]}" --path '/glasses-ws?user=living-{n}' --connections "$LIVING" --ramp 3000 --duration 15 \
    >"$OUT/living.json" 2>"$OUT/living.err" &
LIVE=$!
until grep -q '^holding' "$OUT/living.err"; do
    kill -0 "$LIVE" 2>/dev/null || fail "the swarm ended: $(tail -1 "$OUT/living.err")"
    sleep 0.1
done
sleep 3
"${SWARM[@]}" --path '/glasses-ws?user=newcomer-{n}' --connections "$NEWCOMERS" --ramp 100000 --in-flight 18000 --duration 4 \
    >"$OUT/newcomers.json" 2>"$OUT/newcomers.err" || fail "the newcomers: $(tail -1 "$OUT/newcomers.err")"
wait "$LIVE" || fail "the living: $(tail -1 "$OUT/living.err")"
LIVE=''

python3 - "$OUT" <<'PY'
import json
import sys

living, newcomers = (json.load(open(f"{sys.argv[1]}/{name}.json")) for name in ("living", "newcomers"))
took, pings = newcomers["handshake_ms"], living["pings"]["interval_ms"]
closed = sum(sum(one["closes"]["unexpected"].values()) for one in (living, newcomers))
print(f"newcomers   {newcomers['connected']} of {newcomers['connections']} served in {newcomers['elapsed_s']['ramp']:.2f} s; "
      f"handshake p50 {took['p50']:.1f}, p99 {took['p99']:.1f}, max {took['max']:.1f} ms")
print(f"living      {living['connected']}, a ping each 1000 ms: p50 {pings['p50']:.0f}, p99 {pings['p99']:.0f}, max {pings['max']:.0f} ms apart")
print(f"closed      {closed} falsely")
sys.exit(1 if closed or newcomers["failed"] or living["failed"] else 0)
PY
