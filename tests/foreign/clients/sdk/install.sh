#!/usr/bin/env bash
# Installs npm `@mentra/sdk` in three versions, `bun`, which the newer two run on, and `ws`, as pinned here, into a cache
# (PULSEGATE_CLIENTS, by default pulsegate-clients in the user's cache) on first use, and prints the folder: node_modules/ is in
# it. Exit: 2 if it cannot.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
CACHE=${PULSEGATE_CLIENTS:-${XDG_CACHE_HOME:-$HOME/.cache}/pulsegate-clients}

# Each lock file has its own folder, so that a change of a pin installs anew and an old run is not disturbed.
SUM=$(sha256sum <"$HERE/package-lock.json" | cut -c1-16)
PLACE=$CACHE/sdk-$SUM
mkdir -p "$PLACE"
exec 9>"$PLACE/.lock"
flock 9
if [ ! -e "$PLACE/.ready" ]; then
    cp "$HERE/package.json" "$HERE/package-lock.json" "$PLACE/"
    (cd "$PLACE" && npm ci --omit=dev --ignore-scripts --no-audit --no-fund) && touch "$PLACE/.ready"
fi >"$PLACE/install.log" 2>&1 || { tail -5 "$PLACE/install.log" >&2; echo "install.sh: cannot install the SDK" >&2; exit 2; }
echo "$PLACE"
