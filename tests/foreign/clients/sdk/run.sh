#!/usr/bin/env bash
# The app SDK from npm, unmodified, against the gateway.
#
#   run.sh scenarios GATEWAY_BINARY [NAME ...]            what the contract says, case by case (run.mjs)
#   run.sh chaos GATEWAY_BINARY SECONDS CUTS SEED         random cuts, freezes and restores, every frame numbered (chaos.mjs)
#
# Installs what is pinned here into a cache on first use (../../install.sh), and starts the gateway itself. Loopback only; bounded
# in time. Exit: 0 all held; 1 something did not; 2 usage or set-up.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

case ${1:-} in
    scenarios) SCRIPT=run.mjs ;;
    chaos) SCRIPT=chaos.mjs ;;
    *) sed -n '2,8s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
esac
shift

PLACE=$("$HERE/../../install.sh" "$HERE")
# Node looks for a module's packages beside the module.
COPY=$(mktemp -d)
trap 'rm -rf "$COPY"' EXIT
cp "$HERE"/*.mjs "$COPY/"
ln -s "$PLACE/node_modules" "$COPY/node_modules"
node "$COPY/$SCRIPT" "$@"
