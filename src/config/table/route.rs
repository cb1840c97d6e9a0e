//! The fields of a route: one table `[[route]]` of the file that `CONFIG_FILE` names.

use super::all::{SETTINGS, row, same};
use super::bounds::{DAY_MS, TIME, TIME_OR_NONE};
use super::definition::Fallback;
use crate::config::value_kind::{Unit, ValueKind};

/// One field of a route.
#[derive(Debug, Clone, Copy)]
pub struct RouteField {
    /// The key in the table.
    pub name: &'static str,
    /// The kind of its values, with unit and bounds.
    pub kind: ValueKind,
    /// The value if it is not given.
    pub default: Fallback,
    /// Whether every route must have it.
    pub is_required: bool,
    /// A further rule for the value, in words that follow the bounds.
    pub rule: Option<&'static str>,
    /// What the field does, in at most three short sentences.
    pub help: &'static str,
}

impl RouteField {
    /// Returns all allowed values, in words.
    pub fn allowed(&self) -> String {
        match self.rule {
            Some(rule) => format!("{}; {rule}", self.kind),
            None => self.kind.to_string(),
        }
    }

    /// Returns a field that has its kind and its default from the setting `general`.
    const fn as_setting(name: &'static str, general: &'static str, help: &'static str) -> Self {
        RouteField {
            name,
            kind: SETTINGS[row(general)].kind,
            default: Fallback::SameAs(general),
            is_required: false,
            rule: None,
            help,
        }
    }
}

