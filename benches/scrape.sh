#!/usr/bin/env bash
# What a scrape each second, and a list of 1 000 connections each second, add to the longest turn of a gateway that holds
# many connections. Each kind of load lasts 80 s, so that the last minute that the gateway tells of holds nothing else.
#
#   scrape.sh [CONNECTIONS] [RUNS]                        scrape.sh 18000 3
#
# BIN: where the release binaries are. Prints, for each run, the 99th percentile and the longest turn in µs (within 12.5 %)
# and how late deadlines were.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
N=${1:-18000} RUNS=${2:-3} BIN=${BIN:-${CARGO_TARGET_DIR:-target}/release}
LOG=$(mktemp)
LISTEN_ADDR=127.0.0.1:0 ADMIN_ADDR=127.0.0.1:0 HEARTBEAT_INTERVAL_MS=2000 CONNECTION_TIMEOUT_MS=6000 LOG_LEVEL=info \
    "$BIN/pulsegate" 2>"$LOG" &
GATEWAY=$!
SWARM=
trap 'kill $GATEWAY $SWARM 2>/dev/null || true; rm -f "$LOG"' EXIT
for _ in $(seq 100); do
    grep -q ' start ' "$LOG" && break
    sleep 0.1
done
address() { grep -oE " $1=[0-9.:]+" "$LOG" | head -n 1 | cut -d= -f2; }
LISTEN=$(address listen) ADMIN=$(address admin)
"$BIN/pulsegate-swarm" --target "ws://$LISTEN" --connections "$N" --sources 4 --ramp 4000 \
    --duration $((RUNS * 250 + 60)) >/dev/null 2>"$LOG.swarm" &
SWARM=$!
for _ in $(seq 600); do
    grep -q '^holding' "$LOG.swarm" && break
    sleep 0.1
done
rm -f "$LOG.swarm"
# Asks for a path once a second for 80 s; nothing if there is none. Then for what the last minute was like.
load() {
    local name=$1 path=$2
    for _ in $(seq 80); do
        [ -z "$path" ] || curl -sf -o /dev/null "http://$ADMIN$path"
        sleep 1
    done
    curl -sf "http://$ADMIN/api/v1/overview" | python3 -c '
import json, sys
o = json.load(sys.stdin)
m = o["last_minute"]
live = sum(sum(c.values()) for c in o["connections"].values())
turn, late = m["turn"], m["lateness"]
print("%-8s %d connections: turn p99 %s, longest %s µs; lateness p99 %s µs"
      % (sys.argv[1], live, turn["p99_us"], turn["max_us"], late["p99_us"]))
' "$name"
}
for _ in $(seq "$RUNS"); do
    load nothing ""
    load scrape /metrics
    load list "/api/v1/connections?sort=rtt&limit=1000"
done
