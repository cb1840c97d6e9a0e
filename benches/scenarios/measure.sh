#!/usr/bin/env bash
# What one gateway costs and how punctual it is, on this machine:
#
#   benches/scenarios/measure.sh CONNECTIONS INTERVAL_MS TIMEOUT_MS          benches/scenarios/measure.sh 18000 2000 6000
#
# Builds the release binaries, starts a gateway with these times, and lets pulsegate-swarm live on it twice: first all
# answer (memory, CPU, system calls), then 500 of them, or a tenth, become ghosts (lateness). Loopback only. With two
# CPUs or more the gateway gets the first one to itself and the swarm the others. Takes about 14 intervals, a timeout
# and a minute; never more than twice that. Environment: PORT (18702), GHOSTS, RAMP (connections started in a second, 3000),
# WINDOW (seconds, 10 intervals and at least 20), and all of the gateway's variables, LOG_LEVEL (warn) among them.
#
# SERVER='command …' measures another server instead, which must listen on PORT and keep these times.
#
# Needs Linux, python3, and either perf (preferred: it costs the gateway little) or strace, allowed to trace.
# Exit: 0 measured, and nothing was closed falsely or early; 1 something was, or failed to open; 2 could not measure.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

fail() {
    echo "measure.sh: $*" >&2
    exit 2
}

