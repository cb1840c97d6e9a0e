#!/usr/bin/env bash
# What must not grow unnoticed, in units that do not depend on how busy the machine is: instructions and system calls per
# heartbeat round and per forwarded message, instructions of the dearest step, bytes per idle connection and per idle pair.
# (tests/engine/allocations.rs holds allocations.) Times are never gated.
#
# Needs Linux, two CPUs, 18 100 descriptors, valgrind, strace, nm, python3, taskset. Exit: 0 all within their bounds; 1 something is not.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

INSTRUCTIONS_MAX=1720  # per round, engine with a do-nothing handler; 15 s interval, 10 000 connections. 1 712 measured; 1 640 before cohorts and adaptive cadence, which is off here; 1 498 before heartbeats could be late, 1 476 before a heartbeat could be a text and alive_by chose what counts, 1 351 before pings carried eight letters and their place in the stream was kept
TEXT_INSTRUCTIONS_MAX=3820  # the same, if heartbeats are texts, 3 803 measured, 3 726 before cohorts, 3 575 before heartbeats could be late: the answer is a message, which the host parses
STEP_MAX=300000        # instructions: the dearest step, which cannot be divided, over the inputs of attacks
LOOP_BYTES_MAX=200     # anonymous memory per idle connection, loop with an echo handler, from 6 to 20 s after the handshakes of 18 000
GATEWAY_BYTES_MAX=520  # the same, gateway, each with its session and its name. 470 measured; 415 before the openings of the latest 65 536 names were remembered, which tells users that came back from those that are missing
PAIR_BYTES_MAX=450     # the same per idle pair, gateway with UPSTREAM, both legs, from 2 000 pairs to 8 000
SESSION_BYTES_MAX=1400 # the same per idle pulse session: the pair, its ledgers and tokens, and an own policy
MESSAGE_MAX=1530       # instructions per forwarded message of 128 B, engine with 100 pairs whose sockets take it at once
MESSAGE_CALLS_MAX=2.01 # system calls per forwarded message without the wait, whose share depends on the moment; 100 pairs
SYSCALLS_MAX=1.03      # per round at 4 000 rounds a second, times those of the floor (benches/rivals/floor.rs) in the same run

FAILED=0
gate() { # NAME VALUE MAX
    if python3 -c "import sys; sys.exit(0 if float('$2') <= float('$3') else 1)"; then
        echo "within   $1: $2 (at most $3)"
    else
        echo "EXCEEDED $1: $2 (at most $3)"
        FAILED=1
    fi
}

# instructions PROGRAM SIZE SHORT LONG [REST...]: per round or message that the program prints. The difference of two runs: without
# handshakes and the start.
instructions() {
    local bin=$BIN/examples/$1 short long
    count() {
        local text
        text=$(valgrind --tool=callgrind --callgrind-out-file=/dev/null "$bin" "$@" 2>&1)
        echo "$(grep -aoE 'Collected : [0-9]+' <<<"$text" | grep -oE '[0-9]+') $(grep -aoE '^(rounds|messages) [0-9]+' <<<"$text" | grep -oE '[0-9]+')"
    }
    short=$(count "$2" "$3" "${@:5}")
    long=$(count "$2" "$4" "${@:5}")
    python3 -c "a,b,c,d=map(int,'$short $long'.split()); print(round((c-a)/(d-b)))"
}

steps() {
    local steps max
    steps=$(python3 benches/micro/step.py "$BIN/examples/step") || { FAILED=1; return; }
    while read -r _ name step cost; do
        gate "instructions of one step, $name, $step" "$cost" "$STEP_MAX"
    done <<<"$steps"
}

# Anonymous memory of a process, in bytes.
anonymous() { awk '/^Anonymous:/ {print $2 * 1024}' "/proc/$1/smaps_rollup"; }

