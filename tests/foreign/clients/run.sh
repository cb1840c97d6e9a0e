#!/usr/bin/env bash
# Clients that we did not write, npm `ws` and PyPI `websockets` and `websocket-client`, against a running gateway.
#
#   run.sh BASE_URL TIMEOUT_MS [INTERVAL_MS]     run.sh ws://127.0.0.1:8002 6000 2000
#
# TIMEOUT_MS and INTERVAL_MS (a third of it, if not given) are what the gateway was started with. Installs what is
# pinned here into a cache on first use (../install.sh), then runs every mode of each client at once, as glasses and as a
# APP: 4 intervals, or the timeout, and some seconds.
# Prints one JSON line each. Exit: 0 all held; 1 something did not; 2 usage or set-up.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

case $# in 2 | 3) ;; *) sed -n '2,9s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 2 ;; esac
BASE=${1%/} TIMEOUT=$2 INTERVAL=${3:-$(($2 / 3))}

PLACE=$("$HERE/../install.sh" "$HERE")
# Node looks for a module's packages beside the module.
cp "$HERE/ws_client.mjs" "$PLACE/"

OUT=$(mktemp -d)
PIDS=()
trap '[ ${#PIDS[@]} = 0 ] || kill "${PIDS[@]}" 2>/dev/null || true; rm -rf "$OUT"' EXIT

# One mode of one client, in the background. Each has an identity of its own.
start() {
    local client=$1 mode=$2 class=$3 user="$1-$2-$3-$$" url
    case $class in
        glasses) url="$BASE/glasses-ws?user=$user" ;;
        app) url="$BASE/app-ws?user=$user&package=com.example.$user" ;;
    esac
    local flags=("$mode" "$url" --interval-ms "$INTERVAL" --timeout-ms "$TIMEOUT" --heartbeats 3)
    local limit=$(((4 * INTERVAL + TIMEOUT) / 1000 + 40))
    case $client in
        ws) timeout -k 5 "$limit" node "$PLACE/ws_client.mjs" "${flags[@]}" ;;
        websocket-client) timeout -k 5 "$limit" "$PLACE/venv/bin/python" "$HERE/websocket_client.py" "${flags[@]}" ;;
        websockets) timeout -k 5 "$limit" "$PLACE/venv/bin/python" "$HERE/websockets_client.py" "${flags[@]}" ;;
    esac >"$OUT/$client-$mode-$class" 2>&1 &
    PIDS+=($!)
}

for client in ws websockets; do
    for mode in stay freeze replaced; do
        start "$client" "$mode" glasses
        start "$client" "$mode" app
    done
    start "$client" bad glasses
done
start websocket-client stay glasses
start websocket-client stay app
start ws offers glasses
start ws offers app

FAILED=0
for pid in "${PIDS[@]}"; do
    wait "$pid" || FAILED=$((FAILED + 1))
done
ALL=${#PIDS[@]}
PIDS=()
cat "$OUT"/*
echo "run.sh: $((ALL - FAILED)) of $ALL held" >&2
[ "$FAILED" = 0 ]
