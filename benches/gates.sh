#!/usr/bin/env bash
# What must not grow unnoticed, in units that do not depend on how busy the machine is: instructions and system calls per
# heartbeat round, bytes per idle connection. (tests/allocations.rs holds allocations.) Times are never gated.
#
# FEATURES: the features to build with (none but the defaults), so that a build that is there already serves.
# Needs Linux, valgrind, python3, and perf or strace. Exit: 0 all within their bounds; 1 something is not.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

INSTRUCTIONS_MAX=1600  # per round, engine with a do-nothing handler; 15 s interval, 10 000 connections
LOOP_BYTES_MAX=200     # anonymous memory per idle connection, loop with an echo handler
GATEWAY_BYTES_MAX=600  # the same, gateway, each with its session
SYSCALLS_MAX=2.8       # per round at 4 000 rounds a second: one read, one write, a shared wait (how shared depends on the load)

FAILED=0
gate() { # NAME VALUE MAX
    if python3 -c "import sys; sys.exit(0 if float('$2') <= float('$3') else 1)"; then
        echo "within   $1: $2 (at most $3)"
    else
        echo "EXCEEDED $1: $2 (at most $3)"
        FAILED=1
    fi
}

instructions() {
    command -v valgrind >/dev/null || { echo "gates.sh: valgrind is missing"; exit 1; }
    local bin short long
    bin=$(cargo bench --no-run --features "${FEATURES:-}" --bench rounds --message-format=json 2>/dev/null |
        python3 -c 'import json,sys; print([m["executable"] for m in map(json.loads, sys.stdin) if m.get("target",{}).get("name")=="rounds" and m.get("executable")][-1])')
    count() {
        local text
        text=$(valgrind --tool=callgrind --callgrind-out-file=/dev/null "$bin" 10000 "$1" 2>&1)
        echo "$(grep -aoE 'Collected : [0-9]+' <<<"$text" | grep -oE '[0-9]+') $(grep -aoE '^rounds [0-9]+' <<<"$text" | grep -oE '[0-9]+')"
    }
    short=$(count 2)
    long=$(count 4)
    # The difference of two runs: without handshakes and the start.
    gate "instructions per round" "$(python3 -c "a,b,c,d=map(int,'$short $long'.split()); print(round((c-a)/(d-b)))")" "$INSTRUCTIONS_MAX"
}

# Anonymous memory of a process, in bytes.
anonymous() { awk '/^Anonymous:/ {print $2 * 1024}' "/proc/$1/smaps_rollup"; }

bytes_of() { # NAME MAX COMMAND...
    local name=$1 max=$2 log addr pid before after n=8000
    shift 2
    log=$(mktemp)
    LISTEN_ADDR=127.0.0.1:0 ADMIN_ADDR=127.0.0.1:0 MAX_CONNECTIONS=15000 "$@" >"$log" 2>&1 &
    pid=$!
    for _ in $(seq 100); do
        addr=$(grep -aoE '(listening on |listen=)[0-9.:]+' "$log" | head -n 1 | grep -oE '[0-9.]+:[0-9]+') && break
        sleep 0.1
    done
    before=$(anonymous "$pid")
    "$BIN/pulsegate-swarm" --target "ws://$addr" --connections "$n" --ramp 4000 --duration 20 >"$log.json" 2>"$log.err" &
    local swarm=$!
    for _ in $(seq 300); do
        grep -q '^holding' "$log.err" && break
        sleep 0.1
    done
    # One heartbeat of everybody: the buffers of the handshakes are gone.
    sleep 16
    after=$(anonymous "$pid")
    kill "$swarm" "$pid" 2>/dev/null || true
    wait "$swarm" "$pid" 2>/dev/null || true
    rm -f "$log" "$log.json" "$log.err"
    gate "bytes per idle connection, $name" "$(((after - before) / n))" "$max"
}

cargo build --release --quiet --features "${FEATURES:-}" --bins --example echo
BIN=${CARGO_TARGET_DIR:-target}/release
instructions
bytes_of loop "$LOOP_BYTES_MAX" "$BIN/examples/echo"
bytes_of gateway "$GATEWAY_BYTES_MAX" "$BIN/pulsegate"
MEASURED=$(docs/measure.sh 8000 2000 6000)
echo "$MEASURED"
gate "system calls per round" "$(sed -n 's/^system calls per round *\([0-9.]*\).*/\1/p' <<<"$MEASURED")" "$SYSCALLS_MAX"
exit $FAILED
