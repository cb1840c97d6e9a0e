#!/usr/bin/env bash
# Pairs behind the bridge: is any closed wrongly, are ghosts on either leg found on time, and does a flood on one pair delay the
# heartbeats of the others?
#
#   benches/scenarios/pairs.sh [PAIRS [SECONDS]]          benches/scenarios/pairs.sh 6000 60
#
# Three runs of SECONDS each, a ping every 2 s on both legs and a timeout of 6 s: PAIRS idle pairs; a third of them with 100
# ghosts on either leg and 20 000 messages a second (each there and back); the same number with a flood on one pair. The gateway
# has one CPU for itself, the service (Node) and the clients share the other. Loopback only.
#
# Needs Linux, two CPUs, taskset, node, python3. Environment: PORT (18980; the service has the next one). Exit: 0 measured;
# 1 a pair was closed wrongly, or a ghost was not found or found early; 2 could not measure.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

fail() {
    echo "pairs.sh: $*" >&2
    exit 2
}

PAIRS=${1:-6000} SECONDS_EACH=${2:-60} PORT=${PORT:-18980} INTERVAL=2000 TIMEOUT=6000
for number in "$PAIRS" "$SECONDS_EACH"; do [[ $number =~ ^[1-9][0-9]{0,4}$ ]] || fail "not a whole number: $number"; done
[ "$(nproc)" -ge 2 ] && command -v taskset >/dev/null || fail "two CPUs and taskset are needed: one for the gateway alone"
ulimit -S -n "$(ulimit -H -n)"
[ "$(ulimit -n)" = unlimited ] || [ "$(ulimit -n)" -gt $((2 * PAIRS + 512)) ] || fail "they do not fit under the descriptor limit, $(ulimit -n)"
cargo build --release --quiet --features swarm --bins || fail "the build failed"
BIN=${CARGO_TARGET_DIR:-target}/release

OUT=$(mktemp -d)
GATEWAY='' SERVICE='' FLOOD=''
trap 'kill $GATEWAY $SERVICE $FLOOD 2>/dev/null || true; wait || true; rm -rf "$OUT"' EXIT
trap 'exit 130' INT TERM

# Waits until something listens on a port. $1: the port; $2: the process; $3: its log.
listens() {
    for _ in $(seq 100); do
        kill -0 "$2" 2>/dev/null || fail "it ended at once: $(tail -1 "$3")"
        (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null && return
        sleep 0.1
    done
    fail "nothing listens on port $1"
}

# One run. $1: its name; $2: pairs; $3: ghosts on each leg; $4: pairs that talk, ten times a second each; $5: `flood` or nothing.
run() {
    local name=$1 pairs=$2 ghosts=$3 talkers=$4 flood=${5:-}
    taskset -c 1 node benches/scenarios/pairs/service.mjs $((PORT + 1)) "$ghosts" 12000 $TIMEOUT \
        >"$OUT/$name.service.json" 2>"$OUT/$name.service.log" &
    SERVICE=$!
    listens $((PORT + 1)) "$SERVICE" "$OUT/$name.service.log"
    UPSTREAM=http://127.0.0.1:$((PORT + 1)) LISTEN_ADDR=127.0.0.1:$PORT ADMIN_ADDR=127.0.0.1:$((PORT + 2)) DRAIN_MS=0 LOG_LEVEL=warn \
        HEARTBEAT_INTERVAL_MS=$INTERVAL CONNECTION_TIMEOUT_MS=$TIMEOUT \
        UPSTREAM_HEARTBEAT_INTERVAL_MS=$INTERVAL UPSTREAM_CONNECTION_TIMEOUT_MS=$TIMEOUT \
        taskset -c 0 "$BIN/pulsegate" >"$OUT/$name.gateway.log" 2>&1 &
    GATEWAY=$!
    listens $PORT "$GATEWAY" "$OUT/$name.gateway.log"
    if [ -n "$flood" ]; then
        taskset -c 1 timeout $((SECONDS_EACH + 60)) node benches/scenarios/pairs/flood.mjs $PORT $((PORT + 2)) "$pairs" $((SECONDS_EACH - 5)) >"$OUT/$name.flood.json" &
        FLOOD=$!
    fi
    taskset -c 1 timeout --foreground $((SECONDS_EACH + 90)) "$BIN/pulsegate-swarm" --target "ws://127.0.0.1:$PORT" --path '/pair-{n}' \
        --connections "$pairs" --ghosts "$ghosts" --timeout-ms $TIMEOUT --talkers "$talkers" --talk-interval-ms 100 --talk-bytes 128 \
        --duration "$SECONDS_EACH" --sources 4 >"$OUT/$name.swarm.json" 2>"$OUT/$name.swarm.err" || fail "$name: $(tail -1 "$OUT/$name.swarm.err")"
    python3 -c 'import sys, urllib.request; sys.stdout.write(urllib.request.urlopen(sys.argv[1]).read().decode())' \
        "http://127.0.0.1:$((PORT + 2))/metrics" >"$OUT/$name.metrics"
    kill "$SERVICE" "$GATEWAY"
    if [ -n "$FLOOD" ]; then wait "$FLOOD" || true; fi
    wait "$SERVICE" "$GATEWAY" || true
    GATEWAY='' SERVICE='' FLOOD=''
}

run idle "$PAIRS" 0 0
run ghosts $((PAIRS / 3 + 100)) 100 $((PAIRS / 3))
run flood $((PAIRS / 3)) 0 0 flood
python3 benches/scenarios/pairs/report.py "$OUT"
