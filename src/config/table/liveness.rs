//! The settings of heartbeats, and of the silence that ends a connection.

use super::bounds::{ALIVE_BY, HEARTBEAT_MAX, TIME};
use super::definition::Audience::{Advanced, Basic};
use super::definition::{Fallback, Setting};
use crate::config::value_kind::ValueKind;

/// Settings that say how often a connection is pinged, and when it is stale.
pub(super) const BASIC: &[Setting] = &[
    Setting {
        name: "HEARTBEAT_INTERVAL_MS",
        kind: TIME,
        default: Fallback::Value("15000"),
        rule: None,
        audience: Basic,
        reload: true,
        help: "The time between two pings on a connection. GLASSES_HEARTBEAT_INTERVAL_MS and \
               APP_HEARTBEAT_INTERVAL_MS override it.",
    },
    Setting {
        name: "CONNECTION_TIMEOUT_MS",
        kind: TIME,
        default: Fallback::Value("45000"),
        rule: Some("more than the heartbeat interval"),
        audience: Basic,
        reload: true,
        help: "A connection on which nothing was received for this time is stale and is closed. \
               GLASSES_CONNECTION_TIMEOUT_MS and APP_CONNECTION_TIMEOUT_MS override it.",
    },
];

/// Settings of heartbeats for each class, and the mode of heartbeats.
pub(super) const ADVANCED: &[Setting] = &[
    Setting {
        name: "GLASSES_HEARTBEAT_INTERVAL_MS",
        kind: TIME,
        default: Fallback::SameAs("HEARTBEAT_INTERVAL_MS"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "The time between two pings on a connection of glasses.",
    },
    Setting {
        name: "GLASSES_CONNECTION_TIMEOUT_MS",
        kind: TIME,
        default: Fallback::SameAs("CONNECTION_TIMEOUT_MS"),
        rule: Some("more than the heartbeat interval of glasses"),
        audience: Advanced,
        reload: true,
        help: "A connection of glasses on which nothing was received for this time is stale and is \
               closed.",
    },
    Setting {
        name: "APP_HEARTBEAT_INTERVAL_MS",
        kind: TIME,
        default: Fallback::SameAs("HEARTBEAT_INTERVAL_MS"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "The time between two pings on a connection of a third-party app.",
    },
    Setting {
        name: "APP_CONNECTION_TIMEOUT_MS",
        kind: TIME,
        default: Fallback::SameAs("CONNECTION_TIMEOUT_MS"),
        rule: Some("more than the heartbeat interval of third-party apps"),
        audience: Advanced,
        reload: true,
        help: "A connection of a third-party app on which nothing was received for this time is \
               stale and is closed.",
    },
    Setting {
        name: "APP_INIT_TIMEOUT_MS",
        kind: TIME,
        default: Fallback::Value("10000"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "How long a third-party app may take after the WebSocket is open to send an accepted \
               first message; then it is closed with code 3008.",
    },
    Setting {
        name: "HEARTBEAT_MODE",
        kind: ValueKind::Word(&["always", "idle"]),
        default: Fallback::Value("always"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "always: a ping is sent every heartbeat interval. idle: a ping is sent only after an \
               interval in which nothing was received.",
    },
    Setting {
        name: "ALIVE_BY",
        kind: ALIVE_BY,
        default: Fallback::Value("any"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "What counts as received. any: everything, pongs too. data: only messages, because \
               a proxy in front may answer pings for a client that is gone. pong: only answers to \
               heartbeats.",
    },
    Setting {
        name: "GLASSES_ALIVE_BY",
        kind: ALIVE_BY,
        default: Fallback::SameAs("ALIVE_BY"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "The same as ALIVE_BY, for glasses.",
    },
    Setting {
        name: "APP_ALIVE_BY",
        kind: ALIVE_BY,
        default: Fallback::SameAs("ALIVE_BY"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "The same as ALIVE_BY, for third-party apps.",
    },
    Setting {
        name: "LATE",
        kind: ValueKind::Switch,
        default: Fallback::Value("1"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "Whether late heartbeats are found: those unanswered for longer than answers of that \
               peer usually take. They are counted, and the kernel's data about the connection is \
               kept until its end, for the API.",
    },
    Setting {
        name: "GLASSES_LATE",
        kind: ValueKind::Switch,
        default: Fallback::SameAs("LATE"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "The same as LATE, for glasses.",
    },
    Setting {
        name: "APP_LATE",
        kind: ValueKind::Switch,
        default: Fallback::SameAs("LATE"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "The same as LATE, for third-party apps.",
    },
    Setting {
        name: "ADAPTIVE_CADENCE",
        kind: ValueKind::Switch,
        default: Fallback::Value("0"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "Whether heartbeat intervals adapt: they grow up to what the connections of the same \
               network survive, and are short while a connection is at risk. HEARTBEAT_MAX_MS and \
               DETECT_WITHIN_MS limit them; nothing grows with the defaults. It needs LATE.",
    },
    Setting {
        name: "HEARTBEAT_MAX_MS",
        kind: HEARTBEAT_MAX,
        default: Fallback::Value("3600000"),
        rule: Some("at least HEARTBEAT_INTERVAL_MS, with ADAPTIVE_CADENCE"),
        audience: Advanced,
        reload: true,
        help: "The longest heartbeat interval that ADAPTIVE_CADENCE may choose.",
    },
    Setting {
        name: "DETECT_WITHIN_MS",
        kind: TIME,
        default: Fallback::Derived("CONNECTION_TIMEOUT_MS"),
        rule: Some("at least CONNECTION_TIMEOUT_MS"),
        audience: Advanced,
        reload: true,
        help: "With ADAPTIVE_CADENCE, a peer that is gone is found within this time: no heartbeat \
               interval becomes longer than a third of it.",
    },
    Setting {
        name: "CADENCE_FILE",
        kind: ValueKind::Path,
        default: Fallback::Absent,
        rule: Some("another file than STATE_FILE"),
        audience: Advanced,
        reload: false,
        help: "A file in which the gateway keeps what ADAPTIVE_CADENCE has learned, for the time \
               after a restart. It is written each five minutes and at the end. A file that cannot \
               be read or written is logged.",
    },
];