# start NAME COMMAND...: a server on the first CPU; its address into ADDR, its process into SERVER.
start() {
    local name=$1
    shift
    # Kept events are bounded by a setting of their own, and are no part of a connection.
    LISTEN_ADDR=127.0.0.1:0 ADMIN_ADDR=127.0.0.1:0 DRAIN_MS=0 MAX_CONNECTIONS=19000 EVENTS_KEPT=100 taskset -c 0 "$@" >"$OUT/$name.log" 2>&1 &
    SERVER=$!
    for _ in $(seq 100); do
        ADDR=$(grep -aoE '(listening on |listen=)[0-9.:]+' "$OUT/$name.log" | head -n 1 | grep -oE '[0-9.]+:[0-9]+') && return
        sleep 0.1
    done
    echo "gates.sh: $name does not listen: $(tail -n 3 "$OUT/$name.log")"
    exit 1
}

# hold NAME CONNECTIONS: returns when all are open.
hold() {
    local name=$1 n=$2
    : >"$OUT/$name.err"
    taskset -c 1 "$BIN/pulsegate-swarm" --target "ws://$ADDR" ${TARGET_PATH:+--path "$TARGET_PATH"} --connections "$n" --sources 4 --ramp 4000 --duration 60 >"$OUT/$name.json" 2>"$OUT/$name.err" &
    SWARM="$SWARM $!"
    for _ in $(seq 400); do
        grep -q '^holding' "$OUT/$name.err" && return
        sleep 0.1
    done
    echo "gates.sh: not all are open: $(tail -n 1 "$OUT/$name.err")"
    exit 1
}

# Ends the swarm, which says goodbye, and then the server, and the service behind it.
end() {
    for pid in $SWARM $SERVER $SERVICE; do
        kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null || true
    done
    SWARM='' SERVER='' SERVICE=''
}

# start_bridge [SETTING...]: an echo server on the second CPU, and the gateway in front of it, with these settings.
start_bridge() {
    HEARTBEAT_INTERVAL_MS=43200000 CONNECTION_TIMEOUT_MS=86400000 start service "$BIN/examples/echo"
    SERVICE=$SERVER SERVER=''
    taskset -acp 1 "$SERVICE" >/dev/null
    UPSTREAM=http://$ADDR start bridge env "$@" "$BIN/pulsegate"
}

# settled MAX: anonymous memory of the server, in bytes, once jemalloc has returned what the handshakes used, into SETTLED. How
# long that takes depends on the moment, so what is above MAX 6 s after the last handshake gets 14 s more.
settled() {
    local now
    sleep 6
    SETTLED=$(anonymous "$SERVER")
    for _ in $(seq 14); do
        [ "$SETTLED" -gt "$1" ] || return 0
        sleep 1
        now=$(anonymous "$SERVER")
        [ "$now" -ge "$SETTLED" ] || SETTLED=$now
    done
}

bytes_of() { # NAME MAX COMMAND...
    local name=$1 max=$2 before n=18000
    shift 2
    start "$name" "$@"
    before=$(anonymous "$SERVER")
    hold "$name" "$n"
    settled $((before + max * n))
    end
    gate "bytes per idle connection, $name" "$(((SETTLED - before) / n))" "$max"
}

# The difference of two numbers of pairs: jemalloc keeps some 600 KB of what the first handshakes have used, however many follow.
bytes_of_pairs() { # NAME MAX [SETTING...]
    local name=$1 max=$2 before
    shift 2
    start_bridge "$@"
    hold first 2000
    sleep 6
    before=$(anonymous "$SERVER")
    hold more 6000
    settled $((before + max * 6000))
    end
    gate "bytes per idle $name" "$(((SETTLED - before) / 6000))" "$max"
}

