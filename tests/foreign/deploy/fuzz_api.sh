#!/usr/bin/env bash
# Generated requests, right and wrong, against a gateway's API, by the OpenAPI document that it serves itself: no answer is a
# server error, each has a status and a form that the document names, and what the document forbids is refused.
#
#   fuzz_api.sh PULSEGATE_BINARY
#
# Installs schemathesis, as pinned here, into a cache on first use. Some three minutes. Exit: 0 all held; 1 something did
# not; 2 set-up. Left out: a drain, which ends the gateway (tests/admin/ has it), and the live stream, which does not end
# (tests/admin/page.rs).
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
[ $# = 1 ] || { sed -n '2,8s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 2; }
CACHE=${PULSEGATE_CLIENTS:-${XDG_CACHE_HOME:-$HOME/.cache}/pulsegate-clients}
PLACE=$CACHE/fuzz-$(sha256sum <"$HERE/requirements.txt" | cut -c1-16)
if [ ! -e "$PLACE/.ready" ]; then
    mkdir -p "$PLACE"
    { python3 -m venv "$PLACE/venv" && "$PLACE/venv/bin/pip" install -q --disable-pip-version-check -r "$HERE/requirements.txt"; } >"$PLACE/install.log" 2>&1 ||
        { tail -n 5 "$PLACE/install.log" >&2; echo "fuzz_api.sh: cannot install schemathesis" >&2; exit 2; }
    touch "$PLACE/.ready"
fi
TMP=$(mktemp -d)
LISTEN_ADDR=127.0.0.1:0 ADMIN_ADDR=127.0.0.1:0 DRAIN_MS=0 "$1" 2>"$TMP/log" &
GATEWAY=$!
trap 'kill $GATEWAY 2>/dev/null || true; rm -rf "$TMP"' EXIT
for _ in $(seq 100); do
    ADMIN=$(grep -oE ' admin=[0-9.:]+' "$TMP/log" | cut -d= -f2) && break
    sleep 0.1
done
cd "$TMP"
"$PLACE/venv/bin/schemathesis" run "http://$ADMIN/api/v1/openapi.json" --seed 4 --max-examples 200 --phases examples,coverage,fuzzing \
    --checks not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,negative_data_rejection,unsupported_method \
    --exclude-path /api/v1/drain --exclude-path /api/v1/live --exclude-path /api/v1/events --generation-database none --no-color >"$TMP/said" 2>&1 || { tail -n 80 "$TMP/said"; exit 1; }
kill -0 $GATEWAY
grep -E 'passed|cases|generated' "$TMP/said" | tail -n 3
