//! The settings of the bridge: the service behind the gateway, and what holds for every route.

use super::bounds::{ALIVE_BY, TIME, TIME_OR_NONE};
use super::definition::Audience::{Advanced, Basic};
use super::definition::{Fallback, Setting};
use crate::config::value_kind::{Unit, ValueKind};

/// The setting that names the service.
pub(super) const BASIC: &[Setting] = &[Setting {
    name: "UPSTREAM",
    kind: ValueKind::Upstream,
    default: Fallback::Absent,
    rule: None,
    audience: Basic,
    reload: false,
    help: "A WebSocket service to which every client is passed. The gateway then serves no relay, \
           and the service decides which clients may connect. Each address of a host name is an \
           upstream of its own.",
}];

/// Settings of the connections to the service, and of what it is told about clients.
pub(super) const ADVANCED: &[Setting] = &[
    Setting {
        name: "UPSTREAM_HEARTBEAT_INTERVAL_MS",
        kind: TIME_OR_NONE,
        default: Fallback::Value("30000"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "The time between two pings on a connection to UPSTREAM; 0: none is sent, and its \
               silence ends no connection.",
    },
    Setting {
        name: "UPSTREAM_CONNECTION_TIMEOUT_MS",
        kind: TIME,
        default: Fallback::Value("90000"),
        rule: Some("more than UPSTREAM_HEARTBEAT_INTERVAL_MS"),
        audience: Advanced,
        reload: true,
        help: "A connection to UPSTREAM on which nothing was received for this time is stale and \
               is closed. Its client is closed with code 1012.",
    },
    Setting {
        name: "CLIENT_JUDGE",
        kind: ValueKind::Word(&["close", "report"]),
        default: Fallback::Value("close"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "What happens to a silent client of UPSTREAM. close: it is closed. report: the close \
               is only logged and counted, and counted as wrong if the client is heard again.",
    },
    Setting {
        name: "UPSTREAM_JUDGE",
        kind: ValueKind::Word(&["close", "report"]),
        default: Fallback::Value("close"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "The same as CLIENT_JUDGE, for a silent connection to UPSTREAM.",
    },
    Setting {
        name: "UPSTREAM_ALIVE_BY",
        kind: ALIVE_BY,
        default: Fallback::Value("any"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "The same as ALIVE_BY, for a connection to UPSTREAM.",
    },
    Setting {
        name: "UPSTREAM_LATE",
        kind: ValueKind::Switch,
        default: Fallback::Value("1"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "The same as LATE, for a connection to UPSTREAM.",
    },
    Setting {
        name: "UPSTREAM_CONNECT_TIMEOUT_MS",
        kind: TIME,
        default: Fallback::Value("3000"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "How long a connection to UPSTREAM may take; then the client is answered with HTTP \
               502.",
    },
    Setting {
        name: "UPSTREAM_ANSWER_TIMEOUT_MS",
        kind: TIME,
        default: Fallback::Value("10000"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "How long UPSTREAM may take to answer a client's request; then the client is \
               answered with HTTP 504.",
    },
    Setting {
        name: "UPSTREAM_HOST_HEADER",
        kind: ValueKind::HostHeader,
        default: Fallback::Value("keep"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "The header Host that UPSTREAM sees. keep: the client's. upstream: the host and port \
               of UPSTREAM. Otherwise this name.",
    },
    Setting {
        name: "UPSTREAM_MAX_MESSAGE_BYTES",
        kind: ValueKind::Number {
            unit: Unit::Bytes,
            min: 0,
            max: u32::MAX as u64,
        },
        default: Fallback::Value("0"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "The largest message between a client and UPSTREAM, as sent: compressed if they \
               compress. A larger one ends the pair, with code 1009 for its sender. 0: no limit.",
    },
    Setting {
        name: "SLOW_MS",
        kind: TIME,
        default: Fallback::Value("30000"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "A client, or a connection to UPSTREAM, that takes no byte of what waits for it for \
               this time is closed as a slow consumer.",
    },
    Setting {
        name: "FORWARDED_PROTO",
        kind: ValueKind::Word(&["auto", "https"]),
        default: Fallback::Value("auto"),
        rule: None,
        audience: Advanced,
        reload: false,
        help: "The scheme that UPSTREAM is told in X-Forwarded-Proto. https: always. auto: https \
               if a proxy in TRUSTED_PROXIES says so, in X-Forwarded-Proto or in the PROXY \
               protocol.",
    },
    Setting {
        name: "READY_NEEDS_UPSTREAM",
        kind: ValueKind::Switch,
        default: Fallback::Value("0"),
        rule: None,
        audience: Advanced,
        reload: false,
        help: "Whether /readyz of ADMIN_ADDR answers 503 while a route has no upstream that is up. \
               If 0, a gateway whose services are down still gets clients, and answers them 502.",
    },
    Setting {
        name: "HEALTH_PATH",
        kind: ValueKind::HttpPath,
        default: Fallback::Derived(
            "/healthz; with UPSTREAM, or a route for all paths, /.well-known/pulsegate/health",
        ),
        rule: None,
        audience: Advanced,
        reload: false,
        help: "The path of the health check at LISTEN_ADDR. A WebSocket request for it is served \
               like one for any other path.",
    },
];
