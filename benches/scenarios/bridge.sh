#!/usr/bin/env bash
# The bridge beside HAProxy, nginx and Caddy in front of one echo server, and beside that echo server without a proxy, in one run
# on one machine: ratios hold where times do not.
#
#   benches/scenarios/bridge.sh [REPETITIONS [SECONDS [TUNNELS]]]          benches/scenarios/bridge.sh 5 2 6000
#
# Memory: anonymous memory of a fresh process with 2 000 idle tunnels, and with TUNNELS (6000) more, 12 s after they are open; the
# difference is the tunnels', because allocators keep some of what the first handshakes have used, however many follow. CPU: the
# processes that then run echo messages of 128 B, 4 KiB and 64 KiB over 100 connections (10 for 64 KiB), each connection with
# one message under way; REPETITIONS (5) rounds of SECONDS (2) for each process and size, in turn. CPU of the proxy alone, all
# its processes and threads, by the number of echoes. Prints one Markdown table of medians; times the echo server's of the same
# round in brackets.
#
# The proxy, or the echo server without one, has the first CPU for itself; the echo server behind a proxy shares the second with
# the load. One worker or thread each, plain HTTP/1.1, no access log, timeouts of an hour, the defaults otherwise; pulsegate
# pings both legs as it does by default. The echo server is our example, with the same settings in all places.
#
# Loopback only. Some 35 s for each server, and 16 s for each repetition and second. Installs by apt what is missing of haproxy,
# nginx-light and caddy; where an init system runs, Debian then also starts their services. Environment: SERVERS (those to
# measure, "echo haproxy nginx caddy pulsegate"; the echo server must be among them), PORT (18830, and the nine above),
# BIN (the folder of release binaries, with the examples; if not given, they are built), PRECEDENCE=1 (all that is
# measured, and the load, start with nice -15, and so does their session: for machines on which others work, too).
#
# Needs Linux, two CPUs, taskset, python3. Exit: 0 measured, and pulsegate's bounds hold; 1 one does not; 2 could not measure.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

fail() {
    echo "bridge.sh: $*" >&2
    exit 2
}

