#!/usr/bin/env bash
# pulsegate beside its floor and beside others, in one run on one machine: ratios hold where times do not.
#
#   benches/rivals/compare.sh CONNECTIONS INTERVAL_MS TIMEOUT_MS [RUNS]          benches/rivals/compare.sh 18000 2000 6000 3
#
# In turn and RUNS times (3): the floor (benches/rivals/floor.rs, nothing but the system calls), the loop with an echo handler, the
# gateway, and the naive monitor of benches/rivals/naive on Node `ws` and on Python `websockets`, the latter with SLOW connections
# only (2000). Each is started twice, pinned to one CPU with the swarm on the other: once all answer, once some, or a tenth,
# become ghosts. Prints one Markdown table: medians, and medians of the ratios to the floor of the same run.
#
# Loopback only. About a minute per server and run, and never more than thrice that. Environment: SERVERS (those to measure,
# "floor loop gateway ws websockets"; the floor must be among them), PORT (18710, and one more for each start), RAMP
# (connections started in a second, 3000), GHOSTS (500).
#
# Needs Linux, two CPUs, taskset, python3, perf or strace that may trace, and for the last two servers node and npm.
# Exit: 0 measured; 1 pulsegate closed a connection falsely or early, or let a ghost live; 2 could not measure.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

fail() {
    echo "compare.sh: $*" >&2
    exit 2
}

case $# in 3 | 4) ;; *) sed -n '2,17s/^# \{0,1\}//p' benches/rivals/compare.sh >&2; exit 2 ;; esac
for number in "$@"; do [[ $number =~ ^[1-9][0-9]{0,7}$ ]] || fail "not a whole number: $number"; done
CONNECTIONS=$1 INTERVAL=$2 TIMEOUT=$3 RUNS=${4:-3}
[ "$TIMEOUT" -gt "$INTERVAL" ] || fail "the timeout must be above the interval"
SERVERS=${SERVERS:-floor loop gateway ws websockets} PORT=${PORT:-18710} RAMP=${RAMP:-3000} SLOW=${SLOW:-2000} GHOSTS=${GHOSTS:-500}
[[ " $SERVERS " == *" floor "* ]] || fail "without the floor there is nothing to compare with"
seconds() { echo $((($1 + 999) / 1000)); }
# Whole intervals, for those that ping all at once.
WINDOW=$(seconds $((6 * INTERVAL > 12000 ? 6 * INTERVAL : INTERVAL * ((12000 + INTERVAL - 1) / INTERVAL))))
TRACE=$(seconds $((2 * INTERVAL)))
# Also for the allocator: jemalloc gives back what the handshakes have used within ten seconds.
SETTLE=$(seconds $((INTERVAL > 12000 ? INTERVAL + 1000 : 13000)))
# Over so many seconds the ghosts fall silent.
SPREAD=$(seconds $((3 * INTERVAL)))
[ "$(nproc)" -ge 2 ] && command -v taskset >/dev/null || fail "two CPUs and taskset are needed: one for the server alone"
ulimit -S -n "$(ulimit -H -n)"
[ "$(ulimit -n)" = unlimited ] || [ "$(ulimit -n)" -gt $((CONNECTIONS + 64)) ] ||
    fail "$CONNECTIONS connections do not fit under the descriptor limit, $(ulimit -n)"
if perf stat -e raw_syscalls:sys_enter true >/dev/null 2>&1; then
    TRACER=perf
elif strace -o /dev/null true 2>/dev/null; then
    # Each call stops for the tracer, so a wait is shared by more rounds than it is without: this flatters.
    TRACER=strace
else
    fail "system calls cannot be counted: neither perf (raw_syscalls:sys_enter) nor strace may trace here"
fi

cargo build --release --quiet --features swarm --bins --example echo --example floor || fail "the build failed"
BIN=${CARGO_TARGET_DIR:-target}/release
FLOOR=$BIN/examples/floor
if [[ $SERVERS == *ws* ]]; then
    PLACE=$(tests/foreign/install.sh tests/foreign/clients) || fail "ws and websockets cannot be installed; SERVERS='floor loop gateway' does without"
    # Node looks for a module's packages beside the module.
    cp benches/rivals/naive/ws.mjs "$PLACE/"
