//! The settings about listeners, credentials and restrictions of peers.

use super::bounds::TIME_OR_NONE;
use super::definition::Audience::{Advanced, Basic};
use super::definition::{Fallback, Setting};
use crate::config::value_kind::ValueKind;

/// Settings of the listener, and of which peers may connect.
pub(super) const BASIC: &[Setting] = &[
    Setting {
        name: "CONFIG_FILE",
        kind: ValueKind::Path,
        default: Fallback::Absent,
        rule: Some("not in the file itself"),
        audience: Basic,
        reload: false,
        help: "A TOML file with settings, and with routes. A flag or an environment variable \
               overrides the same setting in it. At most 1 MiB.",
    },
    Setting {
        name: "LISTEN_ADDR",
        kind: ValueKind::Address,
        default: Fallback::Value("127.0.0.1:8002"),
        rule: Some(
            "a loopback address unless credentials or UPSTREAM are set, a route serves all paths, \
             or ALLOW_UNAUTHENTICATED is 1",
        ),
        audience: Basic,
        reload: false,
        help: "The address and port that clients connect to; port 0 takes any free port.",
    },
    Setting {
        name: "ALLOW_UNAUTHENTICATED",
        kind: ValueKind::Switch,
        default: Fallback::Value("0"),
        rule: None,
        audience: Basic,
        reload: false,
        help: "Whether LISTEN_ADDR may be an address that other machines can reach although no \
               credentials are set. Any client may then connect as any user.",
    },
    Setting {
        name: "AUTH_JWT_SECRET",
        kind: ValueKind::Secret {
            min: 8,
            spaces: true,
        },
        default: Fallback::Absent,
        rule: Some("not as a flag, because other processes could read it"),
        audience: Basic,
        reload: true,
        help: "The key that signs the JSON Web Tokens of glasses (HS256); the claim email is the \
               user. Without it glasses cannot connect, unless APPS_FILE is not set either: then \
               no client needs credentials.",
    },
    Setting {
        name: "AUTH_JWT_SECRET_FILE",
        kind: ValueKind::Path,
        default: Fallback::Absent,
        rule: Some("not together with AUTH_JWT_SECRET"),
        audience: Basic,
        reload: true,
        help: "A file that holds the value of AUTH_JWT_SECRET; white space at its end is ignored.",
    },
    Setting {
        name: "APPS_FILE",
        kind: ValueKind::Path,
        default: Fallback::Absent,
        rule: None,
        audience: Basic,
        reload: true,
        help: "A JSON file of the third-party apps that may connect, at most 16 MiB: objects with \
               package, api_key, and optionally webhook_url and may_send. Without it no app can \
               connect, unless AUTH_JWT_SECRET is not set either: then no client needs \
               credentials.",
    },
    Setting {
        name: "APP_ADMISSION",
        kind: ValueKind::Word(&["started", "key"]),
        default: Fallback::Value("started"),
        rule: None,
        audience: Basic,
        reload: true,
        help: "started: an app with a valid key may join a user's session only if that user has \
               started it. key: a valid key is enough. If no credentials are set, every app may \
               join.",
    },
    Setting {
        name: "ALLOWED_ORIGINS",
        kind: ValueKind::Origins,
        default: Fallback::Absent,
        rule: None,
        audience: Basic,
        reload: true,
        help: "The web pages that may connect, by the header Origin. A request without this header \
               is always allowed. If the list is not set: with credentials every page may connect; \
               without credentials only a page from the request's own Host, if that is an IP \
               address or localhost.",
    },
];

/// Settings of the accepted subprotocols.
pub(super) const SUBPROTOCOLS: &[Setting] = &[
    Setting {
        name: "GLASSES_SUBPROTOCOLS",
        kind: ValueKind::Subprotocols,
        default: Fallback::Value("any"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "The WebSocket subprotocols (Sec-WebSocket-Protocol) that glasses may use, the \
               preferred one first. The first one in this list that the client offers is chosen. \
               any chooses the client's first offer; none chooses no subprotocol.",
    },
    Setting {
        name: "GLASSES_SUBPROTOCOL_REQUIRED",
        kind: ValueKind::Switch,
        default: Fallback::Value("0"),
        rule: Some("only 0 if GLASSES_SUBPROTOCOLS is none"),
        audience: Advanced,
        reload: true,
        help: "Whether glasses that offer no accepted subprotocol are refused with HTTP 400. If 0, \
               they connect without a subprotocol.",
    },
    Setting {
        name: "APP_SUBPROTOCOLS",
        kind: ValueKind::Subprotocols,
        default: Fallback::Value("any"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "The WebSocket subprotocols (Sec-WebSocket-Protocol) that third-party apps may use, \
               the preferred one first. The first one in this list that the client offers is \
               chosen. any chooses the client's first offer; none chooses no subprotocol.",
    },
    Setting {
        name: "APP_SUBPROTOCOL_REQUIRED",
        kind: ValueKind::Switch,
        default: Fallback::Value("0"),
        rule: Some("only 0 if APP_SUBPROTOCOLS is none"),
        audience: Advanced,
        reload: true,
        help: "Whether third-party apps that offer no accepted subprotocol are refused with HTTP \
               400. If 0, they connect without a subprotocol.",
    },
];

/// Settings of shared ports, proxies and clock tolerance.
pub(super) const ADVANCED: &[Setting] = &[
    Setting {
        name: "REUSE_PORT",
        kind: ValueKind::Switch,
        default: Fallback::Value("0"),
        rule: None,
        audience: Advanced,
        reload: false,
        help: "Whether other processes of the same user may listen on the same address and port \
               (SO_REUSEPORT). The kernel then distributes new connections among them.",
    },
    Setting {
        name: "PROXY_PROTOCOL",
        kind: ValueKind::Word(&["off", "v1", "v2"]),
        default: Fallback::Value("off"),
        rule: Some("only off if TRUSTED_PROXIES is empty"),
        audience: Advanced,
        reload: false,
        help: "The version of the PROXY protocol that the proxies in TRUSTED_PROXIES use: each of \
               their connections begins with a header with the client's address. off: no header is \
               expected.",
    },
    Setting {
        name: "TRUSTED_PROXIES",
        kind: ValueKind::Networks,
        default: Fallback::Absent,
        rule: None,
        audience: Advanced,
        reload: true,
        help: "The addresses of proxies that are trusted to report the client's address, in a \
               PROXY protocol header or in X-Forwarded-For.",
    },
    Setting {
        name: "AUTH_JWT_LEEWAY_MS",
        kind: TIME_OR_NONE,
        default: Fallback::Value("5000"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "The tolerated difference between the clocks of this machine and of the signer of \
               tokens: a token is valid this long before its claim nbf and after its claim exp.",
    },
];
