#!/usr/bin/env bash
# Is everything in docs/deploy right, as far as that can be seen without a fleet?
#
#   check.sh [SCRAPE_FILE]                        check.sh; curl -s 127.0.0.1:9002/metrics >m; check.sh m
#
# SCRAPE_FILE: a gateway's /metrics, compared with metrics.txt. PULSEGATE: a binary, which then looks at pulsegate.toml itself.
# Installs by apt what is missing of prometheus, haproxy, systemd and openssl. Half a minute.
# All checks run, whatever fails. Exit: 0 all held; 1 some did not; 2 usage or set-up.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../../.."
[ $# -le 1 ] || { sed -n '2,9s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 2; }
[ $# = 0 ] || [ -r "$1" ] || { echo "check.sh: cannot read $1" >&2; exit 2; }

MISSING=()
for pair in promtool:prometheus haproxy:haproxy systemd-analyze:systemd openssl:openssl python3:python3 tc:iproute2 unshare:util-linux; do
    command -v "${pair%:*}" >/dev/null || MISSING+=("${pair#*:}")
done
if [ ${#MISSING[@]} != 0 ]; then
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${MISSING[@]}"; } >/dev/null ||
        { echo "check.sh: cannot install ${MISSING[*]}" >&2; exit 2; }
fi

TMP=$(mktemp -d)
trap 'rm -rf "$TMP"' EXIT
export PYTHONDONTWRITEBYTECODE=1
FAILED=()
# Runs one check; shows what it said if it failed, else its last line. $1: what it is.
check() {
    local name=$1
    shift
    local run=(timeout 300)
    # A function of ours; it bounds what it runs.
    [ "$(type -t "$1")" != function ] || run=()
    if "${run[@]}" "$@" >"$TMP/said" 2>&1; then
        echo "ok    $name: $(grep -v '^[[:space:]]*$' "$TMP/said" | tail -n 1 | sed 's/^ *//')"
    else
        echo "FAIL  $name (exit $?)"
        sed 's/^/      /' "$TMP/said"
        FAILED+=("$name")
    fi
}

# The scrape as a classic parser reads it. What promtool would name otherwise (exit code 3) is no fault of the format.
promtool_metrics() {
    local status=0
    timeout 60 promtool check metrics <"$1" >"$TMP/promtool" 2>&1 || status=$?
    cat "$TMP/promtool"
    [ "$status" = 0 ] || [ "$status" = 3 ] || return 1
    ! grep -E "error while linting|no help text|untyped" "$TMP/promtool"
}

# The very file, with a certificate for a day.
haproxy_config() {
    openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost -keyout "$TMP/key.pem" -out "$TMP/cert.pem" 2>/dev/null
    cat "$TMP/key.pem" >>"$TMP/cert.pem"
    PULSEGATE_CERT=$TMP/cert.pem PULSEGATE_STATS=$TMP/stats PULSEGATE_MAXCONN=1000 PULSEGATE_SERVER_MAXCONN=900 \
        timeout 60 haproxy -c -f docs/deploy/haproxy.cfg >"$TMP/haproxy" 2>&1 || { cat "$TMP/haproxy"; return 1; }
    cat "$TMP/haproxy"
    # A warning is a fault, too.
    ! grep -qi warning "$TMP/haproxy"
}

# The units with a binary that exists. `verify` warns of unknown keys and yet ends with 0: what it says is a fault.
units() {
    mkdir -p "$TMP/units"
    cp docs/deploy/pulsegate.socket "$TMP/units/"
    grep -qx 'ExecStart=/usr/local/bin/pulsegate' docs/deploy/pulsegate.service || { echo "no ExecStart=/usr/local/bin/pulsegate"; return 1; }
    sed 's|^ExecStart=.*|ExecStart=/bin/true|' docs/deploy/pulsegate.service >"$TMP/units/pulsegate.service"
    timeout 60 systemd-analyze verify "$TMP/units/pulsegate.service" "$TMP/units/pulsegate.socket" >"$TMP/verify" 2>&1 || { cat "$TMP/verify"; return 1; }
    # Of ours alone: other units of the machine are none of our business.
    ! grep -F pulsegate "$TMP/verify" || return 1
    echo "verified"
}

exposure() {
    timeout 60 systemd-analyze security --offline=yes --no-pager "$TMP/units/pulsegate.service" >"$TMP/exposure" 2>&1 || { cat "$TMP/exposure"; return 1; }
    local level
    level=$(sed -n 's/.*Overall exposure level for pulsegate.service: \([0-9.]*\).*/\1/p' "$TMP/exposure")
    echo "exposure $level of 10, at most 2.0"
    awk "BEGIN { exit !(\"$level\" != \"\" && $level <= 2.0) }" || { cat "$TMP/exposure"; return 1; }
}

check "alerts: syntax" promtool check rules docs/deploy/alerts.yml
check "alerts: unit tests" promtool test rules docs/deploy/alerts.test.yml
check "alerts: do the tests notice?" python3 tests/foreign/deploy/alert_mutants.py
check "prometheus.yml" promtool check config docs/deploy/prometheus.yml
check "metrics, dashboard, alerts, handbook" python3 tests/foreign/deploy/metrics.py "$@"
if [ $# = 1 ]; then check "metrics, by promtool" promtool_metrics "$1"; fi
check "haproxy.cfg" haproxy_config
check "units" units
if systemd-analyze --help | grep -q -- --offline; then check "units: sandbox" exposure; fi
check "kernel settings, CONFIG_FILE, Dockerfile, numbers, README" python3 tests/foreign/deploy/static.py
if [ -n "${PULSEGATE:-}" ]; then
    check "units: secrets and state in the sandbox" python3 tests/foreign/deploy/sandbox.py "$PULSEGATE"
    check "pulsegate.toml, by the gateway" env -u ADMIN_TOKEN CONFIG_FILE=docs/deploy/pulsegate.toml "$PULSEGATE" --check
else
    echo "left out: pulsegate.toml by the gateway itself (PULSEGATE is not set)"
fi
if docker buildx version >/dev/null 2>&1 && docker info >/dev/null 2>&1; then
    check "Dockerfile, by BuildKit" docker buildx build --check -f docs/deploy/Dockerfile .
else
    echo "left out: the Dockerfile by BuildKit (no Docker daemon, or no buildx)"
fi

if [ ${#FAILED[@]} != 0 ]; then
    echo "check.sh: ${#FAILED[@]} failed" >&2
    exit 1
fi
echo "check.sh: all held"
