//! Values for the settings: one for each that is not the default, secrets, and a list of apps.

use pulsegate::config::{SETTINGS, Settings, ValueKind};

/// Every setting, in the order of the table, with a value that is not the default.
pub const GIVEN: &[(&str, &str)] = &[
    ("CONFIG_FILE", "/dev/null/settings.toml"),
    ("LISTEN_ADDR", "[::]:9000"),
    ("ALLOW_UNAUTHENTICATED", "true"),
    ("AUTH_JWT_SECRET", SECRET),
    ("AUTH_JWT_SECRET_FILE", "/dev/null/secret"),
    ("APPS_FILE", "/dev/null/apps.json"),
    ("APP_ADMISSION", "KEY"),
    (
        "ALLOWED_ORIGINS",
        "https://App.example.org:443,http://localhost:3000,file://",
    ),
    ("UPSTREAM", "ws://[::1]:3000"),
    ("ADMIN_ADDR", "[::]:9003"),
    ("ADMIN_TOKEN", TOKEN),
    ("ADMIN_TOKEN_FILE", "/dev/null/token"),
    ("HEARTBEAT_INTERVAL_MS", "1001"),
    ("CONNECTION_TIMEOUT_MS", "3001"),
    ("STATS_INTERVAL_MS", "501"),
    ("MAX_CONNECTIONS", "77"),
    ("MAX_MESSAGE_BYTES", "70000"),
    ("LOG_LEVEL", "DEBUG"),
    ("LOG_FORMAT", "JSON"),
    ("DRAIN_MS", "0"),
    ("GLASSES_GRACE_MS", "0"),
    ("APP_GRACE_MS", "1"),
    (
        "APP_WEBSOCKET_URL",
        "wss://gateway.example.org/gate/app-ws?x=1",
    ),
    ("STATE_FILE", "/dev/null/state"),
    ("PULSE", "true"),
    ("ALERTS", "Off"),
    ("ALERT_WEBHOOK_URL", ALERT_URL),
    ("EVENTS_URL", EVENTS_URL),
    ("EVENTS_SECRET", EVENTS_SECRET),
    ("EVENTS_SECRET_FILE", "/dev/null/events"),
    ("UPSTREAM_HEARTBEAT_INTERVAL_MS", "1004"),
    ("UPSTREAM_CONNECTION_TIMEOUT_MS", "3004"),
    ("CLIENT_JUDGE", "Report"),
    ("UPSTREAM_JUDGE", "report"),
    ("UPSTREAM_ALIVE_BY", "Pong"),
    ("UPSTREAM_LATE", "false"),
    ("UPSTREAM_CONNECT_TIMEOUT_MS", "301"),
    ("UPSTREAM_ANSWER_TIMEOUT_MS", "302"),
    ("UPSTREAM_HOST_HEADER", "Chat.example.org:81"),
    ("UPSTREAM_MAX_MESSAGE_BYTES", "90000"),
    ("SLOW_MS", "401"),
    ("FORWARDED_PROTO", "HTTPS"),
    ("READY_NEEDS_UPSTREAM", "true"),
    ("HEALTH_PATH", "/health"),
    ("HOLD_MS", "311"),
    ("HOLDS_MAX", "312"),
    ("HOLD_MAX_BYTES", "70001"),
    ("HOLDS_PER_IDENTITY", "313"),
    ("PULSE_SESSION_MAX_MS", "314"),
    ("CLIENT_REPORTS", "count"),
    ("ACCEPT_RATE", "315"),
    ("HTTP_PASS", "Off"),
    ("HTTP_ANSWER_TIMEOUT_MS", "306"),
    ("HTTP_BODY_IDLE_MS", "307"),
    ("HTTP_KEEP_ALIVE_MS", "308"),
    ("UPSTREAM_KEEP_ALIVE_MS", "309"),
    ("HTTP_MAX_REQUESTS", "310"),
    ("CONFIG_WATCH", "true"),
    ("DRAIN_DELAY_MS", "12"),
    ("GLASSES_HEARTBEAT_INTERVAL_MS", "1002"),
    ("GLASSES_CONNECTION_TIMEOUT_MS", "3002"),
    ("APP_HEARTBEAT_INTERVAL_MS", "1003"),
    ("APP_CONNECTION_TIMEOUT_MS", "3003"),
    ("APP_INIT_TIMEOUT_MS", "801"),
    ("HEARTBEAT_MODE", "idle"),
    ("ALIVE_BY", "data"),
    ("GLASSES_ALIVE_BY", "pong"),
    ("APP_ALIVE_BY", "data"),
    ("LATE", "0"),
    ("GLASSES_LATE", "false"),
    ("APP_LATE", "0"),
    ("ADAPTIVE_CADENCE", "true"),
    ("HEARTBEAT_MAX_MS", "101001"),
    ("DETECT_WITHIN_MS", "101002"),
    ("CADENCE_FILE", "/dev/null/learned"),
    ("GLASSES_SUBPROTOCOLS", "v2.glasses, v1.glasses"),
    ("GLASSES_SUBPROTOCOL_REQUIRED", "true"),
    ("APP_SUBPROTOCOLS", "apps"),
    ("APP_SUBPROTOCOL_REQUIRED", "1"),
    ("HANDSHAKE_TIMEOUT_MS", "601"),
    ("MAX_HEAD_BYTES", "1024"),
    ("CLOSE_TIMEOUT_MS", "701"),
    ("MAX_PENDING_BYTES", "70015"),
    ("SLOW_CONSUMER_MS", "1234"),
    ("MAX_BUFFERED_BYTES", "70020"),
    ("STALE_CLOSES_PER_SECOND", "0"),
    ("REPLAY_MAX_MESSAGES", "0"),
    ("REPLAY_MAX_BYTES", "0"),
    ("REPLAY_MAX_AGE_MS", "0"),
    ("REPLAY_SKIP", "VAD, transcription:en-US"),
    ("REPLAY_UNCONFIRMED", "On"),
    ("FLAPPING_LIMIT", "0"),
    ("WEBHOOK_TIMEOUT_MS", "901"),
    ("WEBHOOK_ALLOW", "203.0.113.0/24,::ffff:192.168.1.1"),
    ("GLASSES_CONNECTION_STATE", "true"),
    ("REUSE_PORT", "1"),
    ("PROXY_PROTOCOL", "V2"),
    ("TRUSTED_PROXIES", "10.0.0.0/8,::ffff:192.168.1.1,fd00::1"),
    ("AUTH_JWT_LEEWAY_MS", "0"),
    ("ADMIN_HOSTS", "Gateway.example.org,pulsegate"),
    ("ALERT_INTERVAL_MS", "1011"),
    ("ALERT_WINDOW_MS", "1012"),
    ("ALERT_RESOLVE_MS", "0"),
    ("ALERT_REPEAT_MS", "1014"),
    ("ALERT_MIN_CONNECTIONS", "15"),
    ("ALERT_SUSPECTS_PERCENT", "16"),
    ("ALERT_SUSPECTS_FOR_MS", "17"),
    ("ALERT_STALE_PERCENT", "18"),
    ("ALERT_STALE_MIN", "19"),
    ("ALERT_STALE_FOR_MS", "20"),
    ("ALERT_MASS_DEATH", "21"),
    ("ALERT_VERDICT_JUMP", "30"),
    ("ALERT_PERSISTENT_TROUBLE", "37"),
    ("ALERT_MASS_DEATH_PERCENT", "22"),
    ("ALERT_MASS_DEATH_WINDOW_MS", "23"),
    ("ALERT_FLEET_LATE", "0"),
    ("ALERT_COHORT_LATE", "38"),
    ("ALERT_RTT_MS", "24"),
    ("ALERT_RTT_FOR_MS", "25"),
    ("ALERT_FLAPPING", "26"),
    ("ALERT_FLAPPING_FOR_MS", "27"),
    ("ALERT_APP_DOWN", "0"),
    ("ALERT_APP_DOWN_FOR_MS", "28"),
    ("ALERT_STALLS", "29"),
    ("ALERT_CAPACITY_PERCENT", "35"),
    ("ALERT_REFUSED", "36"),
    ("ALERT_FDS_PERCENT", "30"),
    ("ALERT_PORTS_PERCENT", "29"),
    ("ALERT_MEMORY_PERCENT", "31"),
    ("ALERT_LIMITS_FOR_MS", "32"),
    ("ALERT_STORM_PERCENT", "33"),
    ("ALERT_STORM_FOR_MS", "34"),
    ("EVENTS_KEPT", "101"),
];

