#!/usr/bin/env bash
# Services and clients that we did not write, through the bridge: npm `ws` with and without compression, `socket.io`, PyPI `websockets`, and
# Chromium if it is installed.
#
#   run.sh PULSEGATE     run.sh target/release/pulsegate
#
# Installs what is pinned here into a cache on first use (../install.sh), starts a gateway before each service, and says of each case what held.
# About half a minute. Exit: 0 all held; 1 something did not; 2 usage or set-up.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

[ $# = 1 ] || { sed -n '2,9s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 2; }
PLACE=$("$HERE/../install.sh" "$HERE")
# Node looks for a module's packages beside the module.
cp "$HERE"/*.mjs "$PLACE/"
exec "$PLACE/venv/bin/python" "$HERE/bridge.py" "$1" "$PLACE"
