//! The settings that limit what connections use.

use super::bounds::{CONNECTIONS, TIME};
use super::definition::Audience::{Advanced, Basic};
use super::definition::{Fallback, Setting};
use crate::config::value_kind::{Unit, ValueKind};
use crate::engine::Config;

/// Settings of the number of connections and the size of messages.
pub(super) const BASIC: &[Setting] = &[
    Setting {
        name: "MAX_CONNECTIONS",
        kind: CONNECTIONS,
        default: Fallback::Derived("what the limit of file descriptors allows"),
        rule: None,
        audience: Basic,
        reload: true,
        help: "The most connections at one time. Further clients are answered with HTTP 503 and \
               Retry-After.",
    },
    Setting {
        name: "MAX_MESSAGE_BYTES",
        kind: ValueKind::Number {
            unit: Unit::Bytes,
            // The largest control frame (RFC 6455 §5.5): the limit applies to frames of every kind.
            min: 125,
            max: 64 << 20,
        },
        default: Fallback::Value("1048576"),
        rule: None,
        audience: Basic,
        reload: true,
        help: "The largest message, and the largest frame, that a peer may send; a larger one \
               closes its connection with code 1009.",
    },
];

/// Settings of time limits and buffers of a connection.
pub(super) const ADVANCED: &[Setting] = &[
    Setting {
        name: "HANDSHAKE_TIMEOUT_MS",
        kind: TIME,
        default: Fallback::Value("10000"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "How long it may take from an accepted connection to the answer to its request. \
               After that the answer is HTTP 408; if no byte of a request has arrived, the \
               connection is closed without an answer.",
    },
    Setting {
        name: "MAX_HEAD_BYTES",
        kind: ValueKind::Number {
            unit: Unit::Bytes,
            min: Config::HEAD_MIN as u64,
            max: Config::HEAD_MAX as u64,
        },
        default: Fallback::Value("16384"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "The longest head of a request, including its cookies and tokens; a longer one is \
               answered with HTTP 431.",
    },
    Setting {
        name: "CLOSE_TIMEOUT_MS",
        kind: TIME,
        default: Fallback::Value("2000"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "How long a peer may take to answer a close frame before its connection is dropped. \
               The time restarts whenever the peer reads data, up to ten times this time in all.",
    },
    Setting {
        name: "MAX_PENDING_BYTES",
        kind: ValueKind::Number {
            unit: Unit::Bytes,
            // The default size of a socket's buffers. With less, a distant peer would count as
            // slow.
            min: 64 << 10,
            max: 1 << 30,
        },
        default: Fallback::Derived("4194304, or twice MAX_MESSAGE_BYTES if that is more"),
        rule: Some("at least 10 bytes more than MAX_MESSAGE_BYTES"),
        audience: Advanced,
        reload: true,
        help: "The most bytes that may wait to be sent to one peer. A peer above this limit that \
               reads nothing for SLOW_CONSUMER_MS is closed with code 1013; at twice the limit it \
               is closed at once.",
    },
    Setting {
        name: "SLOW_CONSUMER_MS",
        kind: TIME,
        default: Fallback::Value("1000"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "How long a peer above MAX_PENDING_BYTES may read nothing before it is closed with \
               code 1013.",
    },
    Setting {
        name: "MAX_BUFFERED_BYTES",
        kind: ValueKind::Number {
            unit: Unit::Bytes,
            min: 64 << 10,
            max: 1 << 40,
        },
        default: Fallback::Derived("what memory allows"),
        rule: Some("at least MAX_PENDING_BYTES"),
        audience: Advanced,
        reload: true,
        help: "The most bytes of memory for all connections together: received and unsent data, \
               messages kept for lost peers, subscriptions, and the state of lost peers. Peers \
               without an accepted message yet may use a sixteenth of it.",
    },
    Setting {
        name: "STALE_CLOSES_PER_SECOND",
        kind: ValueKind::Number {
            unit: Unit::PerSecond,
            min: 0,
            max: 1_000_000,
        },
        default: Fallback::Value("5000"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "How many stale connections are closed per second. After a network outage this \
               leaves peers time to answer before their turn comes; 0 is no limit.",
    },
];
