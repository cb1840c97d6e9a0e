#!/usr/bin/env bash
# 100 000 live connections on one machine: six gateways on one port (SO_REUSEPORT) and six swarms, each with source addresses
# of its own, over several heartbeats of 15 s.
#
#   benches/scenarios/100k.sh [CONNECTIONS] [SECONDS]          benches/scenarios/100k.sh 100000 80
#
# Prints memory per connection, ours and the kernel's, CPU over 45 s, pings per connection, and false closes.
# Loopback only; bounded: the ramp, SECONDS, and half a minute. Needs Linux, python3, and 20 000 descriptors per process.
# Exit: 0 all connected and none closed falsely; 1 not so; 2 could not start. Environment: PORT (18704).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
CONNECTIONS=${1:-100000} SECONDS_HELD=${2:-80} PORT=${PORT:-18704} PARTS=6

fail() {
    echo "100k.sh: $*" >&2
    exit 2
}
for number in "$CONNECTIONS" "$SECONDS_HELD"; do [[ $number =~ ^[1-9][0-9]{0,6}$ ]] || fail "not a whole number: $number"; done
[ "$SECONDS_HELD" -ge 30 ] || fail "SECONDS is $SECONDS_HELD; at least 30, for two heartbeats"
# With SO_REUSEPORT another gateway there would quietly take its share.
(exec 3<>"/dev/tcp/127.0.0.1/$PORT") 2>/dev/null && fail "something listens on port $PORT already; set PORT"
ulimit -S -n "$(ulimit -H -n)"
[ "$(ulimit -n)" = unlimited ] || [ "$(ulimit -n)" -ge 20000 ] || fail "20000 descriptors per process are needed, there are $(ulimit -n)"
cargo build --release --quiet --features swarm --bins || fail "the build failed"
BIN=${CARGO_TARGET_DIR:-target}/release
OUT=$(mktemp -d)
PIDS=()
clean_up() {
    for pid in "${PIDS[@]}"; do kill "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
    rm -rf "$OUT"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

anonymous() { for pid in "${GATEWAYS[@]}"; do awk '/^Anonymous:/ {print $2}' "/proc/$pid/smaps_rollup"; done | awk '{s += $1} END {print s}'; }
ticks() { for pid in "${GATEWAYS[@]}"; do awk '{print $14 + $15}' "/proc/$pid/stat"; done | awk '{s += $1} END {print s}'; }
# What the kernel holds for sockets: slab (sockets, dentries, inodes) and TCP's own pages, in kB.
kernel() { echo $(($(awk '/^Slab:/ {print $2}' /proc/meminfo) + 4 * $(awk '/^TCP:/ {print $NF}' /proc/net/sockstat))); }

GATEWAYS=()
for part in $(seq $PARTS); do
    LISTEN_ADDR=127.0.0.1:$PORT ADMIN_ADDR=127.0.0.1:0 REUSE_PORT=1 LOG_LEVEL=warn DRAIN_MS=0 "$BIN/pulsegate" 2>"$OUT/gateway-$part.log" &
    GATEWAYS+=($!)
    PIDS+=($!)
done
sleep 1
for pid in "${GATEWAYS[@]}"; do kill -0 "$pid" 2>/dev/null || fail "a gateway did not start: $(cat "$OUT"/gateway-*.log)"; done
USER_BEFORE=$(anonymous) KERNEL_BEFORE=$(kernel)

SWARMS=()
for part in $(seq $PARTS); do
    "$BIN/pulsegate-swarm" --target "ws://127.0.0.1:$PORT" --path "/glasses-ws?user=swarm-$part-{n}" \
        --sources "127.0.0.$((part * 2)),127.0.0.$((part * 2 + 1))" --connections $(((CONNECTIONS + PARTS - 1) / PARTS)) \
        --ramp 1000 --duration "$SECONDS_HELD" >"$OUT/swarm-$part.json" 2>"$OUT/swarm-$part.err" &
    SWARMS+=($!)
    PIDS+=($!)
done
for part in $(seq $PARTS); do
    for _ in $(seq 600); do
        grep -q '^holding' "$OUT/swarm-$part.err" && break
        kill -0 "${SWARMS[$((part - 1))]}" 2>/dev/null || fail "a swarm ended early: $(tail -n 2 "$OUT/swarm-$part.err")"
        sleep 0.2
    done
    grep -q '^holding' "$OUT/swarm-$part.err" || fail "a swarm was not open after two minutes: $(tail -n 1 "$OUT/swarm-$part.err")"
done
sleep 16
USER=$(($(anonymous) - USER_BEFORE)) KERNEL=$(($(kernel) - KERNEL_BEFORE))
CPU=$(ticks)
WINDOW=$((SECONDS_HELD > 60 ? 45 : SECONDS_HELD / 3))
sleep "$WINDOW"
CPU=$(($(ticks) - CPU))
for pid in "${SWARMS[@]}"; do wait "$pid" || true; done

python3 - "$OUT" "$PARTS" "$USER" "$KERNEL" "$CPU" "$WINDOW" "$(getconf CLK_TCK)" <<'P'
import json, sys
out, parts, user, kernel, cpu, window, hz = sys.argv[1], *map(int, sys.argv[2:])
runs = [json.load(open(f"{out}/swarm-{p}.json")) for p in range(1, parts + 1)]
total = sum(r["connected"] for r in runs)
failures = sum(sum(r["failures"].values()) for r in runs)
false = sum(sum(r["closes"]["unexpected"].values()) for r in runs)
per = [r["pings"]["per_connection"] for r in runs]
print(f"connections              {total} over {parts} gateways, {failures} failed to open")
print(f"memory per connection    {user * 1024 // total} B ours (anonymous), {kernel * 1024 // total} B the kernel's (slab and TCP, both ends)")
print(f"CPU                      {100 * cpu / hz / window:.1f} % of one, over {window} s, all gateways")
print(f"pings per connection     {min(p['min'] for p in per)} to {max(p['max'] for p in per)}")
print(f"closed falsely           {false}")
sys.exit(1 if false or failures else 0)
P