fi

SERVER='' SWARM=''
OUT=$(mktemp -d)
# Ends what was started here, and only that.
end() {
    for pid in "$@"; do
        kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null || true
    done
}
trap 'end $SWARM $SERVER; rm -rf "$OUT"' EXIT
trap 'exit 130' INT TERM

# start_server NAME [flags]: on a port of its own, so that nothing of an earlier one is in the way.
start_server() {
    local name=$1
    shift
    PORT=$((PORT + 1))
    (exec 3<>"/dev/tcp/127.0.0.1/$PORT") 2>/dev/null && fail "something listens on port $PORT already; set PORT"
    local command
    case $name in
        floor) command=("$FLOOR" --listen "127.0.0.1:$PORT" --interval-ms "$INTERVAL" "$@") ;;
        loop) command=("$BIN/examples/echo") ;;
        gateway) command=("$BIN/pulsegate") ;;
        ws) command=(node "$PLACE/ws.mjs" "$PORT" "$INTERVAL" "$TIMEOUT") ;;
        websockets) command=("$PLACE/venv/bin/python" benches/rivals/naive/websockets_server.py "$PORT" "$INTERVAL" "$TIMEOUT") ;;
        *) fail "no such server: $name" ;;
    esac
    LISTEN_ADDR=127.0.0.1:$PORT ADMIN_ADDR=127.0.0.1:0 HEARTBEAT_INTERVAL_MS=$INTERVAL CONNECTION_TIMEOUT_MS=$TIMEOUT DRAIN_MS=0 LOG_LEVEL=warn \
        MAX_CONNECTIONS=$((CONNECTIONS + 16)) taskset -c 0 "${command[@]}" >"$OUT/server.log" 2>&1 &
    SERVER=$!
    for _ in $(seq 100); do
        kill -0 "$SERVER" 2>/dev/null || fail "$name ended at once: $(tail -3 "$OUT/server.log")"
        (exec 3<>"/dev/tcp/127.0.0.1/$PORT") 2>/dev/null && { sleep 1; return; }
        sleep 0.1
    done
    fail "$name does not listen after 10 s"
}

# start_swarm CONNECTIONS SECONDS [flags]: returns when all are open.
start_swarm() {
    local n=$1 duration=$2 ramp=$RAMP
    shift 2
    [ "$n" = "$CONNECTIONS" ] || ramp=$((RAMP < 500 ? RAMP : 500))
    # What an earlier swarm said must not be taken for this one's.
    : >"$OUT/swarm.err"
    taskset -c 1 timeout --foreground -k 30 $((duration + n / ramp + 60)) "$BIN/pulsegate-swarm" --target "ws://127.0.0.1:$PORT" \
        --connections "$n" --sources 4 --ramp "$ramp" --duration "$duration" "$@" >"$OUT/swarm.json" 2>"$OUT/swarm.err" &
    SWARM=$!
    until grep -q '^holding' "$OUT/swarm.err"; do
        kill -0 "$SWARM" 2>/dev/null || fail "the swarm ended before it was open: $(tail -1 "$OUT/swarm.err")"
        sleep 0.02
    done
}

# Waits for the swarm's next line, one a second, and prints its second and the pings received by then: so both ends of a
# window are read at a moment whose count is known, to some 20 ms.
next_pings() {
    local lines
    lines=$(wc -l <"$OUT/swarm.err")
    while [ "$(wc -l <"$OUT/swarm.err")" = "$lines" ]; do
        kill -0 "$SWARM" 2>/dev/null || fail "the swarm ended inside a window"
        sleep 0.02
    done
    sed -n '$s/^ *\([0-9]*\) s .* \([0-9]*\) pings .*/\1 \2/p' "$OUT/swarm.err"
}

