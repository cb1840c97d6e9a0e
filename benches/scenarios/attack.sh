#!/usr/bin/env bash
# Every attack that benches/scenarios/attack knows against one gateway, one after the other, with control peers that feel it:
#
#   benches/scenarios/attack.sh [SECONDS] [ATTACK...]                benches/scenarios/attack.sh 5
#
# Each attack (all, if none is named) runs for SECONDS (5) at full speed against a gateway of its own, which has the first
# CPU to itself; the attacker and 50 control peers have the second, the control peers with real-time priority where that is
# allowed. Attacks that need no frames also go to the floor (benches/rivals/floor.rs). Prints one Markdown table: attack, worst turn,
# worst ping of a control peer, lateness of heartbeats, stalls, resident memory against what the counters say. With JSON=FILE
# all figures are left there, too.
#
# GATEWAY is the binary to attack, so that an old build and a new one can be compared; if not given, a release build of this
# tree. FLOOR likewise. PRECEDENCE=1 starts servers and attackers with nice -15: for machines on which others work, too.
#
# Loopback only; each attack ends by itself. Some 15 s more than SECONDS for each. Needs Linux, two CPUs, taskset, python3.
# Exit: 0 all goals are met; 1 some are not; 2 could not measure.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

fail() {
    echo "attack.sh: $*" >&2
    exit 2
}

SECS=${1:-5}
[ $# = 0 ] || shift
[[ $SECS =~ ^([1-9]|[12][0-9]|30)$ ]] || { sed -n '2,19s/^# \{0,1\}//p' benches/scenarios/attack.sh >&2; exit 2; }
[ "$(nproc)" -ge 2 ] && command -v taskset >/dev/null || fail "two CPUs and taskset are needed: one for the server alone"
ulimit -S -n "$(ulimit -H -n)"
cargo build --release --quiet --features "${FEATURES:-}" --bin pulsegate --example floor --example attack || fail "the build failed"
BIN=${CARGO_TARGET_DIR:-target}/release
GATEWAY=${GATEWAY:-$BIN/pulsegate} FLOOR=${FLOOR:-$BIN/examples/floor} ATTACK=${ATTACK:-$BIN/examples/attack}
exec python3 benches/scenarios/attack/run.py --gateway "$GATEWAY" --floor "$FLOOR" --attack "$ATTACK" --seconds "$SECS" --json "${JSON:-}" "$@"