/// Every field of a route, in the order of the documentation.
pub const ROUTE_FIELDS: &[RouteField] = &[
    RouteField {
        name: "name",
        kind: ValueKind::Name,
        default: Fallback::Absent,
        is_required: true,
        rule: Some("no two routes have the same"),
        help: "The route in the log of upstreams, in metrics and in the API.",
    },
    RouteField {
        name: "path",
        kind: ValueKind::RoutePath,
        default: Fallback::Value("/"),
        is_required: false,
        rule: None,
        help: "The paths that the route serves: this one and those below it. `/app` serves `/app` \
               and `/app/x`, but not `/apple`. The longest path that matches counts.",
    },
    RouteField {
        name: "host",
        kind: ValueKind::HostName,
        default: Fallback::Absent,
        is_required: false,
        rule: None,
        help: "The host that the client addresses, without the port. Without this field every \
               host matches. A route with a matching host comes before one without a host.",
    },
    RouteField {
        name: "upstream",
        kind: ValueKind::Upstreams,
        default: Fallback::Absent,
        is_required: true,
        rule: None,
        help: "The services behind the route: one string, or an array of them. Each address of a \
               host name is an upstream of its own.",
    },
    RouteField {
        name: "balance",
        kind: ValueKind::Balance,
        default: Fallback::Value("least_connections"),
        is_required: false,
        rule: None,
        help: "How an upstream is chosen for a new client. `hash:` and a key: clients with the \
               same value go to the same upstream while it is up.",
    },
    RouteField {
        name: "sticky",
        kind: ValueKind::Cookie,
        default: Fallback::Absent,
        is_required: false,
        rule: None,
        help: "A cookie that the gateway sets, and that leads a client back to its upstream while \
               that one is up. It has the attributes HttpOnly and Path=/.",
    },
    RouteField {
        name: "sticky_same_site",
        kind: ValueKind::Word(&["lax", "strict", "none"]),
        default: Fallback::Value("lax"),
        is_required: false,
        rule: None,
        help: "The attribute SameSite of the cookie. A page of another site sends the cookie only \
               with none, and then only with https.",
    },
    RouteField {
        name: "sticky_secure",
        kind: ValueKind::Word(&["auto", "always", "never"]),
        default: Fallback::Value("auto"),
        is_required: false,
        rule: None,
        help: "Whether the cookie has the attribute Secure. auto: if the client uses https.",
    },
    RouteField {
        name: "slow_start_ms",
        kind: TIME_OR_NONE,
        default: Fallback::Value("30000"),
        is_required: false,
        rule: None,
        help: "An upstream that is new or comes back gets its part of the clients little by \
               little over this time; 0: no slow start.",
    },
    RouteField {
        name: "max_dialing",
        kind: ValueKind::Number {
            unit: Unit::Connections,
            min: 1,
            max: 100_000,
        },
        default: Fallback::Value("200"),
        is_required: false,
        rule: None,
        help: "How many requests may wait for the answer of one upstream at the same time. \
               Further ones wait up to 5 s, at most 1000 of them, and are then answered 503. \
               Clients share both by address: one with the most makes room for others.",
    },
    RouteField {
        name: "max_age_ms",
        kind: TIME_OR_NONE,
        default: Fallback::Value("0"),
        is_required: false,
        rule: None,
        help: "The age at which a pair is closed, varied at random by up to 10 %: the client gets \
               1012. 0: no limit.",
    },
    RouteField {
        name: "health_path",
        kind: ValueKind::HttpPath,
        default: Fallback::Absent,
        is_required: false,
        rule: None,
        help: "The path of a health check: the gateway sends GET to it every health_interval_ms. \
               An upstream that does not answer with a status below 400 twice in a row gets no \
               new clients while another one is up.",
    },
    RouteField {
        name: "health_interval_ms",
        kind: ValueKind::Number {
            unit: Unit::Milliseconds,
            min: 1_000,
            max: DAY_MS,
        },
        default: Fallback::Value("5000"),
        is_required: false,
        rule: None,
        help: "The time between two health checks of an upstream.",
    },
    RouteField {
        name: "health_timeout_ms",
        kind: TIME,
        default: Fallback::Value("2000"),
        is_required: false,
        rule: None,
        help: "How long the answer to a health check may take.",
    },
    RouteField {
        name: "source_addresses",
        kind: ValueKind::IpAddresses,
        default: Fallback::Absent,
        is_required: false,
        rule: None,
        help: "The addresses of this machine from which upstreams are reached, in turn. Each has \
               ports of its own. Without this field the kernel chooses one.",
    },
    RouteField {
        name: "strip_prefix",
        kind: ValueKind::Switch,
        default: Fallback::Value("0"),
        is_required: false,
        rule: None,
        help: "Whether the service sees the path without the route's own: `/app/x` as `/x`. \
               Addresses in its answers are not changed.",
    },
    RouteField::as_setting(
        "host_header",
        "UPSTREAM_HOST_HEADER",
        "The header Host that the service sees. keep: the client's. upstream: the host and port \
         of the upstream. Otherwise this name.",
    ),
    RouteField {
        name: "allowed_origins",
        kind: ValueKind::Origins,
        default: Fallback::Absent,
        is_required: false,
        rule: None,
        help: "The origins of pages that may connect; others are answered 403. Clients that are \
               not browsers send no Origin and are not affected. Without this field the service \
               decides.",
    },
    RouteField {
        name: "auth",
        kind: ValueKind::Word(&["none", "jwt"]),
        default: Fallback::Value("none"),
        is_required: false,
        rule: Some("jwt only with AUTH_JWT_SECRET or AUTH_JWT_SECRET_FILE"),
        help: "Which clients may connect. none: the service decides. jwt: those with a token that \
               AUTH_JWT_SECRET signs, in Authorization: Bearer or as token in the query; others \
               are answered 401. A pair is closed when its token expires.",
    },
    RouteField {
        name: "identity",
        kind: ValueKind::RouteIdentity,
        default: Fallback::Absent,
        is_required: false,
        rule: None,
        help: "Where the name of a client stands in its request, for the log, searches and blocks. \
               Only a claim of a token that auth = \"jwt\" has verified is proved; any other name \
               is an identity only together with the client's address.",
    },
    RouteField {
        name: "flapping_limit",
        kind: ValueKind::Number {
            unit: Unit::PerMinute,
            min: 0,
            max: 100_000,
        },
        default: Fallback::Value("0"),
        is_required: false,
        rule: None,
        help: "How many connections of one identity are accepted in a minute; further ones are \
               answered 429 for a while. 0: any number, because a user may have many tabs.",
    },
    RouteField::as_setting(
        "heartbeat_interval_ms",
        "HEARTBEAT_INTERVAL_MS",
        "The time between two pings to a client.",
    ),
    RouteField {
        name: "connection_timeout_ms",
        kind: TIME,
        default: Fallback::SameAs("CONNECTION_TIMEOUT_MS"),
        is_required: false,
        rule: Some("more than heartbeat_interval_ms"),
        help: "A client from which nothing was received for this time is stale.",
    },
    RouteField::as_setting(
        "client_judge",
        "CLIENT_JUDGE",
        "Whether a silent client is closed, or only reported.",
    ),
    RouteField::as_setting(
        "alive_by",
        "ALIVE_BY",
        "What counts as received from a client. any: everything, pongs too. data: only messages. \
         pong: only answers to heartbeats.",
    ),
    RouteField::as_setting(
        "late",
        "LATE",
        "Whether late heartbeats of a client are found.",
    ),
    RouteField {
        name: "upstream_heartbeat_interval_ms",
        kind: TIME_OR_NONE,
        default: Fallback::SameAs("UPSTREAM_HEARTBEAT_INTERVAL_MS"),
        is_required: false,
        rule: None,
        help: "The time between two pings on a connection to the service; 0: none is sent, and \
               its silence ends no connection.",
    },
    RouteField {
        name: "upstream_connection_timeout_ms",
        kind: TIME,
        default: Fallback::SameAs("UPSTREAM_CONNECTION_TIMEOUT_MS"),
        is_required: false,
        rule: Some("more than upstream_heartbeat_interval_ms"),
        help: "A connection to the service on which nothing was received for this time is stale.",
    },
    RouteField::as_setting(
        "upstream_judge",
        "UPSTREAM_JUDGE",
        "Whether a silent connection to the service is closed, or only reported.",
    ),
    RouteField::as_setting(
        "upstream_alive_by",
        "UPSTREAM_ALIVE_BY",
        "The same as alive_by, for a connection to the service.",
    ),
    RouteField::as_setting(
        "upstream_late",
        "UPSTREAM_LATE",
        "The same as late, for a connection to the service.",
    ),
    RouteField::as_setting(
        "connect_timeout_ms",
        "UPSTREAM_CONNECT_TIMEOUT_MS",
        "How long a connection to one upstream may take; then another one is tried.",
    ),
    RouteField::as_setting(
        "answer_timeout_ms",
        "UPSTREAM_ANSWER_TIMEOUT_MS",
        "How long the service may take to answer a client's request; then the client is answered \
         with HTTP 504.",
    ),
    RouteField::as_setting(
        "max_message_bytes",
        "UPSTREAM_MAX_MESSAGE_BYTES",
        "The largest message in either direction, as sent; 0: no limit.",
    ),
    RouteField::as_setting(
        "pulse",
        "PULSE",
        "Whether clients may ask for sessions that outlive their connections, with ?pulse=1.",
    ),
    RouteField::as_setting(
        "accept_per_second",
        "ACCEPT_RATE",
        "How many clients a second may come back after all were lost at once.",
    ),
];

/// Returns the row of the field `name`. In a `const` block an unknown name does not compile.
///
/// # Panics
/// If there is no such field.
pub(in crate::config) const fn field(name: &str) -> usize {
    let mut at = 0;
    while at < ROUTE_FIELDS.len() {
        if same(ROUTE_FIELDS[at].name.as_bytes(), name.as_bytes()) {
            return at;
        }
        at += 1;
    }
    panic!("no such field");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_an_allowed_value() {
        for field in ROUTE_FIELDS {
            match field.default {
                Fallback::Value(text) => {
                    let value = field.kind.parse(text).expect(field.name);
                    assert_eq!(value.to_string(), text, "{}", field.name);
                }
                Fallback::SameAs(general) => {
                    let kind = SETTINGS[row(general)].kind.to_string();
                    assert_eq!(field.kind.to_string(), kind, "{}", field.name);
                }
                Fallback::Derived(_) | Fallback::Absent => {}
            }
        }
    }
}