[ $# = 3 ] || { sed -n '2,15s/^# \{0,1\}//p' "benches/scenarios/measure.sh" >&2; exit 2; }
for number in "$@"; do [[ $number =~ ^[1-9][0-9]{0,7}$ ]] || fail "not a whole number: $number"; done
CONNECTIONS=$1 INTERVAL=$2 TIMEOUT=$3
[ "$TIMEOUT" -gt "$INTERVAL" ] || fail "the timeout must be above the interval"
PORT=${PORT:-18702} RAMP=${RAMP:-3000}
GHOSTS=${GHOSTS:-$((CONNECTIONS / 10 < 500 ? CONNECTIONS / 10 : 500))}
seconds() { echo $((($1 + 999) / 1000)); }
WINDOW=${WINDOW:-$((10 * INTERVAL > 20000 ? $(seconds $((10 * INTERVAL))) : 20))}
# Also for the allocator: jemalloc gives back what the handshakes have used within ten seconds.
SETTLE=$(seconds $((INTERVAL > 12000 ? INTERVAL + 1000 : 13000)))
TRACE=5

GATEWAY='' SWARM=''
OUT=$(mktemp -d)
# Ends what was started here, and only that.
clean_up() {
    for pid in $SWARM $GATEWAY; do
        kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null || true
    done
    rm -rf "$OUT"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

build() {
    cargo build --release --quiet --features "swarm ${FEATURES:-}" --bin pulsegate --bin pulsegate-swarm || fail "the build failed"
    BIN=${CARGO_TARGET_DIR:-target}/release
    ulimit -S -n "$(ulimit -H -n)"
    [ "$(ulimit -n)" = unlimited ] || [ "$(ulimit -n)" -gt $((CONNECTIONS + 64)) ] ||
        fail "$CONNECTIONS connections do not fit under the descriptor limit, $(ulimit -n)"
}

# Runs a command on the CPUs $1, if there are such.
on_cpus() {
    local cpus=$1
    shift
    if [ "$(nproc)" -ge 2 ] && command -v taskset >/dev/null; then exec taskset -c "$cpus" "$@"; else exec "$@"; fi
}

start_gateway() {
    (exec 3<>"/dev/tcp/127.0.0.1/$PORT") 2>/dev/null && fail "something listens on port $PORT already; set PORT"
    (
        export LISTEN_ADDR=127.0.0.1:$PORT ADMIN_ADDR=127.0.0.1:0 HEARTBEAT_INTERVAL_MS=$INTERVAL CONNECTION_TIMEOUT_MS=$TIMEOUT
        export LOG_LEVEL=${LOG_LEVEL:-warn} DRAIN_MS=${DRAIN_MS:-1000}
        # shellcheck disable=SC2086 # a command with its arguments
        on_cpus 0 ${SERVER:-"$BIN/pulsegate"}
    ) >"$OUT/gateway.log" 2>&1 &
    GATEWAY=$!
    for _ in $(seq 100); do
        kill -0 "$GATEWAY" 2>/dev/null || { tail -5 "$OUT/gateway.log" >&2; fail "the gateway ended at once"; }
        (exec 3<>"/dev/tcp/127.0.0.1/$PORT") 2>/dev/null && return
        sleep 0.1
    done
    fail "the gateway does not listen after 10 s"
}

# start_swarm NAME SECONDS SOURCES [flags]: returns when all connections are open.
start_swarm() {
    local name=$1 duration=$2 sources=$3 last=$(($(nproc) - 1))
    shift 3
    (
        on_cpus "1-$last" timeout --foreground -k 5 $((duration + CONNECTIONS / RAMP + 45)) \
            "$BIN/pulsegate-swarm" --target "ws://127.0.0.1:$PORT" --path "/glasses-ws?user=$name-{n}" \
            --connections "$CONNECTIONS" --sources "$sources" --ramp "$RAMP" --duration "$duration" "$@"
    ) >"$OUT/$name.json" 2>"$OUT/$name.err" &
    SWARM=$!
    until grep -q '^holding' "$OUT/$name.err"; do
        kill -0 "$SWARM" 2>/dev/null || { tail -3 "$OUT/$name.err" >&2; fail "the swarm ended before it was open"; }
        sleep 0.1
    done
}

end_swarm() {
    wait "$SWARM" || fail "the swarm failed: $(tail -1 "$OUT/$1.err")"
    SWARM=''
}

# Waits for the swarm's next line, one a second, and prints its second and the pings received by then: so both ends
# of a window are read at a moment whose count is known, to some 20 ms.
next_pings() {
    local lines
    lines=$(wc -l <"$OUT/$1.err")
    while [ "$(wc -l <"$OUT/$1.err")" = "$lines" ]; do
        kill -0 "$SWARM" 2>/dev/null || fail "the swarm ended inside a window"
        sleep 0.02
    done
    sed -n '$s/^ *\([0-9]*\) s .* \([0-9]*\) pings .*/\1 \2/p' "$OUT/$1.err"
}

# kB of the gateway's memory: resident, and of that anonymous (heap and stacks, no program text).
memory() { awk '/^Rss:/ { rss = $2 } /^Anonymous:/ { print rss, $2 }' "/proc/$GATEWAY/smaps_rollup"; }

# Clock ticks (10 ms) of the gateway so far, all its threads: user, system.
ticks() { sed 's/.*) //' "/proc/$GATEWAY/stat" | awk '{ print $12, $13 }'; }

# The system calls of the gateway in TRACE seconds, all its threads, into CALLS; by what they were counted, into TRACER.
count_calls() {
    if perf stat -e raw_syscalls:sys_enter true >/dev/null 2>&1; then
        TRACER=perf
        perf stat -x, -e raw_syscalls:sys_enter -p "$GATEWAY" -o "$OUT/calls" -- sleep "$TRACE" || fail "perf failed"
        CALLS=$(awk -F, '/raw_syscalls/ { print $1 }' "$OUT/calls")
    elif strace -o "$OUT/calls" true 2>/dev/null; then
        # Each call stops for the tracer, so a wait is shared by more rounds than it is without: this flatters.
        TRACER=strace
        timeout -s INT "$TRACE" strace -c -f -p "$GATEWAY" -o "$OUT/calls" 2>/dev/null || [ $? = 124 ] || fail "strace failed"
        CALLS=$(awk '$1 ~ /^[0-9.]+$/ && $NF != "total" { calls += $4 } END { print calls + 0 }' "$OUT/calls")
    else
        fail "system calls cannot be counted: neither perf (raw_syscalls:sys_enter) nor strace may trace here"
    fi
    [[ ${CALLS:-} =~ ^[1-9][0-9]*$ ]] || fail "$TRACER counted no system calls: $(tail -2 "$OUT/calls")"
}

build
start_gateway
sleep 1
read -r RSS0 ANON0 < <(memory)

echo "measure.sh: $CONNECTIONS connections, all answer" >&2
start_swarm steady $((SETTLE + WINDOW + 2 * TRACE + 10)) 127.0.0.2,127.0.0.3
sleep "$SETTLE"
read -r RSS1 ANON1 < <(memory)
read -r SECOND0 PINGS0 < <(next_pings steady)
read -r USER0 SYSTEM0 < <(ticks)
sleep "$WINDOW"
read -r SECOND1 PINGS1 < <(next_pings steady)
read -r USER1 SYSTEM1 < <(ticks)
count_calls steady
end_swarm steady

# The ghosts fall silent over 10 s at least, and over two intervals.
echo "measure.sh: $CONNECTIONS connections, $GHOSTS become ghosts" >&2
SPREAD=$((2 * INTERVAL > 10000 ? 2 * INTERVAL : 10000))
start_swarm ghosts $(($(seconds $((SPREAD + TIMEOUT))) + 4)) 127.0.0.4,127.0.0.5 --ghosts "$GHOSTS" --timeout-ms "$TIMEOUT"
end_swarm ghosts

export INTERVAL TIMEOUT RSS0 RSS1 ANON0 ANON1 SECOND0 SECOND1 PINGS0 PINGS1 USER0 USER1 SYSTEM0 SYSTEM1
export CALLS TRACER TRACE OUT
python3 - <<'PY'
import json
import os
import sys

n = {key: int(value) for key, value in os.environ.items() if value.isdigit()}
steady, haunted = (json.load(open(f"{os.environ['OUT']}/{name}.json")) for name in ("steady", "ghosts"))
opened = steady["connected"]
rounds, window = n["PINGS1"] - n["PINGS0"], n["SECOND1"] - n["SECOND0"]
if not opened or not rounds:
    print("measure.sh: no connections or no pings, so nothing was measured", file=sys.stderr)
    sys.exit(2)


def row(name, text):
    print(f"{name:24} {text}")


def each(unit):
    return (n[f"{unit}1"] - n[f"{unit}0"]) * 1024 / opened


user, system = ((n[f"{kind}1"] - n[f"{kind}0"]) * 1e4 for kind in ("USER", "SYSTEM"))
ghosts, late = haunted["ghosts"], haunted["ghosts"]["late_ms"]
false = sum(sum(run["closes"]["unexpected"].values()) for run in (steady, haunted))
failed = sum(run["failed"] for run in (steady, haunted))
own = [(run["own"], run["elapsed_s"]["hold"]) for run in (steady, haunted)]

row("connections", f"{opened}, a ping to each every {n['INTERVAL']} ms, timeout {n['TIMEOUT']} ms")
row("memory per connection", f"{each('RSS'):.0f} B resident, {each('ANON'):.0f} B of it anonymous (the process before: {n['RSS0']} kB)")
row("CPU per round", f"{(user + system) / rounds:.2f} µs: {user / rounds:.2f} user, {system / rounds:.2f} system ({rounds} rounds in {window} s)")
row("system calls per round", f"{n['CALLS'] / n['TRACE'] / (rounds / window):.2f} ({os.environ['TRACER']}, {n['TRACE']} s)")
row("ghost lateness", f"p50 {late['p50']} ms, p99 {late['p99']} ms, max {late['max']} ms; early {ghosts['early']}; {ghosts['closed']} of {ghosts['silent']} closed")
row("closed falsely", f"{false}; failed to open {failed}")
row("pings per connection", f"{steady['pings']['per_connection']['min']} to {steady['pings']['per_connection']['max']}, p99 interval {steady['pings']['interval_ms']['p99']} ms")
row("the swarm itself", ", ".join(f"{(o['hold_cpu_user_s'] + o['hold_cpu_system_s']) / hold:.0%} of a CPU, longest turn {o['hold_longest_turn_ms']} ms" for o, hold in own))
sys.exit(1 if false or failed or ghosts["early"] or ghosts["never_closed"] else 0)
PY