# kB of the server's memory: resident, and of that anonymous (heap and stacks, no program text).
memory() { awk '/^Rss:/ { rss = $2 } /^Anonymous:/ { print rss, $2 }' "/proc/$SERVER/smaps_rollup"; }

# What the server has run so far, all its threads: ns exactly, then clock ticks as user and system, by which it is shared out.
spent() {
    cat /proc/"$SERVER"/task/*/schedstat | awk '{ ns += $1 } END { printf "%.0f ", ns }'
    sed 's/.*) //' "/proc/$SERVER/stat" | awk '{ print $12, $13 }'
}

# The server's system calls in TRACE seconds.
count_calls() {
    if [ "$TRACER" = perf ]; then
        perf stat -x, -e raw_syscalls:sys_enter -p "$SERVER" -o "$OUT/calls" -- sleep "$TRACE" || fail "perf failed"
        awk -F, '/raw_syscalls/ { print $1 }' "$OUT/calls"
    else
        timeout -s INT "$TRACE" strace -c -f -p "$SERVER" -o "$OUT/calls" 2>/dev/null || [ $? = 124 ] || fail "strace failed"
        awk '$1 ~ /^[0-9.]+$/ && $NF != "total" { calls += $4 } END { print calls + 0 }' "$OUT/calls"
    fi
}

# measure NAME RUN: one line of figures into $OUT/NAME.RUN, the ghosts' JSON into $OUT/NAME.RUN.json.
measure() {
    local name=$1 run=$2 n=$CONNECTIONS
    [ "$name" != websockets ] || n=$((SLOW < CONNECTIONS ? SLOW : CONNECTIONS))
    echo "compare.sh: run $run of $RUNS, $name, $n connections" >&2
    start_server "$name"
    local memory0 memory1 spent0 spent1 spent2 spent3 pings1 pings2 pings3 calls
    memory0=$(memory) spent0=$(spent)
    start_swarm "$n" $((SETTLE + WINDOW + TRACE + 10))
    pings1=$(next_pings) spent1=$(spent)
    sleep "$SETTLE"
    memory1=$(memory)
    pings2=$(next_pings) spent2=$(spent)
    sleep $((WINDOW - 1)).5
    pings3=$(next_pings) spent3=$(spent)
    calls=$(count_calls)
    [[ $calls =~ ^[1-9][0-9]*$ ]] || fail "$TRACER counted no system calls of $name"
    end "$SWARM"
    SWARM=''
    end "$SERVER"
    [ -s "$OUT/swarm.json" ] || fail "the swarm left no report: $(tail -1 "$OUT/swarm.err")"
    cp "$OUT/swarm.json" "$OUT/$name.$run.steady.json"
    echo "$n $memory0 $memory1 $spent0 $spent1 $spent2 $spent3 $pings1 $pings2 $pings3 $calls" >"$OUT/$name.$run"

    start_server "$name" --close-after-ms "$TIMEOUT"
    start_swarm "$n" $((SPREAD + $(seconds "$TIMEOUT") + 4)) --timeout-ms "$TIMEOUT" --ghosts $((n / 10 < GHOSTS ? n / 10 : GHOSTS))
    wait "$SWARM" || fail "the swarm failed: $(tail -1 "$OUT/swarm.err")"
    SWARM=''
    end "$SERVER"
    SERVER=''
    cp "$OUT/swarm.json" "$OUT/$name.$run.ghosts.json"
}

for run in $(seq "$RUNS"); do
    for server in $SERVERS; do measure "$server" "$run"; done
done

python3 - "$OUT" "$RUNS" "$TRACE" "$INTERVAL" "$TIMEOUT" "$TRACER" $SERVERS <<'PY'
import json
import statistics
import sys

out, runs, trace, interval, timeout, tracer, *servers = sys.argv[1:]
runs, trace = int(runs), int(trace)
TITLES = {
    "floor": "floor",
    "loop": "pulsegate, loop with an echo handler",
    "gateway": "pulsegate, gateway",
    "ws": "Node `ws`, naive monitor",
    "websockets": "Python `websockets`, naive monitor",
}
OURS = ("loop", "gateway")


def figures(name, run):
    with open(f"{out}/{name}.{run}") as file:
        n, rss0, anon0, rss1, anon1, *rest = map(int, file.read().split())
    spent, pings, calls = [rest[at : at + 3] for at in (0, 3, 6, 9)], [rest[at : at + 2] for at in (12, 14, 16)], rest[18]
    steady, ghosts = (json.load(open(f"{out}/{name}.{run}.{kind}.json")) for kind in ("steady", "ghosts"))
    opened = steady["connected"]
    window, rounds = (pings[2][at] - pings[1][at] for at in (0, 1))
    cpu = (spent[3][0] - spent[2][0]) / 1e3 / rounds
    user, system = (spent[3][at] - spent[2][at] for at in (1, 2))
    late = ghosts["ghosts"]["late_ms"]
    return {
        "n": n,
        "rss": (rss1 - rss0) * 1024 / opened,
        "anonymous": (anon1 - anon0) * 1024 / opened,
        "cpu": cpu,
        "user": cpu * user / max(1, user + system),
        "calls": calls / trace / (rounds / window),
        "rate": rounds / window,
        # The heartbeats that fell into the ramp are not the handshakes'.
        "handshake": ((spent[1][0] - spent[0][0]) / 1e3 - pings[0][1] * cpu) / opened,
        "p50": late["p50"],
        "p99": late["p99"],
        "early": ghosts["ghosts"]["early"],
        "lived": ghosts["ghosts"]["never_closed"],
        "false": sum(sum(one["closes"]["unexpected"].values()) for one in (steady, ghosts)),
        "failed": steady["failed"] + ghosts["failed"],
        "swarm": max(
            (one["own"]["hold_cpu_user_s"] + one["own"]["hold_cpu_system_s"]) / one["elapsed_s"]["hold"]
            for one in (steady, ghosts)
        ),
    }


measured = {name: [figures(name, run) for run in range(1, runs + 1)] for name in servers}


def median(name, key):
    values = [figure[key] for figure in measured[name]]
    return statistics.median(values) if None not in values else float("nan")


def ratio(name, key):
    return statistics.median(a[key] / b[key] for a, b in zip(measured[name], measured["floor"]))


print(
    f"Interval {interval} ms, timeout {timeout} ms, medians of {runs} run{'s' * (runs > 1)}; system calls counted by {tracer}. "
    "In brackets: times the floor's.\n"
)
print(
    "| server | connections | memory per idle connection, B: resident / anonymous | CPU per round, µs | user + system "
    "| system calls per round | ghost lateness p50 / p99, ms | closed early | handshake CPU, µs |"
)
print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
for name in servers:
    m = {key: median(name, key) for key in measured[name][0]}
    print(
        f"| {TITLES[name]} | {m['n']:.0f} | {m['rss']:.0f} / {m['anonymous']:.0f} "
        f"| {m['cpu']:.1f} ({ratio(name, 'cpu'):.2f}) | {m['user']:.1f} + {m['cpu'] - m['user']:.1f} "
        f"| {m['calls']:.2f} ({ratio(name, 'calls'):.2f}) | {m['p50']:.1f} / {m['p99']:.1f} | {m['early']:.0f} "
        f"| {m['handshake']:.1f} ({ratio(name, 'handshake'):.2f}) |"
    )
print()
bad = False
for name in servers:
    totals = {key: sum(figure[key] for figure in measured[name]) for key in ("false", "failed", "lived", "early")}
    rates = ", ".join(f"{figure['cpu']:.2f}" for figure in measured[name])
    print(
        f"{name}: CPU per round in each run {rates} µs at {median(name, 'rate'):.0f} rounds a second; in all runs {totals['false']} closed falsely, "
        f"{totals['failed']} failed to open, {totals['lived']} ghosts never closed; the swarm took {median(name, 'swarm'):.0%} of its CPU",
        file=sys.stderr,
    )
    bad |= name in OURS and any(totals.values())
sys.exit(bad)
PY
