#!/usr/bin/env bash
# A service that stands still behind the bridge: a pause of a minute must cost no pair, and a longer one must close them slowly.
#
#   benches/scenarios/frozen.sh [PAIRS]          benches/scenarios/frozen.sh 2000
#
# PAIRS pairs with a ping every 15 s on both legs and a timeout of 45 s. The service (Node) is stopped (SIGSTOP) for 60 s, and
# then, half a minute after it went on, for 200 s. Prints PASS or FAIL, with what was seen, for claims of docs/bridge.md, "A frozen
# service is not many dead peers"; docs/benchmarks.md lists them. Loopback only, on free ports; about 6 minutes.
#
# Needs Linux, node. Environment: BIN, a folder with the programs, instead of building them. Exit: 0 all claims held; 1 one did
# not; 2 could not measure.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
NAME=frozen.sh
. benches/scenarios/pairs/parts.sh

PAIRS=${1:-2000} INTERVAL=15000 TIMEOUT=45000
[[ $PAIRS =~ ^[1-9][0-9]{1,4}$ ]] || fail "not a number of at least ten pairs: $PAIRS"
prepare "$PAIRS"
OUT=$(mktemp -d)
trap 'stop_pairs; rm -rf "$OUT"' EXIT
trap 'exit 130' INT TERM

start_service frozen 0 0 $TIMEOUT
start_gateway frozen $INTERVAL $TIMEOUT
timeout --foreground 600 node benches/scenarios/pairs/frozen.mjs "$PORT" "$ADMIN_PORT" "$PAIRS" "$SERVICE" $INTERVAL $TIMEOUT || {
    status=$?
    [ $status = 1 ] || fail "the clients ended with $status: $(tail -1 "$OUT/frozen.gateway.log")"
    exit 1
}
