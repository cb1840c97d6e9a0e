#!/usr/bin/env bash
# Installs the npm and PyPI packages that a folder here pins (package-lock.json, and requirements.txt if there is one) into a cache
# (PULSEGATE_CLIENTS, by default pulsegate-clients in the user's cache) on first use, and prints the place: node_modules/ and venv/ are in it.
#
#   install.sh FOLDER     install.sh tests/foreign/bridge
#
# Exit: 2 if it cannot.
set -euo pipefail

[ $# = 1 ] && [ -e "$1/package-lock.json" ] || { sed -n '2,7s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 2; }
FROM=$(cd "$1" && pwd)
CACHE=${PULSEGATE_CLIENTS:-${XDG_CACHE_HOME:-$HOME/.cache}/pulsegate-clients}

install_packages() {
    cp "$FROM/package.json" "$FROM/package-lock.json" "$PLACE/"
    (cd "$PLACE" && npm ci --omit=dev --ignore-scripts --no-audit --no-fund) || return
    if [ -e "$FROM/requirements.txt" ]; then
        python3 -m venv "$PLACE/venv" &&
            "$PLACE/venv/bin/pip" install -q --disable-pip-version-check -r "$FROM/requirements.txt" || return
    fi
    touch "$PLACE/.ready"
}

# Each set of pins has its own place, so that a change of a pin installs anew and an old run is not disturbed.
PINS=("$FROM/package-lock.json")
[ ! -e "$FROM/requirements.txt" ] || PINS+=("$FROM/requirements.txt")
PLACE=$CACHE/$(basename "$FROM")-$(cat "${PINS[@]}" | sha256sum | cut -c1-16)
mkdir -p "$PLACE"
exec 9>"$PLACE/.lock"
flock 9
[ -e "$PLACE/.ready" ] || install_packages >"$PLACE/install.log" 2>&1 ||
    { tail -5 "$PLACE/install.log" >&2; echo "install.sh: cannot install what $1 pins" >&2; exit 2; }
echo "$PLACE"