REPETITIONS=${1:-5} SECS=${2:-2} TUNNELS=${3:-6000} PORT=${PORT:-18830} SERVERS=${SERVERS:-echo haproxy nginx caddy pulsegate}
[ $# -le 3 ] && [[ $REPETITIONS =~ ^[1-9][0-9]?$ && $SECS =~ ^[1-9]$ && $TUNNELS =~ ^[1-9][0-9]{1,3}$ && $TUNNELS -le 7500 ]] ||
    { sed -n '2,24s/^# \{0,1\}//p' benches/scenarios/bridge.sh >&2; exit 2; }
[[ " $SERVERS " == *" echo "* ]] || fail "without the echo server there is nothing to compare with"
SETTLE=12 FIRST_TUNNELS=2000
[ "$(nproc)" -ge 2 ] && command -v taskset >/dev/null || fail "two CPUs and taskset are needed: one for the proxy alone"
ulimit -S -n "$(ulimit -H -n)"
[ "$(ulimit -n)" = unlimited ] || [ "$(ulimit -n)" -gt $((2 * (FIRST_TUNNELS + TUNNELS) + 512)) ] ||
    fail "$TUNNELS tunnels do not fit under the descriptor limit, $(ulimit -n)"

MISSING=()
for pair in haproxy:haproxy nginx:nginx-light caddy:caddy; do
    [[ " $SERVERS " != *" ${pair%:*} "* ]] || command -v "${pair%:*}" >/dev/null || MISSING+=("${pair#*:}")
done
if [ ${#MISSING[@]} != 0 ]; then
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${MISSING[@]}"; } >/dev/null ||
        fail "cannot install ${MISSING[*]}"
fi
if [ -z "${BIN:-}" ]; then
    cargo build --release --quiet --features swarm --bins --example echo --example bridge_load || fail "the build failed"
    BIN=${CARGO_TARGET_DIR:-target}/release
fi
LOAD=$BIN/examples/bridge_load

FIRST=()
if [ "${PRECEDENCE:-}" = 1 ]; then
    nice -n -15 true 2>/dev/null || fail "a nice value of -15 is not allowed here"
    FIRST=(nice -n -15)
    # sched(7): with autogroups a nice value counts only within its session, and the session has one of its own.
    [ ! -e /proc/self/autogroup ] || echo -15 >/proc/self/autogroup
fi
OUT=$(mktemp -d)
SWARM='' SERVICE=''
declare -A SERVER PLACE
# Ends what was started here, and only that.
clean_up() {
    local pid
    for pid in $SWARM "${SERVER[@]}" $SERVICE; do
        kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null || true
    done
    rm -rf "$OUT"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

# listens PORT PROCESS LOG: waits until it does.
listens() {
    for _ in $(seq 100); do
        kill -0 "$2" 2>/dev/null || fail "it ended at once: $(tail -n 3 "$3")"
        (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null && return
        sleep 0.1
    done
    fail "nothing listens on port $1: $(tail -n 3 "$3")"
}

# next_port: a port of its own for each, into PORT.
next_port() {
    PORT=$((PORT + 1))
    ! (exec 3<>"/dev/tcp/127.0.0.1/$PORT") 2>/dev/null || fail "something listens on port $PORT already; set PORT"
}

# start_echo CPU NAME: an echo server that sends nothing by itself; its process into STARTED.
start_echo() {
    next_port
    LISTEN_ADDR=127.0.0.1:$PORT HEARTBEAT_INTERVAL_MS=43200000 CONNECTION_TIMEOUT_MS=86400000 DRAIN_MS=0 MAX_CONNECTIONS=10000 LOG_LEVEL=warn \
        taskset -c "$1" "${FIRST[@]}" "$BIN/examples/echo" >"$OUT/$2.log" 2>&1 &
    STARTED=$!
    listens $PORT $STARTED "$OUT/$2.log"
}

# start NAME: a server on the first CPU; into SERVER and PLACE.
start() {
    local name=$1 command
    if [ "$name" = echo ]; then
        start_echo 0 echo
    else
        next_port
        case $name in
            haproxy)
                cat >"$OUT/haproxy.cfg" <<CONFIG
global
    nbthread 1
    maxconn 9900
defaults
    mode http
    timeout connect 5s
    timeout client 1h
    timeout server 1h
    timeout tunnel 1h
frontend clients
    bind 127.0.0.1:$PORT
    default_backend service
backend service
    server echo 127.0.0.1:$SERVICE_PORT
CONFIG
                command=(haproxy -db -q -f "$OUT/haproxy.cfg") ;;
            nginx)
                mkdir -p "$OUT/nginx"
                cat >"$OUT/nginx.conf" <<CONFIG
daemon off;
worker_processes 1;
pid $OUT/nginx/pid;
error_log stderr;
events { worker_connections 20000; }
http {
    access_log off;
    client_body_temp_path $OUT/nginx/body;
    proxy_temp_path $OUT/nginx/proxy;
    fastcgi_temp_path $OUT/nginx/fastcgi;
    uwsgi_temp_path $OUT/nginx/uwsgi;
    scgi_temp_path $OUT/nginx/scgi;
    server {
        listen 127.0.0.1:$PORT;
        location / {
            proxy_pass http://127.0.0.1:$SERVICE_PORT;
            proxy_http_version 1.1;
            proxy_set_header Host \$http_host;
            proxy_set_header Upgrade \$http_upgrade;
            proxy_set_header Connection Upgrade;
            proxy_read_timeout 1h;
            proxy_send_timeout 1h;
        }
    }
}
CONFIG
                # The worker must be able to enter the folder, whose files are its own user's.
                [ "$(id -u)" != 0 ] || echo 'user root;' >>"$OUT/nginx.conf"
                command=(nginx -e stderr -c "$OUT/nginx.conf") ;;
            caddy)
                cat >"$OUT/Caddyfile" <<CONFIG
{
    admin off
    auto_https off
    log {
        level ERROR
    }
    servers {
        protocols h1
    }
}
http://:$PORT {
    bind 127.0.0.1
    reverse_proxy 127.0.0.1:$SERVICE_PORT
}
CONFIG
                command=(env HOME="$OUT" GOMAXPROCS=1 caddy run --config "$OUT/Caddyfile" --adapter caddyfile) ;;
            pulsegate)
                command=(env UPSTREAM=http://127.0.0.1:$SERVICE_PORT LISTEN_ADDR=127.0.0.1:$PORT ADMIN_ADDR=127.0.0.1:0 DRAIN_MS=0 MAX_CONNECTIONS=9900
                    LOG_LEVEL=warn "$BIN/pulsegate") ;;
            *) fail "no such server: $name" ;;
        esac
        taskset -c 0 "${FIRST[@]}" "${command[@]}" >"$OUT/$name.log" 2>&1 &
        STARTED=$!
        listens $PORT $STARTED "$OUT/$name.log"
    fi
    SERVER[$name]=$STARTED PLACE[$name]=127.0.0.1:$PORT
}