/// A URL that is secret, like a password.
pub const ALERT_URL: &str = "https://alerts.example.org/s3cret-path?x=1";

/// The URL of a backend that reads events: secret, too.
pub const EVENTS_URL: &str = "http://backend.example.org/s3cret-events";

/// The key that signs the posts of events.
pub const EVENTS_SECRET: &str = "s3cret key of the posts";

pub const TOKEN: &str = "s3cret-s3cret-s3cret";

/// The key that signs the tokens of glasses.
pub const SECRET: &str = "s3cret-of-tokens-of-glasses";

/// The secrets, each with the setting for its file.
pub const SECRETS: [(&str, &str); 3] = [
    ("AUTH_JWT_SECRET", "AUTH_JWT_SECRET_FILE"),
    ("ADMIN_TOKEN", "ADMIN_TOKEN_FILE"),
    ("EVENTS_SECRET", "EVENTS_SECRET_FILE"),
];

pub const APPS: &str = r#"[
    {"package": "org.a", "api_key": "s3cret-a", "webhook_url": "http://a:3000/webhook"},
    {"package": "org.b", "api_key": "s3cret-b"}
]"#;

pub fn is_secret(name: &str) -> bool {
    ["ALERT_WEBHOOK_URL", "EVENTS_URL"].contains(&name)
        || SECRETS.iter().any(|(secret, _)| *secret == name)
}

