#!/usr/bin/env bash
# Real services behind the gateway, unmodified, driven by their own clients: socket.io, graphql-ws,
# Express behind HAProxy, npm `ws`, PyPI `websockets`, mosquitto, and a page in Chromium.
#
#   run.sh PULSEGATE [NAME...]     run.sh target/release/pulsegate
#
# With NAMEs only the cases with one of them in their names run. Installs by apt what is missing of
# haproxy, mosquitto, chromium and openssl, and what is pinned here into a cache on first use
# (../install.sh). Says of each case what held. About a minute.
# Exit: 0 all held; 1 something did not; 2 usage or set-up.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
install() {
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"
}

[ $# -ge 1 ] || { sed -n '2,10s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 2; }
MISSING=()
for pair in haproxy:haproxy mosquitto:mosquitto openssl:openssl \
    chromium:chromium chromedriver:chromium-driver; do
    command -v "${pair%:*}" >/dev/null || MISSING+=("${pair#*:}")
done
[ ${#MISSING[@]} = 0 ] || install "${MISSING[@]}" >/dev/null ||
    { echo "run.sh: cannot install ${MISSING[*]}" >&2; exit 2; }
PLACE=$("$HERE/../install.sh" "$HERE")
# Node looks for a module's packages beside the module.
cp "$HERE"/*.mjs "$HERE"/../bridge/{ws,socketio}_{service,client}.mjs "$PLACE/"
exec "$PLACE/venv/bin/python" "$HERE/services.py" "$1" "$PLACE" "${@:2}"
