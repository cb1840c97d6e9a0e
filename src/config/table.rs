//! The one table of settings. What is read, checked, printed and documented comes from here.

use std::fmt;

use super::kinds::{Kind, Unit};
use crate::engine::Config;
use Audience::{Advanced, Basic};

/// One setting: an environment variable, the flag of the same name, and the key in the file.
#[derive(Debug)]
pub struct Setting {
    /// The environment variable.
    pub name: &'static str,
    /// What a value is, its unit and its bounds.
    pub kind: Kind,
    /// What holds if it is not given.
    pub default: Fallback,
    /// What is asked of the value beside its bounds, in words that go on after them; held in `effective.rs`.
    pub rule: Option<&'static str>,
    /// Who wants to know of it.
    pub audience: Audience,
    /// Whether a reload applies it; if not, it waits for a restart.
    pub reload: bool,
    /// One sentence on what it does.
    pub help: &'static str,
}

/// What holds if a setting is not given.
#[derive(Debug, Clone, Copy)]
pub enum Fallback {
    /// This, as an operator would write it.
    Value(&'static str),
    /// What the setting of this name has; it stands earlier in the table.
    Of(&'static str),
    /// What is worked out at start: how, in words.
    Derived(&'static str),
    /// Nothing: there is none.
    Nothing,
}

/// Who wants to know of a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// Everybody who runs a gateway.
    Basic,
    /// Whoever has measured something and has a reason.
    Advanced,
}

/// No time is longer than a day: nobody means to wait for longer, and the wheel stays exact far beyond it.
const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// From two ticks of the wheel to a day.
const TIME: Kind = Kind::Number {
    unit: Unit::Milliseconds,
    least: 10,
    most: DAY_MS,
};

/// A time that may also be none.
const TIME_OR_NONE: Kind = Kind::Number {
    unit: Unit::Milliseconds,
    least: 0,
    most: DAY_MS,
};

/// Every setting, the basic ones first, in the order in which help and documentation show them.
pub const SETTINGS: &[Setting] = &[
    Setting {
        name: "CONFIG_FILE",
        kind: Kind::Path,
        default: Fallback::Nothing,
        rule: Some("not in the file itself"),
        audience: Basic,
        reload: false,
        help: "A file in TOML with settings, for what neither a flag nor a variable says; at most 1 MiB.",
    },
    Setting {
        name: "LISTEN_ADDR",
        kind: Kind::Address,
        default: Fallback::Value("127.0.0.1:8002"),
        rule: Some("a loopback address unless there are credentials or ALLOW_UNAUTHENTICATED is 1"),
        audience: Basic,
        reload: false,
        help: "The address and port to accept connections on; port 0 takes a free one.",
    },
    Setting {
        name: "ALLOW_UNAUTHENTICATED",
        kind: Kind::Switch,
        default: Fallback::Value("0"),
        rule: None,
        audience: Basic,
        reload: false,
        help: "Whether LISTEN_ADDR may be reached from other machines although nobody has to prove who they are.",
    },
    Setting {
        name: "AUTH_JWT_SECRET",
        kind: Kind::Secret {
            least: 8,
            spaces: true,
        },
        default: Fallback::Nothing,
        rule: Some("never a flag, which every process could read"),
        audience: Basic,
        reload: true,
        help: "What the tokens of glasses must be signed with (HS256), their claim email being the user; without it and APPS_FILE anybody may connect, with APPS_FILE alone no glasses may.",
    },
    Setting {
        name: "AUTH_JWT_SECRET_FILE",
        kind: Kind::Path,
        default: Fallback::Nothing,
        rule: Some("not beside AUTH_JWT_SECRET"),
        audience: Basic,
        reload: true,
        help: "A file whose content, without white space at its end, is that secret.",
    },
    Setting {
        name: "APPS_FILE",
        kind: Kind::Path,
        default: Fallback::Nothing,
        rule: None,
        audience: Basic,
        reload: true,
        help: "A file with the apps that may connect, a JSON array of objects with package, api_key and perhaps webhook_url and may_send, at most 16 MiB; without it and AUTH_JWT_SECRET anybody may connect, with AUTH_JWT_SECRET alone no app may.",
    },
    Setting {
        name: "APP_ADMISSION",
        kind: Kind::Word(&["started", "key"]),
        default: Fallback::Value("started"),
        rule: None,
        audience: Basic,
        reload: true,
        help: "Whether an app with the right key is let into a session only if that user started it, or always; without credentials it always is.",
    },
    Setting {
        name: "ALLOWED_ORIGINS",
        kind: Kind::Origins,
        default: Fallback::Nothing,
        rule: None,
        audience: Basic,
        reload: true,
        help: "The web pages that may connect, told by the header Origin, which clients that are no browsers rarely send; with credentials none given means all, without them none but those of an IP address or localhost that is the request's own Host.",
    },
    Setting {
        name: "ADMIN_ADDR",
        kind: Kind::AddressOrOff,
        default: Fallback::Value("127.0.0.1:9002"),
        rule: Some("a loopback address unless there is a token; not where LISTEN_ADDR is"),
        audience: Basic,
        reload: false,
        help: "The address and port of the operator's endpoints; port 0 takes a free one.",
    },
    Setting {
        name: "ADMIN_TOKEN",
        kind: Kind::Secret {
            least: 16,
            spaces: false,
        },
        default: Fallback::Nothing,
        rule: Some("never a flag, which every process could read"),
        audience: Basic,
        reload: false,
        help: "The token that a request to ADMIN_ADDR must bring; without one, whoever reaches it is let in.",
    },
    Setting {
        name: "ADMIN_TOKEN_FILE",
        kind: Kind::Path,
        default: Fallback::Nothing,
        rule: Some("not beside ADMIN_TOKEN"),
        audience: Basic,
        reload: false,
        help: "A file whose content, without white space at its end, is the token.",
    },
    Setting {
        name: "HEARTBEAT_INTERVAL_MS",
        kind: TIME,
        default: Fallback::Value("15000"),
        rule: None,
        audience: Basic,
        reload: true,
        help: "The time from one ping to the next, for every class without an interval of its own.",
    },
    Setting {
        name: "CONNECTION_TIMEOUT_MS",
        kind: TIME,
        default: Fallback::Value("45000"),
        rule: Some("more than the heartbeat interval"),
        audience: Basic,
        reload: true,
        help: "The silence after which a connection is stale and closed, for every class without a timeout of its own.",
    },
    Setting {
        name: "STATS_INTERVAL_MS",
        kind: TIME,
        default: Fallback::Value("60000"),
        rule: None,
        audience: Basic,
        reload: true,
        help: "The time from one line of statistics in the log to the next.",
    },
    Setting {
        name: "MAX_CONNECTIONS",
        kind: Kind::Number {
            unit: Unit::Connections,
            least: 1,
            most: 10_000_000,
        },
        default: Fallback::Derived("what the limit of file descriptors allows"),
        rule: None,
        audience: Basic,
        reload: true,
        help: "How many connections are held at once; one more is answered with HTTP 503 and Retry-After.",
    },
    Setting {
        name: "MAX_MESSAGE_BYTES",
        kind: Kind::Number {
            unit: Unit::Bytes,
            // The largest control frame (RFC 6455 §5.5): the limit holds for frames of every kind.
            least: 125,
            most: 64 << 20,
        },
        default: Fallback::Value("1048576"),
        rule: None,
        audience: Basic,
        reload: true,
        help: "The largest message, and the largest frame, that a peer may send; a larger one is answered with close code 1009.",
    },
    Setting {
        name: "LOG_LEVEL",
        kind: Kind::Word(&["error", "warn", "info", "debug", "trace"]),
        default: Fallback::Value("info"),
        rule: None,
        audience: Basic,
        reload: true,
        help: "The least important lines that are still logged; what libraries say of payloads is logged at no level.",
    },
    Setting {
        name: "LOG_FORMAT",
        kind: Kind::Word(&["text", "json"]),
        default: Fallback::Value("text"),
        rule: None,
        audience: Basic,
        reload: false,
        help: "Whether a log line is text, or a JSON object with time, level and message.",
    },
    Setting {
        name: "DRAIN_MS",
        kind: TIME_OR_NONE,
        default: Fallback::Value("1000"),
        rule: None,
        audience: Basic,
        reload: true,
        help: "The time over which the connections are closed evenly, with close code 1012, after SIGTERM or SIGINT.",
    },
    Setting {
        name: "GLASSES_GRACE_MS",
        kind: TIME_OR_NONE,
        default: Fallback::Value("60000"),
        rule: None,
        audience: Basic,
        reload: true,
        help: "How long a session waits for glasses that were lost; 0 is not at all.",
    },
    Setting {
        name: "TPA_GRACE_MS",
        kind: TIME_OR_NONE,
        default: Fallback::Value("15000"),
        rule: None,
        audience: Basic,
        reload: true,
        help: "How long a session waits for a third-party app that was lost, before it is started again; 0 is not at all.",
    },
    Setting {
        name: "APP_WEBSOCKET_URL",
        kind: Kind::WebSocketUrl,
        default: Fallback::Derived("ws://LISTEN_ADDR/app-ws"),
        rule: None,
        audience: Basic,
        reload: false,
        help: "The address that third-party apps are told to connect to when they are started.",
    },
    Setting {
        name: "STATE_FILE",
        kind: Kind::Path,
        default: Fallback::Nothing,
        rule: None,
        audience: Basic,
        reload: false,
        help: "A file, in a folder that is there, in which is kept which apps were started for whom, so that they are started again after a restart.",
    },
    Setting {
        name: "ALERTS",
        kind: Kind::Word(&["off", "on"]),
        default: Fallback::Value("on"),
        rule: None,
        audience: Basic,
        reload: true,
        help: "Whether the gateway watches itself and tells of trouble in its log, at /api/v1/alerts and to ALERT_WEBHOOK_URL.",
    },
    Setting {
        name: "ALERT_WEBHOOK_URL",
        kind: Kind::SecretUrl,
        default: Fallback::Nothing,
        rule: Some("never a flag, which every process could read"),
        audience: Basic,
        reload: true,
        help: "Where alerts are posted as JSON, in the form in which Alertmanager posts them; shown as little as a password.",
    },
    Setting {
        name: "DRAIN_DELAY_MS",
        kind: TIME_OR_NONE,
        default: Fallback::Value("0"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "How long after SIGTERM or SIGINT connections are still accepted, while /healthz already answers 503.",
    },
    Setting {
        name: "GLASSES_HEARTBEAT_INTERVAL_MS",
        kind: TIME,
        default: Fallback::Of("HEARTBEAT_INTERVAL_MS"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "The time from one ping to the next, for glasses.",
    },
    Setting {
        name: "GLASSES_CONNECTION_TIMEOUT_MS",
        kind: TIME,
        default: Fallback::Of("CONNECTION_TIMEOUT_MS"),
        rule: Some("more than the heartbeat interval of glasses"),
        audience: Advanced,
        reload: true,
        help: "The silence after which a connection of glasses is stale and closed.",
    },
    Setting {
        name: "TPA_HEARTBEAT_INTERVAL_MS",
        kind: TIME,
        default: Fallback::Of("HEARTBEAT_INTERVAL_MS"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "The time from one ping to the next, for third-party apps.",
    },
    Setting {
        name: "TPA_CONNECTION_TIMEOUT_MS",
        kind: TIME,
        default: Fallback::Of("CONNECTION_TIMEOUT_MS"),
        rule: Some("more than the heartbeat interval of third-party apps"),
        audience: Advanced,
        reload: true,
        help: "The silence after which a connection of a third-party app is stale and closed.",
    },
    Setting {
        name: "TPA_INIT_TIMEOUT_MS",
        kind: TIME,
        default: Fallback::Value("10000"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "How long a third-party app may take to say who it is after it has connected; then it is closed with code 3008.",
    },
    Setting {
        name: "HEARTBEAT_MODE",
        kind: Kind::Word(&["always", "idle"]),
        default: Fallback::Value("always"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "Whether a ping goes out every interval, or only when nothing was heard for an interval.",
    },
    Setting {
        name: "GLASSES_SUBPROTOCOLS",
        kind: Kind::Subprotocols,
        default: Fallback::Value("any"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "The subprotocols (Sec-WebSocket-Protocol) that glasses may speak, the preferred one first; the first that the client offers is chosen, with any the client's first.",
    },
    Setting {
        name: "GLASSES_SUBPROTOCOL_REQUIRED",
        kind: Kind::Switch,
        default: Fallback::Value("0"),
        rule: Some("0 if GLASSES_SUBPROTOCOLS is none"),
        audience: Advanced,
        reload: true,
        help: "Whether glasses that offer no accepted subprotocol are refused with HTTP 400; otherwise they get a connection without one.",
    },
    Setting {
        name: "TPA_SUBPROTOCOLS",
        kind: Kind::Subprotocols,
        default: Fallback::Value("any"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "The subprotocols (Sec-WebSocket-Protocol) that third-party apps may speak, the preferred one first; the first that the client offers is chosen, with any the client's first.",
    },
    Setting {
        name: "TPA_SUBPROTOCOL_REQUIRED",
        kind: Kind::Switch,
        default: Fallback::Value("0"),
        rule: Some("0 if TPA_SUBPROTOCOLS is none"),
        audience: Advanced,
        reload: true,
        help: "Whether third-party apps that offer no accepted subprotocol are refused with HTTP 400; otherwise they get a connection without one.",
    },
    Setting {
        name: "HANDSHAKE_TIMEOUT_MS",
        kind: TIME,
        default: Fallback::Value("10000"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "How long a request may take from the accepted connection to its answer; then it is answered with HTTP 408, or closed silently if nothing of it has come.",
    },
    Setting {
        name: "MAX_HEAD_BYTES",
        kind: Kind::Number {
            unit: Unit::Bytes,
            least: Config::HEAD_LEAST as u64,
            most: Config::HEAD_MOST as u64,
        },
        default: Fallback::Value("16384"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "The longest head of a request, its cookies and tokens included; a longer one is answered with HTTP 431.",
    },
    Setting {
        name: "CLOSE_TIMEOUT_MS",
        kind: TIME,
        default: Fallback::Value("2000"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "How long a peer may take to answer a close frame before its connection is dropped; while it still takes bytes the time begins anew, ten times as long in all.",
    },
    Setting {
        name: "MAX_PENDING_BYTES",
        kind: Kind::Number {
            unit: Unit::Bytes,
            // What a socket's buffers hold by default; below, a peer that is merely far away would be called slow.
            least: 64 << 10,
            most: 1 << 30,
        },
        default: Fallback::Derived("4194304, or twice MAX_MESSAGE_BYTES if that is more"),
        rule: Some("at least MAX_MESSAGE_BYTES and 14 more"),
        audience: Advanced,
        reload: true,
        help: "The bytes that may wait for one peer to read them; a peer that stays above it for SLOW_CONSUMER_MS without reading a byte is a slow consumer and closed with code 1013, and at twice as many at once.",
    },
    Setting {
        name: "SLOW_CONSUMER_MS",
        kind: TIME,
        default: Fallback::Value("1000"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "How long more than MAX_PENDING_BYTES may wait for a peer that reads nothing of it.",
    },
    Setting {
        name: "MAX_BUFFERED_BYTES",
        kind: Kind::Number {
            unit: Unit::Bytes,
            least: 64 << 10,
            most: 1 << 40,
        },
        default: Fallback::Derived("what memory allows"),
        rule: Some("at least MAX_PENDING_BYTES"),
        audience: Advanced,
        reload: true,
        help: "The bytes that may be held for all connections together: received and unsent, frames kept for a replay, subscriptions, and places without a connection; peers may use a sixteenth of it before their first accepted message.",
    },
    Setting {
        name: "STALE_CLOSES_PER_SECOND",
        kind: Kind::Number {
            unit: Unit::PerSecond,
            least: 0,
            most: 1_000_000,
        },
        default: Fallback::Value("5000"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "How many stale connections are closed in a second, so that a network that comes back finds its peers alive; 0 is no limit.",
    },
    Setting {
        name: "REPLAY_MAX_MESSAGES",
        kind: Kind::Number {
            unit: Unit::Messages,
            least: 0,
            most: 100_000,
        },
        default: Fallback::Value("256"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "How many messages wait for a peer that was lost, the oldest being dropped first; 0 is none.",
    },
    Setting {
        name: "REPLAY_MAX_BYTES",
        kind: Kind::Number {
            unit: Unit::Bytes,
            least: 0,
            most: 64 << 20,
        },
        default: Fallback::Derived("262144, or half of MAX_PENDING_BYTES if that is less"),
        rule: Some("at most half of MAX_PENDING_BYTES"),
        audience: Advanced,
        reload: true,
        help: "How many bytes of messages wait for a peer that was lost, the oldest being dropped first.",
    },
    Setting {
        name: "REPLAY_MAX_AGE_MS",
        kind: TIME_OR_NONE,
        default: Fallback::Value("30000"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "How long a message waits for a peer that was lost.",
    },
    Setting {
        name: "REPLAY_SKIP",
        kind: Kind::FrameTypes,
        default: Fallback::Value("VAD,location_update,head_position"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "The types of frames that do not wait for a peer that was lost, besides binary ones, because they tell of a moment that has passed.",
    },
    Setting {
        name: "REPLAY_UNCONFIRMED",
        kind: Kind::Word(&["off", "on"]),
        default: Fallback::Value("off"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "Whether messages that were written to a peer before it was lost, and that no later pong has confirmed, are sent again, perhaps a second time, or given up, perhaps for good.",
    },
    Setting {
        name: "FLAPPING_LIMIT",
        kind: Kind::Number {
            unit: Unit::PerMinute,
            least: 0,
            most: 100_000,
        },
        default: Fallback::Value("15"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "How often one identity may come back or be taken over in a minute before it is slowed down; 0 is no limit.",
    },
    Setting {
        name: "WEBHOOK_TIMEOUT_MS",
        kind: TIME,
        default: Fallback::Value("10000"),
        rule: None,
        audience: Advanced,
        reload: false,
        help: "How long a third-party app may take to answer when it is started or stopped.",
    },
    Setting {
        name: "WEBHOOK_ALLOW",
        kind: Kind::Networks,
        default: Fallback::Derived("all but link-local and metadata addresses"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "The networks that webhooks of third-party apps may go to, checked after the name was resolved; link-local and metadata addresses only if a network within those is named.",
    },
    Setting {
        name: "REUSE_PORT",
        kind: Kind::Switch,
        default: Fallback::Value("0"),
        rule: None,
        audience: Advanced,
        reload: false,
        help: "Whether other processes of the same user may listen on the same address and share its connections (SO_REUSEPORT).",
    },
    Setting {
        name: "PROXY_PROTOCOL",
        kind: Kind::Word(&["off", "v1", "v2"]),
        default: Fallback::Value("off"),
        rule: Some("off unless TRUSTED_PROXIES names one"),
        audience: Advanced,
        reload: false,
        help: "Whether connections to LISTEN_ADDR begin with a header in which a proxy says whose they are, and in which version.",
    },
    Setting {
        name: "TRUSTED_PROXIES",
        kind: Kind::Networks,
        default: Fallback::Nothing,
        rule: None,
        audience: Advanced,
        reload: true,
        help: "The proxies whose word on whose a connection is counts.",
    },
    Setting {
        name: "AUTH_JWT_LEEWAY_MS",
        kind: TIME_OR_NONE,
        default: Fallback::Value("5000"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "How long a token of glasses counts before its claim nbf and after its claim exp, since the clock of the machine that signs it may differ.",
    },
    Setting {
        name: "ADMIN_HOSTS",
        kind: Kind::HostNames,
        default: Fallback::Nothing,
        rule: None,
        audience: Advanced,
        reload: false,
        help: "The names, beside localhost, under which ADMIN_ADDR may be asked without a token; other names are refused there, because a web page can make its own lead to it.",
    },
    Setting {
        name: "ALERT_INTERVAL_MS",
        kind: TIME,
        default: Fallback::Value("10000"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "How often the rules of alerts are looked at.",
    },
    Setting {
        name: "ALERT_WINDOW_MS",
        kind: TIME,
        default: Fallback::Value("60000"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "The time over which alerts count events and take percentiles.",
    },
    Setting {
        name: "ALERT_RESOLVE_MS",
        kind: TIME_OR_NONE,
        default: Fallback::Value("60000"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "How long a value must be below four fifths of its threshold before its alert is resolved.",
    },
    Setting {
        name: "ALERT_REPEAT_MS",
        kind: TIME,
        default: Fallback::Value("14400000"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "How often an alert that still fires is posted again.",
    },
    Setting {
        name: "ALERT_MIN_CONNECTIONS",
        kind: Kind::Number {
            unit: Unit::Connections,
            least: 1,
            most: 10_000_000,
        },
        default: Fallback::Value("50"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "With fewer connections, or measured heartbeats, no share and no percentile raises an alert.",
    },
    Setting {
        name: "ALERT_SUSPECTS_PERCENT",
        kind: Kind::Number {
            unit: Unit::Percent,
            least: 0,
            most: 100,
        },
        default: Fallback::Value("10"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "many_suspects: how many of a class are suspect, in percent of its connections; 0 is off.",
    },
    Setting {
        name: "ALERT_SUSPECTS_FOR_MS",
        kind: TIME_OR_NONE,
        default: Fallback::Value("120000"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "many_suspects: for how long.",
    },
    Setting {
        name: "ALERT_STALE_PERCENT",
        kind: Kind::Number {
            unit: Unit::Percent,
            least: 0,
            most: 100,
        },
        default: Fallback::Value("5"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "stale_closes: how many of a class were closed as stale within ALERT_WINDOW_MS, in percent of those that there were; 0 is off.",
    },
    Setting {
        name: "ALERT_STALE_MIN",
        kind: Kind::Number {
            unit: Unit::Connections,
            least: 1,
            most: 10_000_000,
        },
        default: Fallback::Value("50"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "stale_closes: and at least so many.",
    },
    Setting {
        name: "ALERT_STALE_FOR_MS",
        kind: TIME_OR_NONE,
        default: Fallback::Value("60000"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "stale_closes: for how long.",
    },
    Setting {
        name: "ALERT_MASS_DEATH",
        kind: Kind::Number {
            unit: Unit::Connections,
            least: 0,
            most: 10_000_000,
        },
        default: Fallback::Value("50"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "mass_death: how many identities of one class or address block (/24, /48) are lost within ALERT_MASS_DEATH_WINDOW_MS; 0 is off.",
    },
    Setting {
        name: "ALERT_MASS_DEATH_PERCENT",
        kind: Kind::Number {
            unit: Unit::Percent,
            least: 0,
            most: 100,
        },
        default: Fallback::Value("2"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "mass_death: and at least so many percent of the class, or for a block of all connections.",
    },
    Setting {
        name: "ALERT_MASS_DEATH_WINDOW_MS",
        kind: TIME,
        default: Fallback::Value("20000"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "mass_death: within what time.",
    },
    Setting {
        name: "ALERT_RTT_MS",
        kind: TIME_OR_NONE,
        default: Fallback::Value("5000"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "rtt_high: the round-trip time of heartbeats that one in a hundred exceeds within ALERT_WINDOW_MS; 0 is off.",
    },
    Setting {
        name: "ALERT_RTT_FOR_MS",
        kind: TIME_OR_NONE,
        default: Fallback::Value("300000"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "rtt_high: for how long.",
    },
    Setting {
        name: "ALERT_FLAPPING",
        kind: Kind::Number {
            unit: Unit::Identities,
            least: 0,
            most: 10_000,
        },
        default: Fallback::Value("1"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "flapping: how many identities of one package, or glasses, are slowed by FLAPPING_LIMIT; 0 is off.",
    },
    Setting {
        name: "ALERT_FLAPPING_FOR_MS",
        kind: TIME_OR_NONE,
        default: Fallback::Value("0"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "flapping: for how long.",
    },
    Setting {
        name: "ALERT_APP_DOWN",
        kind: Kind::Switch,
        default: Fallback::Value("1"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "app_down: whether an alert tells of an app whose webhooks fail.",
    },
    Setting {
        name: "ALERT_APP_DOWN_FOR_MS",
        kind: TIME_OR_NONE,
        default: Fallback::Value("60000"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "app_down: for how long its server is taken to be down.",
    },
    Setting {
        name: "ALERT_STALLS",
        kind: Kind::Number {
            unit: Unit::Stalls,
            least: 0,
            most: 10_000,
        },
        default: Fallback::Value("1"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "loop_stalls: how many stalls within ALERT_WINDOW_MS; 0 is off.",
    },
    Setting {
        name: "ALERT_CAPACITY_PERCENT",
        kind: Kind::Number {
            unit: Unit::Percent,
            least: 0,
            most: 100,
        },
        default: Fallback::Value("90"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "near_capacity: connections in percent of MAX_CONNECTIONS; 0 is off.",
    },
    Setting {
        name: "ALERT_REFUSED",
        kind: Kind::Number {
            unit: Unit::Connections,
            least: 0,
            most: 10_000_000,
        },
        default: Fallback::Value("1"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "at_capacity: how many newcomers are refused within ALERT_WINDOW_MS because of MAX_CONNECTIONS; 0 is off.",
    },
    Setting {
        name: "ALERT_FDS_PERCENT",
        kind: Kind::Number {
            unit: Unit::Percent,
            least: 0,
            most: 100,
        },
        default: Fallback::Value("90"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "fds_near_limit: open file descriptors in percent of their limit; 0 is off.",
    },
    Setting {
        name: "ALERT_MEMORY_PERCENT",
        kind: Kind::Number {
            unit: Unit::Percent,
            least: 0,
            most: 100,
        },
        default: Fallback::Value("90"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "memory_near_limit: memory in percent of the nearest limit, of the cgroup, the process or the machine; 0 is off.",
    },
    Setting {
        name: "ALERT_LIMITS_FOR_MS",
        kind: TIME_OR_NONE,
        default: Fallback::Value("60000"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "near_capacity, fds_near_limit and memory_near_limit: for how long.",
    },
    Setting {
        name: "ALERT_STORM_PERCENT",
        kind: Kind::Number {
            unit: Unit::Percent,
            least: 0,
            most: 10_000,
        },
        default: Fallback::Value("50"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "reconnect_storm: how many connections are opened, and as many ended, within ALERT_WINDOW_MS, in percent of those that there are; 0 is off.",
    },
    Setting {
        name: "ALERT_STORM_FOR_MS",
        kind: TIME_OR_NONE,
        default: Fallback::Value("180000"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "reconnect_storm: for how long.",
    },
];

/// The row of the setting `name`. In a `const` block a name that is not in the table does not compile.
///
/// # Panics
/// If there is no such setting.
pub(super) const fn row(name: &str) -> usize {
    let mut row = 0;
    while row < SETTINGS.len() {
        if same(SETTINGS[row].name.as_bytes(), name.as_bytes()) {
            return row;
        }
        row += 1;
    }
    panic!("no such setting");
}

/// `==` on slices is not `const` yet.
const fn same(a: &[u8], b: &[u8]) -> bool {
    let mut i = 0;
    while i < a.len() && i < b.len() && a[i] == b[i] {
        i += 1;
    }
    i == a.len() && i == b.len()
}

impl Setting {
    /// The flag, with its dashes: `--heartbeat-interval-ms` for `HEARTBEAT_INTERVAL_MS`. A secret has none.
    pub fn flag(&self) -> Option<String> {
        match self.kind {
            Kind::Secret { .. } | Kind::SecretUrl => None,
            Kind::Number { .. }
            | Kind::Word(_)
            | Kind::Switch
            | Kind::Address
            | Kind::AddressOrOff
            | Kind::Path
            | Kind::Networks
            | Kind::Origins
            | Kind::FrameTypes
            | Kind::Subprotocols
            | Kind::HostNames
            | Kind::WebSocketUrl => Some(self.dashed()),
        }
    }

    /// What its flag is, or would be.
    pub(super) fn dashed(&self) -> String {
        format!("--{}", self.key().replace('_', "-"))
    }

    /// The name in small letters, as in a log line and in the file: `heartbeat_interval_ms`.
    pub fn key(&self) -> String {
        self.name.to_ascii_lowercase()
    }

    /// Every value that is allowed, in words.
    pub fn allowed(&self) -> String {
        match self.rule {
            Some(rule) => format!("{}; {rule}", self.kind),
            None => self.kind.to_string(),
        }
    }
}

impl fmt::Display for Fallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Fallback::Value(text) | Fallback::Of(text) | Fallback::Derived(text) => text,
            Fallback::Nothing => "none",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_an_allowed_value_in_its_own_words() {
        for setting in SETTINGS {
            if let Fallback::Value(text) = setting.default {
                let value = setting.kind.parse(text).expect(setting.name);
                assert_eq!(value.to_string(), text, "{}", setting.name);
            }
        }
    }

    #[test]
    fn what_a_default_refers_to_stands_earlier_and_is_of_the_same_kind() {
        for (at, setting) in SETTINGS.iter().enumerate() {
            if let Fallback::Of(name) = setting.default {
                assert!(row(name) < at, "{}", setting.name);
                assert_eq!(
                    SETTINGS[row(name)].kind.to_string(),
                    setting.kind.to_string()
                );
            }
        }
    }

    #[test]
    fn the_bounds_themselves_are_allowed_and_their_neighbours_are_not() {
        for setting in SETTINGS {
            let Kind::Number { least, most, .. } = setting.kind else {
                continue;
            };
            for (number, allowed) in [
                (Some(least), true),
                (Some(most), true),
                (least.checked_sub(1), false),
                (Some(most + 1), false),
                (Some(u64::MAX), false),
            ] {
                let Some(number) = number else { continue };
                let parsed = setting.kind.parse(&number.to_string());
                assert_eq!(parsed.is_some(), allowed, "{}={number}", setting.name);
            }
        }
    }
}
