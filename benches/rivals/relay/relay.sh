#!/usr/bin/env bash
# The relay beside one on Node `ws` that does the same for each frame: throughput, CPU, added latency.
#
#   benches/rivals/relay/relay.sh [RUNS] [SECONDS]            benches/rivals/relay/relay.sh 3 3
#
# In turn and RUNS times (3): the gateway, and node_ws_relay.mjs, each pinned to one CPU with the load (load.mjs) on another.
# The load sends small JSON (114 B) and 1 KiB binary from glasses to 1, 10 and 100 apps of one session; SECONDS (3) for the
# throughput of each and as long for its latency. Prints one Markdown table of medians. The latency of a bare loopback
# connection inside the load's process is taken off: what is left is the relay's and the second hop's. Where the server is
# not busy, the load was the limit, and the CPU per delivery is what compares.
#
# Loopback only; some 45 s per server and run. Environment: GATEWAY (a binary; if not given, a release build of this tree),
# SERVERS ("gateway node"), PORT (18790, and one more for each start). Needs two CPUs, taskset, python3, node with npm.
# Exit: 0 measured; 1 a relay lost frames or closed a connection; 2 could not measure.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../../.."

fail() {
    echo "relay.sh: $*" >&2
    exit 2
}

RUNS=${1:-3} SECS=${2:-3} SERVERS=${SERVERS:-gateway node} PORT=${PORT:-18790}
for number in "$RUNS" "$SECS"; do [[ $number =~ ^[1-9][0-9]{0,2}$ ]] || { sed -n '2,15s/^# \{0,1\}//p' benches/rivals/relay/relay.sh >&2; exit 2; }; done
[ "$(nproc)" -ge 2 ] && command -v taskset >/dev/null || fail "two CPUs and taskset are needed: one for the server alone"
if [ -z "${GATEWAY:-}" ]; then
    cargo build --release --quiet --bin pulsegate || fail "the build failed"
    GATEWAY=${CARGO_TARGET_DIR:-target}/release/pulsegate
fi
PLACE=$(tests/foreign/install.sh tests/foreign/clients) || fail "npm ws cannot be installed"

OUT=$(mktemp -d)
SERVER=''
end() { [ -z "$SERVER" ] || { kill "$SERVER" 2>/dev/null && wait "$SERVER" 2>/dev/null || true; }; SERVER=''; }
trap 'end; rm -rf "$OUT"' EXIT
trap 'exit 130' INT TERM
# Node looks for a module's packages beside the module.
cp benches/rivals/relay/node_ws_relay.mjs "$OUT/"
ln -s "$PLACE/node_modules" "$OUT/node_modules"
SECRET=$(head -c 32 /dev/urandom | base64)
python3 -c 'import json; print(json.dumps([{"package": f"bench.{i}", "api_key": f"key-{i}", "webhook_url": "http://127.0.0.1:9/webhook"} for i in range(100)]))' >"$OUT/apps.json"
chmod 600 "$OUT/apps.json"

start_server() {
    local command
    PORT=$((PORT + 1))
    (exec 3<>"/dev/tcp/127.0.0.1/$PORT") 2>/dev/null && fail "something listens on port $PORT already; set PORT"
    case $1 in
        # Any app with a key may come: there are no webhooks to answer here.
        gateway) command=(env LISTEN_ADDR="127.0.0.1:$PORT" ADMIN_ADDR=127.0.0.1:0 AUTH_JWT_SECRET="$SECRET" APPS_FILE="$OUT/apps.json" APP_ADMISSION=key LOG_LEVEL=warn DRAIN_MS=0 "$GATEWAY") ;;
        node) command=(node "$OUT/node_ws_relay.mjs" "$PORT") ;;
        *) fail "no such server: $1" ;;
    esac
    taskset -c 0 "${command[@]}" >"$OUT/server.log" 2>&1 &
    SERVER=$!
    for _ in $(seq 100); do
        kill -0 "$SERVER" 2>/dev/null || fail "$1 ended at once: $(tail -3 "$OUT/server.log")"
        (exec 3<>"/dev/tcp/127.0.0.1/$PORT") 2>/dev/null && return
        sleep 0.1
    done
    fail "$1 does not listen after 10 s"
}

for run in $(seq "$RUNS"); do
    for server in $SERVERS; do
        echo "relay.sh: run $run of $RUNS, $server" >&2
        start_server "$server"
        taskset -c 1 timeout -k 5 $((7 * 2 * SECS + 120)) node benches/rivals/relay/load.mjs "ws://127.0.0.1:$PORT" "$SECRET" "$SECS" "$SERVER" >"$OUT/$server.$run" ||
            { tail -3 "$OUT/server.log" >&2; echo "relay.sh: the load did not get through $server" >&2; exit 1; }
        end
    done
done

python3 - "$OUT" "$RUNS" "$SECS" $SERVERS <<'PY'
import json
import statistics
import sys

out, runs, secs, *servers = sys.argv[1:]
measured = {}
for server in servers:
    for run in range(1, int(runs) + 1):
        lines = [json.loads(line) for line in open(f"{out}/{server}.{run}")]
        floor = lines[0]
        for line in lines[1:]:
            for key in ("p50_us", "p99_us"):
                line[key] -= floor[key]
            measured.setdefault((line["kind"], line["subscribers"], server), []).append(line)
names = {"json": "small JSON", "binary": "1 KiB binary"}
titles = {"gateway": "pulsegate", "node": "Node `ws`"}
print(f"Medians of {runs}, {secs} s each. Added latency: a frame every 5 ms, the loopback's own taken off.\n")
print("| frames | apps | relay | deliveries a second | server busy | server CPU per delivery, µs | added latency p50 / p99, µs |")
print("| --- | --- | --- | --- | --- | --- | --- |")
for kind, subscribers in dict.fromkeys(key[:2] for key in measured):
    for server in servers:
        m = {key: statistics.median(line[key] for line in measured[kind, subscribers, server]) for key in ("deliveries_per_s", "cpu_us", "p50_us", "p99_us")}
        print(
            f"| {names[kind]} | {subscribers} | {titles[server]} | {m['deliveries_per_s']:,.0f} | {m['deliveries_per_s'] * m['cpu_us'] / 1e6:.0%} | {m['cpu_us']:.2f} | {m['p50_us']:.0f} / {m['p99_us']:.0f} |".replace(",", " ")
        )
PY
