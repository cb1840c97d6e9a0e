#!/usr/bin/env bash
# A reader of the stream of events that we did not write: see reader.mjs.
#
#   run.sh BINARY       run.sh target/release/pulsegate
#
# BINARY: the gateway. Installs what is pinned here by npm (../install.sh). Some 15 s. Exit: 0 all held; 1 something did not; 2 set-up.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
[ $# = 1 ] && [ -x "$1" ] || { sed -n '2,6s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 2; }
BINARY=$(realpath "$1")
PLACE=$("$HERE/../install.sh" "$HERE") || exit 2

# Node looks for packages beside the files, so the files go beside the packages.
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
cp "$HERE/reader.mjs" "$WORK/"
cp -r "$HERE/../pulse" "$WORK/"
ln -s "$PLACE/node_modules" "$WORK/node_modules"
timeout 200 node "$WORK/reader.mjs" "$BINARY"
