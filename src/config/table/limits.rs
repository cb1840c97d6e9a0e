//! The settings that limit what connections use.

use super::bounds::{CONNECTIONS, TIME};
use super::setting::Audience::{Advanced, Basic};
use super::setting::{Fallback, Setting};
use crate::config::kinds::{Kind, Unit};
use crate::engine::Config;

/// The number of connections and the size of messages.
pub(super) const BASIC: &[Setting] = &[
    Setting {
        name: "MAX_CONNECTIONS",
        kind: CONNECTIONS,
        default: Fallback::Derived("what the limit of file descriptors allows"),
        rule: None,
        audience: Basic,
        reload: true,
        help: "How many connections are held at once; one more is answered with HTTP 503 and \
               Retry-After.",
    },
    Setting {
        name: "MAX_MESSAGE_BYTES",
        kind: Kind::Number {
            unit: Unit::Bytes,
            // The largest control frame (RFC 6455 §5.5): the limit applies to frames of every kind.
            least: 125,
            most: 64 << 20,
        },
        default: Fallback::Value("1048576"),
        rule: None,
        audience: Basic,
        reload: true,
        help: "The largest message, and the largest frame, that a peer may send; a larger one is \
               answered with close code 1009.",
    },
];

/// Time limits and buffers of a connection.
pub(super) const ADVANCED: &[Setting] = &[
    Setting {
        name: "HANDSHAKE_TIMEOUT_MS",
        kind: TIME,
        default: Fallback::Value("10000"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "How long a request may take from the accepted connection to its answer; then it is \
               answered with HTTP 408, or closed silently if nothing of it has come.",
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
        help: "The longest head of a request, its cookies and tokens included; a longer one is \
               answered with HTTP 431.",
    },
    Setting {
        name: "CLOSE_TIMEOUT_MS",
        kind: TIME,
        default: Fallback::Value("2000"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "How long a peer may take to answer a close frame before its connection is dropped; \
               while it still takes bytes the time begins anew, ten times as long in all.",
    },
    Setting {
        name: "MAX_PENDING_BYTES",
        kind: Kind::Number {
            unit: Unit::Bytes,
            // The default size of a socket's buffers. With less, a distant peer would count as
            // slow.
            least: 64 << 10,
            most: 1 << 30,
        },
        default: Fallback::Derived("4194304, or twice MAX_MESSAGE_BYTES if that is more"),
        rule: Some("at least MAX_MESSAGE_BYTES and 10 more"),
        audience: Advanced,
        reload: true,
        help: "The bytes that may wait for one peer to read them; a peer that stays above it for \
               SLOW_CONSUMER_MS without reading a byte is a slow consumer and closed with code \
               1013, and at twice as many at once.",
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
        help: "The bytes that may be held for all connections together: received and unsent, \
               frames kept for a replay, subscriptions, and places without a connection; peers may \
               use a sixteenth of it before their first accepted message.",
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
        help: "How many stale connections are closed in a second, so that a network that comes \
               back finds its peers alive; 0 is no limit.",
    },
];
