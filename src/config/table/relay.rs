//! The settings of sessions between glasses and apps: graces, replays, webhooks, the state file.

use super::bounds::{TIME, TIME_OR_NONE};
use super::setting::Audience::{Advanced, Basic};
use super::setting::{Fallback, Setting};
use crate::config::kinds::{Kind, Unit};

/// Waiting for lost peers, and starting apps.
pub(super) const BASIC: &[Setting] = &[
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
        name: "APP_GRACE_MS",
        kind: TIME_OR_NONE,
        default: Fallback::Value("15000"),
        rule: None,
        audience: Basic,
        reload: true,
        help: "How long a session waits for a third-party app that was lost, before it is started \
               again; 0 is not at all.",
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
        help: "A file, in an existing folder, that keeps which apps each user has started, so that \
               they are started again after a restart.",
    },
];

/// Replay, flapping and webhooks.
pub(super) const ADVANCED: &[Setting] = &[
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
        help: "How many messages wait for a peer that was lost, the oldest being dropped first; 0 \
               is none.",
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
        help: "How many bytes of messages wait for a peer that was lost, the oldest being dropped \
               first.",
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
        help: "The types of frames that do not wait for a peer that was lost, besides binary ones, \
               because they tell of a moment that has passed.",
    },
    Setting {
        name: "REPLAY_UNCONFIRMED",
        kind: Kind::Word(&["off", "on"]),
        default: Fallback::Value("off"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "Whether messages that were written to a peer before it was lost, and that no later \
               pong has confirmed, are sent again, perhaps a second time, or given up, perhaps for \
               good.",
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
        help: "How often one identity may come back or be taken over in a minute before it is \
               slowed down; 0 is no limit.",
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
        help: "The networks that webhooks of third-party apps may go to, checked after the name \
               was resolved; link-local and metadata addresses only if a network within those is \
               named.",
    },
];
