#!/usr/bin/env bash
# A herd: the gateway is killed without warning under CLIENTS clients of pulse, and started again within 0.2 s. How fast do they
# come back, and how fast is acceptable?
#
#   benches/scenarios/herd.sh [CLIENTS]          benches/scenarios/herd.sh 18000
#
# The clients are glasses on the relay, so that a connection costs the gateway one descriptor. All open as fast as the gateway
# takes them: that rate is the acceptable one. ACCEPT_RATE is set to half of it for a second gateway, under which they open again
# and are lost. Then four schedules with 100 000 clients on virtual time, at the same rate. Loopback only, a minute and a half.
#
# Needs Linux, two CPUs, taskset, python3. Environment: PORT (18991), ACCEPT_RATE (the first guess, 5000).
# Exit: 0 held; 1 something did not; 2 could not measure.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

fail() {
    echo "herd.sh: $*" >&2
    exit 2
}

CLIENTS=${1:-18000} PORT=${PORT:-18991}
[[ $CLIENTS =~ ^[1-9][0-9]{0,5}$ ]] || fail "not a whole number: $CLIENTS"
[ "$(nproc)" -ge 2 ] && command -v taskset >/dev/null || fail "two CPUs and taskset are needed"
ulimit -S -n "$(ulimit -H -n)"
[ "$(ulimit -n)" = unlimited ] || [ "$(ulimit -n)" -gt $((CLIENTS + 64)) ] || fail "they do not fit under the descriptor limit, $(ulimit -n)"
(exec 3<>"/dev/tcp/127.0.0.1/$PORT") 2>/dev/null && fail "something listens on port $PORT already; set PORT"
cargo build --release --quiet --features client,testing --bins --example herd || fail "the build failed"
BIN=${CARGO_TARGET_DIR:-target}/release

OUT=$(mktemp -d)
GATEWAY='' HERD=''
trap 'kill -9 $GATEWAY $HERD 2>/dev/null || true; wait || true; rm -rf "$OUT"' EXIT

# start RATE: the gateway, with a ping every 2 s, so that each client soon has the last hint.
start() {
    LISTEN_ADDR=127.0.0.1:$PORT ADMIN_ADDR=off DRAIN_MS=0 MAX_CONNECTIONS=19000 PULSE=1 ACCEPT_RATE=$1 HEARTBEAT_INTERVAL_MS=2000 \
        CONNECTION_TIMEOUT_MS=20000 taskset -c 0 "$BIN/pulsegate" >>"$OUT/gateway.log" 2>&1 &
    GATEWAY=$!
    for _ in $(seq 100); do
        (exec 3<>"/dev/tcp/127.0.0.1/$PORT") 2>/dev/null && return
        sleep 0.01
    done
    fail "the gateway does not listen: $(tail -n 3 "$OUT/gateway.log")"
}

# The number NAME of the line of the herd that has KEY.
figure() { # FILE KEY NAME
    python3 -c 'import json, sys
print(next(row[sys.argv[3]] for row in map(json.loads, open(sys.argv[1])) if sys.argv[2] in row))' "$@"
}

# await FILE KEY
await() {
    for _ in $(seq 600); do
        grep -q "\"$2\"" "$1" && return
        kill -0 "$HERD" 2>/dev/null || fail "the herd ended: $(cat "$1" "$OUT/herd.err")"
        sleep 0.1
    done
    fail "no $2 within a minute"
}

herd() {
    : >"$1"
    taskset -c 1 "$BIN/examples/herd" real "127.0.0.1:$PORT" '/glasses-ws?user={}' "$CLIENTS" >"$1" 2>"$OUT/herd.err" &
    HERD=$!
    await "$1" opened
}

start "${ACCEPT_RATE:-5000}"
herd "$OUT/first"
ACCEPTABLE=$(figure "$OUT/first" opened per_s)
kill -9 "$GATEWAY" "$HERD"
wait "$GATEWAY" "$HERD" 2>/dev/null || true
sleep 1

RATE=$((ACCEPTABLE / 2))
start "$RATE"
herd "$OUT/second"
sleep 5
kill -9 "$GATEWAY"
wait "$GATEWAY" 2>/dev/null || true
start "$RATE"
wait "$HERD" || fail "not all came back: $(cat "$OUT/second" "$OUT/herd.err")"
HERD=''
FIRST_MS=$((CLIENTS * 1000 / RATE))
PEAK=$(figure "$OUT/second" back peak_per_s)
MOST=$(figure "$OUT/second" back back_99_ms)
echo "acceptable: $ACCEPTABLE handshakes/s; ACCEPT_RATE=$RATE, so first_ms=$FIRST_MS"
grep '"back"' "$OUT/second"
"$BIN/examples/herd" virtual 100000 "$ACCEPTABLE" $((100000 * 1000 / RATE))

python3 - "$PEAK" "$ACCEPTABLE" "$FIRST_MS" "$CLIENTS" "$MOST" <<'PY'
import sys
peak, acceptable, first, clients, most = map(float, sys.argv[1:])
checks = {
    f"peak {peak:.0f} accepts/s, at most twice {acceptable:.0f}": peak <= 2 * acceptable,
    f"first_ms {first:.0f}, at most three times {clients / acceptable * 1000:.0f}": first <= 3 * clients / acceptable * 1000,
    f"99 % back after {most:.0f} ms, at most first_ms + 2 s": most <= first + 2000,
}
for check, holds in checks.items():
    print("held  " if holds else "MISSED", check)
sys.exit(not all(checks.values()))
PY
