//! The settings of plain HTTP, which is passed to the services beside WebSockets.

use super::bounds::{CONNECTIONS, TIME};
use super::definition::Audience::Advanced;
use super::definition::{Fallback, Setting};
use crate::config::value_kind::ValueKind;

/// Settings of plain HTTP.
pub(super) const ADVANCED: &[Setting] = &[
    Setting {
        name: "HTTP_PASS",
        kind: ValueKind::Word(&["on", "off"]),
        default: Fallback::Value("on"),
        rule: None,
        audience: Advanced,
        reload: false,
        help: "Whether plain HTTP requests are passed to UPSTREAM and to the upstreams of routes. \
               off: they are answered with HTTP 426 or 405, and only WebSockets are passed.",
    },
    Setting {
        name: "HTTP_ANSWER_TIMEOUT_MS",
        kind: TIME,
        default: Fallback::Value("120000"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "How long an upstream may take from the end of a plain HTTP request to the head of \
               its answer; then the client is answered with HTTP 504.",
    },
    Setting {
        name: "HTTP_BODY_IDLE_MS",
        kind: TIME,
        default: Fallback::Value("300000"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "How long no byte of a body may pass, in either direction, before a plain HTTP \
               request is given up. A stream of events needs an event or a comment within this \
               time.",
    },
    Setting {
        name: "HTTP_KEEP_ALIVE_MS",
        kind: TIME,
        default: Fallback::Value("75000"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "How long a client's connection is kept after an answer until its next plain HTTP \
               request.",
    },
    Setting {
        name: "UPSTREAM_KEEP_ALIVE_MS",
        kind: TIME,
        default: Fallback::Value("4000"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "How long a connection to an upstream is kept for the next plain HTTP request. It \
               should be less than the upstream's own limit, which is 5 s for Node.",
    },
    Setting {
        name: "HTTP_MAX_REQUESTS",
        kind: CONNECTIONS,
        default: Fallback::Value("10000"),
        rule: None,
        audience: Advanced,
        reload: false,
        help: "The most plain HTTP requests in progress, long polls and event streams included. \
               Others wait up to 5 s and are then answered with HTTP 503. One address has three \
               quarters at most, and one quarter while others ask. Each uses up to 300 KiB of \
               memory while bodies pass.",
    },
];
