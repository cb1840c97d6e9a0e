//! The settings of heartbeats, and of the silence that ends a connection.

use super::bounds::TIME;
use super::setting::Audience::{Advanced, Basic};
use super::setting::{Fallback, Setting};
use crate::config::kinds::Kind;

/// How often a connection is pinged, and when it is stale.
pub(super) const BASIC: &[Setting] = &[
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
        help: "The silence after which a connection is stale and closed, for every class without a \
               timeout of its own.",
    },
];

/// The same for each class, and the mode of heartbeats.
pub(super) const ADVANCED: &[Setting] = &[
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
        name: "APP_HEARTBEAT_INTERVAL_MS",
        kind: TIME,
        default: Fallback::Of("HEARTBEAT_INTERVAL_MS"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "The time from one ping to the next, for third-party apps.",
    },
    Setting {
        name: "APP_CONNECTION_TIMEOUT_MS",
        kind: TIME,
        default: Fallback::Of("CONNECTION_TIMEOUT_MS"),
        rule: Some("more than the heartbeat interval of third-party apps"),
        audience: Advanced,
        reload: true,
        help: "The silence after which a connection of a third-party app is stale and closed.",
    },
    Setting {
        name: "APP_INIT_TIMEOUT_MS",
        kind: TIME,
        default: Fallback::Value("10000"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "How long a third-party app may take to introduce itself after it has connected; \
               then it is closed with code 3008.",
    },
    Setting {
        name: "HEARTBEAT_MODE",
        kind: Kind::Word(&["always", "idle"]),
        default: Fallback::Value("always"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "Whether a ping goes out every interval, or only when nothing was heard for an \
               interval.",
    },
];
