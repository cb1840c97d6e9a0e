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
# Needs Linux, two CPUs, taskset, node, python3. Environment: BIN, a folder with the programs, instead of building them. Exit: 0
# measured; 1 a pair was closed wrongly, a ghost was not found, found early or half of them more than 10 ms late, or the flood did
# not last or delayed a heartbeat by more than 20 ms; 2 could not measure.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

NAME=pairs.sh
. benches/scenarios/pairs/parts.sh
PIN_SERVICE=(taskset -c 1) PIN_GATEWAY=(taskset -c 0)

PAIRS=${1:-6000} SECONDS_EACH=${2:-60} INTERVAL=2000 TIMEOUT=6000
for number in "$PAIRS" "$SECONDS_EACH"; do [[ $number =~ ^[1-9][0-9]{0,4}$ ]] || fail "not a whole number: $number"; done
[ "$(nproc)" -ge 2 ] && command -v taskset >/dev/null || fail "two CPUs and taskset are needed: one for the gateway alone"
prepare "$PAIRS"

OUT=$(mktemp -d)
FLOOD=''
trap 'kill $FLOOD 2>/dev/null || true; stop_pairs; rm -rf "$OUT"' EXIT
trap 'exit 130' INT TERM

# One run. $1: its name; $2: pairs; $3: ghosts on each leg; $4: pairs that talk, ten times a second each; $5: `flood` or nothing.
run() {
    local name=$1 pairs=$2 ghosts=$3 talkers=$4 flood=${5:-}
    start_service "$name" "$ghosts" 12000 $TIMEOUT
    start_gateway "$name" $INTERVAL $TIMEOUT
    if [ -n "$flood" ]; then
        taskset -c 1 timeout $((SECONDS_EACH + 60)) node benches/scenarios/pairs/flood.mjs "$PORT" "$ADMIN_PORT" "$pairs" $((SECONDS_EACH - 5)) >"$OUT/$name.flood.json" &
        FLOOD=$!
    fi
    taskset -c 1 timeout --foreground $((SECONDS_EACH + 90)) "$BIN/pulsegate-swarm" --target "ws://127.0.0.1:$PORT" --path '/pair-{n}' \
        --connections "$pairs" --ghosts "$ghosts" --timeout-ms $TIMEOUT --talkers "$talkers" --talk-interval-ms 100 --talk-bytes 128 \
        --duration "$SECONDS_EACH" --sources 4 >"$OUT/$name.swarm.json" 2>"$OUT/$name.swarm.err" || fail "$name: $(tail -1 "$OUT/$name.swarm.err")"
    python3 -c 'import sys, urllib.request; sys.stdout.write(urllib.request.urlopen(sys.argv[1]).read().decode())' \
        "http://127.0.0.1:$ADMIN_PORT/metrics" >"$OUT/$name.metrics"
    stop_pairs
    if [ -n "$FLOOD" ]; then wait "$FLOOD" || true; fi
    FLOOD=''
}

run idle "$PAIRS" 0 0
run ghosts $((PAIRS / 3 + 100)) 100 $((PAIRS / 3))
run flood $((PAIRS / 3)) 0 0 flood
python3 benches/scenarios/pairs/report.py "$OUT" $INTERVAL
