#!/usr/bin/env bash
# What a scrape each second, and a list of 1 000 connections each second, add to the longest turn of a gateway that holds
# many connections.
#
#   scrape.sh [CONNECTIONS] [RUNS] [SECONDS]              scrape.sh 18000 3
#
# First comes a time without load, of 80 s, so that the last minute that the gateway tells of holds nothing else. Then each
# load lasts SECONDS, 80 if not given. If they are fewer, its minute holds what was before it, too: the longest turn counts
# all the same, the percentiles do not.
# NOTHING: how long that first time is instead, in seconds. BIN: where the release binaries are. Prints, for each run, the 99th percentile and the longest turn in µs (within 12.5 %),
# how late deadlines were, and at last the longest turns beside each other.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
N=${1:-18000} RUNS=${2:-3} SECONDS_EACH=${3:-80} BIN=${BIN:-${CARGO_TARGET_DIR:-target}/release}
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
    --duration $((RUNS * (80 + 2 * SECONDS_EACH + 10) + 60)) >/dev/null 2>"$LOG.swarm" &
SWARM=$!
for _ in $(seq 600); do
    grep -q '^holding' "$LOG.swarm" && break
    sleep 0.1
done
rm -f "$LOG.swarm"
# Asks for a path once a second, for so many seconds; for nothing if there is none. Then for what the last minute was like.
load() {
    local name=$1 seconds=$2 path=${3:-}
    for _ in $(seq "$seconds"); do
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
    nothing=$(load nothing "${NOTHING:-80}")
    scrape=$(load scrape "$SECONDS_EACH" /metrics)
    list=$(load list "$SECONDS_EACH" "/api/v1/connections?sort=rtt&limit=1000")
    printf '%s\n' "$nothing" "$scrape" "$list"
    longest() { sed 's/.*longest \([^ ]*\) .*/\1/' <<<"$1"; }
    echo "longest turn: without scrapes $(longest "$nothing") µs, with them $(longest "$scrape") µs, with lists $(longest "$list") µs"
done