# The processes of a server: itself and its workers.
processes() { echo "$1" $(cat "/proc/$1/task/"*/children); }

# Anonymous memory of a server's processes, in bytes.
anonymous() {
    for pid in $(processes "$1"); do cat "/proc/$pid/smaps_rollup"; done | awk '/^Anonymous:/ { sum += $2 } END { print sum * 1024 }'
}

# hold NAME RUN CONNECTIONS SECONDS: returns when all are open and have settled.
hold() {
    local pid
    : >"$OUT/$2.err"
    taskset -c 1 timeout --foreground -k 5 $(($4 + 60)) "$BIN/pulsegate-swarm" --target "ws://${PLACE[$1]}" --path / --connections "$3" \
        --sources 4 --ramp 2000 --duration "$4" >"$OUT/$2.json" 2>"$OUT/$2.err" &
    pid=$!
    SWARM="$SWARM $pid"
    until grep -q '^holding' "$OUT/$2.err"; do
        kill -0 "$pid" 2>/dev/null || fail "$1: the swarm ended before it was open: $(tail -n 1 "$OUT/$2.err")"
        sleep 0.1
    done
    sleep $SETTLE
}

# idle NAME: holds idle tunnels, and adds a line "memory NAME BEFORE FIRST ALL" to the results.
idle() {
    local name=$1 before first all
    # What the start has used is returned by then.
    sleep 1
    before=$(anonymous "${SERVER[$name]}")
    hold "$name" first $FIRST_TUNNELS $((2 * SETTLE + 20))
    first=$(anonymous "${SERVER[$name]}")
    hold "$name" more "$TUNNELS" $((SETTLE + 2))
    all=$(anonymous "${SERVER[$name]}")
    # shellcheck disable=SC2086 # several processes
    wait $SWARM || fail "$name: the swarm failed: $(tail -n 1 "$OUT/more.err")"
    SWARM=''
    python3 - "$OUT/first.json" "$OUT/more.json" <<'PY' || fail "$name"
import json, sys
for run in (json.load(open(path)) for path in sys.argv[1:]):
    closed = sum(run["closes"]["unexpected"].values())
    if closed or run["failed"]:
        sys.exit(f"{closed} tunnels were closed, {run['failed']} failed to open")
PY
    echo "memory $name $before $first $all" >>"$OUT/results"
}

# echoes NAME CONNECTIONS BYTES: adds a line "cpu NAME BYTES JSON" to the results.
echoes() {
    local said
    # shellcheck disable=SC2046 # several processes
    said=$(taskset -c 1 timeout --foreground 90 "${FIRST[@]}" "$LOAD" "${PLACE[$1]}" "$2" "$3" seconds "$SECS" $(processes "${SERVER[$1]}")) ||
        fail "$1: the load failed"
    echo "cpu $1 $3 $said" >>"$OUT/results"
}

start_echo 1 service
SERVICE=$STARTED SERVICE_PORT=$PORT
for name in $SERVERS; do
    start "$name"
    echo "bridge.sh: $name, $TUNNELS idle" >&2
    idle "$name"
done
for repetition in $(seq "$REPETITIONS"); do
    echo "bridge.sh: repetition $repetition of $REPETITIONS" >&2
    for message in 100:128 100:4096 10:65536; do
        for name in $SERVERS; do
            echoes "$name" "${message%:*}" "${message#*:}"
        done
    done
done
python3 benches/scenarios/bridge/report.py "$OUT/results" "$REPETITIONS" "$SECS" $FIRST_TUNNELS "$TUNNELS"
