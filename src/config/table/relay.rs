//! The settings of sessions between glasses and apps: graces, replays, webhooks, the state file.

use super::bounds::{TIME, TIME_OR_NONE};
use super::definition::Audience::{Advanced, Basic};
use super::definition::{Fallback, Setting};
use crate::config::value_kind::{Unit, ValueKind};

/// Settings of the wait for lost peers, and of the start of apps.
pub(super) const BASIC: &[Setting] = &[
    Setting {
        name: "GLASSES_GRACE_MS",
        kind: TIME_OR_NONE,
        default: Fallback::Value("60000"),
        rule: None,
        audience: Basic,
        reload: true,
        help: "How long a session waits for glasses to reconnect after their connection was lost; \
               0 is no wait.",
    },
    Setting {
        name: "APP_GRACE_MS",
        kind: TIME_OR_NONE,
        default: Fallback::Value("15000"),
        rule: None,
        audience: Basic,
        reload: true,
        help: "How long a session waits for a third-party app to reconnect after its connection \
               was lost; then the app is started again; 0 is no wait.",
    },
    Setting {
        name: "APP_WEBSOCKET_URL",
        kind: ValueKind::WebSocketUrl,
        default: Fallback::Derived("ws://LISTEN_ADDR/app-ws"),
        rule: None,
        audience: Basic,
        reload: false,
        help: "The WebSocket URL that the gateway gives to a third-party app when it starts the \
               app; the app connects to it.",
    },
    Setting {
        name: "STATE_FILE",
        kind: ValueKind::Path,
        default: Fallback::Absent,
        rule: None,
        audience: Basic,
        reload: false,
        help: "A file in which the gateway keeps which apps each user has started, to start them \
               again after a restart of the gateway. Its folder must exist.",
    },
];

/// Settings of replay, flapping and webhooks.
pub(super) const ADVANCED: &[Setting] = &[
    Setting {
        name: "REPLAY_MAX_MESSAGES",
        kind: ValueKind::Number {
            unit: Unit::Messages,
            min: 0,
            max: 100_000,
        },
        default: Fallback::Value("256"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "The most messages that are kept for a peer whose connection was lost, and sent when \
               it reconnects. Beyond the limit the oldest are dropped; 0 keeps none.",
    },
    Setting {
        name: "REPLAY_MAX_BYTES",
        kind: ValueKind::Number {
            unit: Unit::Bytes,
            min: 0,
            max: 64 << 20,
        },
        default: Fallback::Derived("262144, or half of MAX_PENDING_BYTES if that is less"),
        rule: Some("at most half of MAX_PENDING_BYTES"),
        audience: Advanced,
        reload: true,
        help: "The most bytes of messages that are kept for a peer whose connection was lost, and \
               sent when it reconnects. Beyond the limit the oldest are dropped.",
    },
    Setting {
        name: "REPLAY_MAX_AGE_MS",
        kind: TIME_OR_NONE,
        default: Fallback::Value("30000"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "How long a message is kept for a peer whose connection was lost; then it is \
               dropped.",
    },
    Setting {
        name: "REPLAY_SKIP",
        kind: ValueKind::FrameTypes,
        default: Fallback::Value("VAD,location_update,head_position"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "The types of JSON frames that are not kept for a peer whose connection was lost, \
               because they are out of date soon. Binary frames are never kept.",
    },
    Setting {
        name: "REPLAY_UNCONFIRMED",
        kind: ValueKind::Word(&["off", "on"]),
        default: Fallback::Value("off"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "Messages that were written to a connection before its loss, and not confirmed by a \
               later pong: on sends them again when the peer reconnects, and they may arrive \
               twice; off drops them, and they may be missing.",
    },
    Setting {
        name: "FLAPPING_LIMIT",
        kind: ValueKind::Number {
            unit: Unit::PerMinute,
            min: 0,
            max: 100_000,
        },
        default: Fallback::Value("15"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "How often a peer (a user's glasses, or one app of a user) may reconnect or be \
               replaced by its own newer connection in a minute. Above that, it is refused for a \
               while (HTTP 429); 0 is no limit.",
    },
    Setting {
        name: "WEBHOOK_TIMEOUT_MS",
        kind: TIME,
        default: Fallback::Value("10000"),
        rule: None,
        audience: Advanced,
        reload: false,
        help: "How long the server of a third-party app may take to answer the webhook that starts \
               or stops the app.",
    },
    Setting {
        name: "WEBHOOK_ALLOW",
        kind: ValueKind::Networks,
        default: Fallback::Derived("all but link-local and metadata addresses"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "The networks that webhooks of third-party apps may go to; the address is checked \
               after the name was resolved. Link-local and metadata addresses are allowed only by \
               a network inside their range: 0.0.0.0/0 does not allow them.",
    },
    Setting {
        name: "GLASSES_CONNECTION_STATE",
        kind: ValueKind::Switch,
        default: Fallback::Value("0"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "Whether third-party apps that subscribed to glasses_connection_state are told when \
               the connection of their glasses is lost, and when the glasses are back.",
    },
];