# count_calls COMMAND...: system calls of the server while the command runs, into CALLS, and its waits for events among them,
# into WAITS.
count_calls() {
    local tracer
    # Each call stops for the tracer, so a wait is shared by more rounds or messages than it is without.
    strace -c -f -p "$SERVER" -o "$OUT/calls" 2>"$OUT/tracer" &
    tracer=$!
    for _ in $(seq 100); do
        grep -q attached "$OUT/tracer" && break
        sleep 0.1
    done
    "$@"
    kill -INT "$tracer"
    wait "$tracer" || true
    read -r CALLS WAITS < <(awk '
        $1 ~ /^[0-9.]+$/ && $NF != "total" { calls += $4; if ($NF ~ /^epoll_p?wait/) waits += $4 }
        END { print calls + 0, waits + 0 }' "$OUT/calls")
}

# calls_of NAME COMMAND...: system calls in 6 s with 8 000 connections, each of which is pinged every 2 s, into CALLS.
calls_of() {
    local name=$1 seconds=6
    shift
    HEARTBEAT_INTERVAL_MS=2000 CONNECTION_TIMEOUT_MS=6000 start "$name" "$@"
    hold "$name" 8000
    # One interval: all are pinged, and no handshake is under way.
    sleep 3
    count_calls sleep "$seconds"
    end
    echo "$name: $(python3 -c "print(round($CALLS / ($seconds * 8000 / 2), 3))") system calls per round"
    python3 - "$OUT/$name.json" <<'PY' || FAILED=1
import json, sys
run = json.load(open(sys.argv[1]))
closed = sum(run["closes"]["unexpected"].values())
if closed or run["failed"]:
    sys.exit(f"EXCEEDED {closed} closed falsely, {run['failed']} failed to open")
PY
}

# How many rounds share a wait depends on the moment, so a ratio that is too high counts only if it is seen twice.
calls() {
    local ratio floor
    for attempt in 1 2; do
        calls_of floor "$BIN/examples/floor" --listen 127.0.0.1:0 --interval-ms 2000
        floor=$CALLS
        calls_of gateway "$BIN/pulsegate"
        ratio=$(python3 -c "print(round($CALLS / $floor, 3))")
        python3 -c "import sys; sys.exit($ratio > $SYSCALLS_MAX)" && break
    done
    gate "system calls per round, times the floor's" "$ratio" "$SYSCALLS_MAX"
}

# The difference of two runs: without handshakes.
message_calls() {
    local short waits
    start_bridge
    count_calls taskset -c 1 "$BIN/examples/bridge_load" "$ADDR" 100 128 messages 20000 >/dev/null
    short=$CALLS waits=$WAITS
    count_calls taskset -c 1 "$BIN/examples/bridge_load" "$ADDR" 100 128 messages 120000 >/dev/null
    end
    # An echo is two messages.
    per_message() { python3 -c "print(round(($1) / 2 / 100000, 3))"; }
    echo "bridge: $(per_message "$WAITS - $waits") waits per forwarded message"
    gate "system calls per forwarded message, without waits" \
        "$(per_message "$CALLS - $WAITS - $short + $waits")" "$MESSAGE_CALLS_MAX"
}

for tool in valgrind strace; do
    command -v $tool >/dev/null || { echo "gates.sh: $tool is missing"; exit 1; }
done
[ "$(nproc)" -ge 2 ] && command -v taskset >/dev/null || { echo "gates.sh: two CPUs and taskset are needed"; exit 1; }
ulimit -S -n "$(ulimit -H -n)"
cargo build --release --quiet --features testing,swarm --bins --examples
BIN=${CARGO_TARGET_DIR:-target}/release
OUT=$(mktemp -d)
SERVER='' SWARM='' SERVICE='' TARGET_PATH=''
trap 'end; rm -rf "$OUT"' EXIT
trap 'exit 130' INT TERM

gate "instructions per round" "$(instructions rounds 10000 2 4)" "$INSTRUCTIONS_MAX"
gate "instructions per round with texts" "$(instructions rounds 10000 2 4 text)" "$TEXT_INSTRUCTIONS_MAX"
gate "instructions per forwarded message" "$(instructions messages 128 50 150)" "$MESSAGE_MAX"
steps
bytes_of loop "$LOOP_BYTES_MAX" "$BIN/examples/echo"
bytes_of gateway "$GATEWAY_BYTES_MAX" "$BIN/pulsegate"
bytes_of_pairs pair "$PAIR_BYTES_MAX"
# The clients of the swarm answer no texts, so none is sent meanwhile.
TARGET_PATH='/?pulse=1'
bytes_of_pairs "pulse session" "$SESSION_BYTES_MAX" PULSE=1 HEARTBEAT_INTERVAL_MS=43200000 CONNECTION_TIMEOUT_MS=86400000
TARGET_PATH=''
calls
message_calls
exit $FAILED
