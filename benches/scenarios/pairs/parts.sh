# What pairs.sh and frozen.sh share: the checks before a run, and a service with the gateway before it, both on free ports of
# loopback. Sourced from the repository's root, by a script that sets OUT and NAME. Nothing here is pinned to a CPU: PIN_SERVICE
# and PIN_GATEWAY are put before the commands.
PIN_SERVICE=() PIN_GATEWAY=()
SERVICE='' GATEWAY=''

fail() {
    echo "$NAME: $*" >&2
    exit 2
}

# Builds the programs into BIN. $1: the pairs that must fit under the limit of descriptors.
prepare() {
    ulimit -S -n "$(ulimit -H -n)"
    [ "$(ulimit -n)" = unlimited ] || [ "$(ulimit -n)" -gt $((2 * $1 + 512)) ] || fail "they do not fit under the descriptor limit, $(ulimit -n)"
    if [ -z "${BIN:-}" ]; then
        cargo build --release --quiet --features swarm --bins || fail "the build failed"
        BIN=${CARGO_TARGET_DIR:-target}/release
    fi
}

# Prints the port that a process says it listens on. $1: the words before the address; $2: the process; $3: its log.
port_of() {
    local port
    for _ in $(seq 100); do
        kill -0 "$2" 2>/dev/null || fail "it ended at once: $(tail -1 "$3")"
        port=$(grep -aoE "$1[0-9.]+:[0-9]+" "$3" | head -n 1 | grep -oE '[0-9]+$') && { echo "$port"; return; }
        sleep 0.1
    done
    fail "it does not say where it listens: $3"
}

# Starts a service. $1: the run's name; $2: ghosts; $3: when they begin, in ms; $4: the timeout that finds them, in ms. Sets
# SERVICE and SERVICE_PORT.
start_service() {
    "${PIN_SERVICE[@]}" node benches/scenarios/pairs/service.mjs 0 "$2" "$3" "$4" >"$OUT/$1.service.json" 2>"$OUT/$1.service.log" &
    SERVICE=$!
    SERVICE_PORT=$(port_of 'listening on ' "$SERVICE" "$OUT/$1.service.log")
}

# Starts a gateway before the service. $1: the run's name; $2: the interval of pings on both legs, in ms; $3: the timeout of both.
# Sets GATEWAY, PORT and ADMIN_PORT.
start_gateway() {
    UPSTREAM=http://127.0.0.1:$SERVICE_PORT LISTEN_ADDR=127.0.0.1:0 ADMIN_ADDR=127.0.0.1:0 DRAIN_MS=0 \
        HEARTBEAT_INTERVAL_MS=$2 CONNECTION_TIMEOUT_MS=$3 \
        UPSTREAM_HEARTBEAT_INTERVAL_MS=$2 UPSTREAM_CONNECTION_TIMEOUT_MS=$3 \
        "${PIN_GATEWAY[@]}" "$BIN/pulsegate" >"$OUT/$1.gateway.log" 2>&1 &
    GATEWAY=$!
    PORT=$(port_of ' listen=' "$GATEWAY" "$OUT/$1.gateway.log")
    ADMIN_PORT=$(port_of ' admin=' "$GATEWAY" "$OUT/$1.gateway.log")
}

# Ends both, and waits for them.
stop_pairs() {
    # A stopped process takes no signal but this one.
    if [ -n "$SERVICE" ]; then kill -CONT "$SERVICE" 2>/dev/null || true; fi
    kill $SERVICE $GATEWAY 2>/dev/null || true
    wait $SERVICE $GATEWAY || true
    SERVICE='' GATEWAY=''
}
