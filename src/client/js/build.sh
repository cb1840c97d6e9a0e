#!/usr/bin/env bash
# Builds dist/ from src/ with the tsc, esbuild and uglify-js that tests/foreign/pulse pins, and checks the size of the main entry.
#
#   build.sh            writes dist/
#   build.sh --check    writes nothing; fails if dist/ is not what src/ builds, or if the main entry is too large
#   build.sh --minify FILE OPTION...    prints FILE with all that it imports, minified like the main entry, for tests of that
#
# dist/esm and dist/cjs have the modules with their types; dist/pulse.js is the main entry in one minified file, which the
# gateway serves, beside dist/pulse-report.js, which it loads when there is a report. Exit: 0 good; 1 not; 2 set-up.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# The largest main entry, in bytes: minified, and compressed by gzip -9.
MOST=5000

PLACE=$("$HERE/../../../tests/foreign/install.sh" "$HERE/../../../tests/foreign/pulse") || exit 2
BIN=$PLACE/node_modules/.bin
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
echo '{}' >"$WORK/names.json"

# A name that ends with an underscore is one of the client's own properties: both files call it by the same short name.
minify() {
    "$BIN/esbuild" "$1" --bundle --minify --format=esm --target=es2022 --legal-comments=none --mangle-props=_$ --mangle-cache="$WORK/names.json" "${@:2}" |
        "$BIN/uglifyjs" --module --compress passes=4,pure_getters,comparisons=false --mangle
}
if [ "${1:-}" = --minify ]; then
    minify "${@:2}"
    exit
fi

cp -r "$HERE/src" "$HERE/package.json" "$HERE"/tsconfig*.json "$WORK/"
# Node and tsc look for packages beside the sources.
ln -s "$PLACE/node_modules" "$WORK/node_modules"
cd "$WORK"

"$BIN/tsc" -p tsconfig.json
"$BIN/tsc" -p tsconfig.cjs.json
echo '{ "type": "commonjs" }' >dist/cjs/package.json
minify src/index.ts --external:./report.ts | sed 's|"\./report\.ts"|"./pulse-report.js"|' >dist/pulse.js
minify src/report.ts >dist/pulse-report.js

SIZE=$(gzip -9n <dist/pulse.js | wc -c)
echo "build.sh: the main entry has $SIZE bytes, minified and compressed; at most $MOST are allowed" >&2
if [ "${1:-}" = --check ]; then
    diff -r dist "$HERE/dist" >&2 || { echo "build.sh: dist/ is not what src/ builds: run src/client/js/build.sh" >&2; exit 1; }
else
    rm -rf "$HERE/dist"
    cp -r dist "$HERE/dist"
fi
[ "$SIZE" -le "$MOST" ]
