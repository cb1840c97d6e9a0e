#!/usr/bin/env bash
# Installs npm `ws`, `socket.io` and `socket.io-client`, and PyPI `websockets`, as pinned here, into a cache (PULSEGATE_BRIDGE, by default
# pulsegate-bridge in the user's cache) on first use, and prints the folder: node_modules/ and venv/ are in it. Exit: 2 if it cannot.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
CACHE=${PULSEGATE_BRIDGE:-${XDG_CACHE_HOME:-$HOME/.cache}/pulsegate-bridge}

# Each lock file has its own folder, so that a change of a pin installs anew and an old run is not disturbed.
SUM=$(cat "$HERE/package-lock.json" "$HERE/requirements.txt" | sha256sum | cut -c1-16)
PLACE=$CACHE/$SUM
mkdir -p "$PLACE"
exec 9>"$PLACE/.lock"
flock 9
if [ ! -e "$PLACE/.ready" ]; then
    cp "$HERE/package.json" "$HERE/package-lock.json" "$PLACE/"
    (cd "$PLACE" && npm ci --omit=dev --ignore-scripts --no-audit --no-fund) &&
        python3 -m venv "$PLACE/venv" &&
        "$PLACE/venv/bin/pip" install -q --disable-pip-version-check -r "$HERE/requirements.txt" &&
        touch "$PLACE/.ready"
fi >"$PLACE/install.log" 2>&1 || { tail -5 "$PLACE/install.log" >&2; echo "install.sh: cannot install the services" >&2; exit 2; }
echo "$PLACE"
