//! The settings of sessions that outlive their connections.

use super::bounds::{TIME, TIME_OR_NONE};
use super::definition::Audience::{Advanced, Basic};
use super::definition::{Fallback, Setting};
use crate::config::value_kind::{Unit, ValueKind};

/// The setting that allows such sessions.
pub(super) const BASIC: &[Setting] = &[Setting {
    name: "PULSE",
    kind: ValueKind::Switch,
    default: Fallback::Value("0"),
    rule: None,
    audience: Basic,
    reload: true,
    help: "Whether clients of the bridge and of the relay may ask for sessions that outlive their \
           connections, with ?pulse=1 in the query. The client library is served at \
           /.well-known/pulsegate/pulse.js.",
}];

/// Settings of how long sessions wait for their clients, and of what they may take.
pub(super) const ADVANCED: &[Setting] = &[
    Setting {
        name: "HOLD_MS",
        kind: TIME_OR_NONE,
        default: Fallback::Value("60000"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "How long a session of the bridge waits for its client after the connection was \
               lost; 0: not at all. On the relay GLASSES_GRACE_MS and APP_GRACE_MS say it.",
    },
    Setting {
        name: "HOLDS_MAX",
        kind: ValueKind::Number {
            unit: Unit::Connections,
            min: 1,
            max: 10_000_000,
        },
        default: Fallback::Value("20000"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "The most sessions of the bridge that wait for their clients at one time; half of \
               MAX_CONNECTIONS at most. Then the oldest of the client or address with the most \
               gives way.",
    },
    Setting {
        name: "HOLD_MAX_BYTES",
        kind: ValueKind::Number {
            unit: Unit::Bytes,
            min: 64 << 10,
            max: 1 << 40,
        },
        default: Fallback::Value("67108864"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "The most bytes that are kept for sessions of the bridge that wait. From three \
               quarters on, the services of the heaviest clients are not read; at the limit the \
               heaviest hold ends.",
    },
    Setting {
        name: "HOLDS_PER_IDENTITY",
        kind: ValueKind::Number {
            unit: Unit::Connections,
            min: 1,
            max: 100_000,
        },
        default: Fallback::Value("8"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "The most sessions of the bridge that wait for one identity at one time; the oldest \
               gives way. Clients without an identity, or with one that nothing proves, share a \
               sixteenth of HOLDS_MAX per address.",
    },
    Setting {
        name: "PULSE_SESSION_MAX_MS",
        kind: TIME,
        default: Fallback::Value("3600000"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "The age after which a session of the bridge is not resumed any more: its client \
               gets a new one. On the relay there is no such limit.",
    },
    Setting {
        name: "CLIENT_REPORTS",
        kind: ValueKind::Word(&["off", "count", "keep"]),
        default: Fallback::Value("keep"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "What is done with reports of pulse clients about connections that ended. off: \
               clients are told to send none. count: they correct verdicts, and are not kept. \
               keep: they are kept beside the records of the connections, too.",
    },
    Setting {
        name: "ACCEPT_RATE",
        kind: ValueKind::Number {
            unit: Unit::Connections,
            min: 1,
            max: 1_000_000,
        },
        default: Fallback::Value("5000"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "How many clients a second may come back after all were lost at once. Pulse clients \
               spread their first tries over the number of connections divided by this.",
    },
];