/// Returns whether a value is the name of a file with content that matters.
pub fn is_path(name: &str) -> bool {
    let setting = SETTINGS.iter().find(|s| s.name == name);
    matches!(setting.expect("a setting").kind, ValueKind::Path)
}

/// Returns a secret from its field.
pub fn secret_of(settings: &Settings, name: &str) -> Option<String> {
    let secret = match name {
        "ADMIN_TOKEN" => &settings.admin_token,
        "AUTH_JWT_SECRET" => &settings.auth_jwt_secret,
        "EVENTS_SECRET" => &settings.events_secret,
        other => panic!("{other}"),
    };
    secret.as_ref().map(|secret| secret.expose().to_owned())
}

/// Returns the least number of characters of this secret.
pub fn least_of(secret: &str) -> usize {
    match secret {
        "ADMIN_TOKEN" | "EVENTS_SECRET" => 16,
        "AUTH_JWT_SECRET" => 8,
        other => panic!("{other}"),
    }
}

/// Returns whether this secret may contain spaces: a token in a header field may not.
pub fn spaces_of(secret: &str) -> &'static str {
    match secret {
        "ADMIN_TOKEN" => "without",
        "AUTH_JWT_SECRET" | "EVENTS_SECRET" => "or",
        other => panic!("{other}"),
    }
}

/// Returns the address setting that may be public only with this secret, if there is one.
pub fn addr_of(secret: &str) -> Option<&'static str> {
    match secret {
        "ADMIN_TOKEN" => Some("admin-addr"),
        "AUTH_JWT_SECRET" => Some("listen-addr"),
        "EVENTS_SECRET" => None,
        other => panic!("{other}"),
    }
}
