#!/usr/bin/env bash
# Runs what docs/deploy and the README show: the first command, also with services of others, the
# routes file of ten lines, the proxies of docs/bridge.md, the units for systemd behind HAProxy with
# TLS, and both examples for Kubernetes.
#
#   examples.sh PULSEGATE [CASE...]     examples.sh target/release/pulsegate
#
# Each case has a network of its own, so it uses the very ports and addresses of the files. Every
# time is that of the files, too. There is no cluster and no systemd: a script does what they would.
# Installs by apt what is missing of haproxy, nginx, mosquitto, systemd, openssl, curl, wget,
# iproute2 and util-linux, and by npm and pip what is pinned here and in ../services. A minute at
# most.
# Exit: 0 all held; 1 something did not; 2 usage or set-up.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
[ $# -ge 1 ] && [ -x "$1" ] || { sed -n '2,14s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 2; }
MISSING=()
for pair in haproxy:haproxy nginx:nginx systemd-analyze:systemd openssl:openssl curl:curl \
    wget:wget ip:iproute2 setpriv:util-linux mosquitto:mosquitto python3:python3; do
    command -v "${pair%:*}" >/dev/null || MISSING+=("${pair#*:}")
done
install() {
    apt-get update -qq
    # RUNLEVEL: nothing is started.
    RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"
}
[ ${#MISSING[@]} = 0 ] || install "${MISSING[@]}" >/dev/null ||
    { echo "examples.sh: cannot install ${MISSING[*]}" >&2; exit 2; }
CACHE=${PULSEGATE_CLIENTS:-${XDG_CACHE_HOME:-$HOME/.cache}/pulsegate-clients}
PLACE=$CACHE/examples-$(sha256sum <"$HERE/examples.txt" | cut -c1-16)
packages() {
    python3 -m venv "$PLACE/venv" &&
        "$PLACE/venv/bin/pip" install -q --disable-pip-version-check -r "$HERE/examples.txt" &&
        touch "$PLACE/.ready"
}
mkdir -p "$PLACE"
[ -e "$PLACE/.ready" ] || packages >"$PLACE/install.log" 2>&1 ||
    { tail -n 5 "$PLACE/install.log" >&2; echo "examples.sh: cannot install packages" >&2; exit 2; }
SERVICES=$("$HERE/../install.sh" "$HERE/../services")
# Node looks for a module's packages beside the module.
cp -u "$HERE"/../services/*.mjs "$HERE"/../bridge/{ws,socketio}_{service,client}.mjs "$SERVICES/"
export SERVICES

TMP=$(mktemp -d)
declare -A RUNNING=()
trap 'for p in "${RUNNING[@]}"; do kill "$p" 2>/dev/null || true; done; rm -rf "$TMP"' EXIT
export PYTHONDONTWRITEBYTECODE=1
# Where users without privileges reach it.
chmod 755 "$TMP"
cp "$1" "$TMP/pulsegate"
FAILED=0
CASES=("${@:2}")
[ ${#CASES[@]} != 0 ] || CASES=(manifests readme services routes proxies systemd sidecar deployment)
INSIDE=(unshare --net --mount)
if [ "$(id -u)" != 0 ] || ! "${INSIDE[@]}" ip link set lo up 2>/dev/null; then
    echo "LEFT OUT: all but the manifests (root and networks of its own are needed)"
    CASES=(manifests)
fi
for name in "${CASES[@]}"; do
    mkdir "$TMP/$name"
    chmod 755 "$TMP/$name"
    run=("${INSIDE[@]}")
    [ "$name" != manifests ] || run=()
    python=$PLACE/venv/bin/python
    [ "$name" != services ] || python=$SERVICES/venv/bin/python
    "${run[@]}" timeout 90 "$python" "$HERE/examples.py" \
        "$TMP/pulsegate" "$name" "$TMP/$name" >"$TMP/$name.out" 2>&1 &
    RUNNING[$name]=$!
done
for name in "${CASES[@]}"; do
    wait "${RUNNING[$name]}" || FAILED=1
    unset "RUNNING[$name]"
    cat "$TMP/$name.out"
done
[ "$FAILED" = 0 ] || { echo "examples.sh: some did not hold" >&2; exit 1; }
echo "examples.sh: all held in $SECONDS s"
