//! The settings about listeners, credentials and restrictions of peers.

use super::bounds::TIME_OR_NONE;
use super::setting::Audience::{Advanced, Basic};
use super::setting::{Fallback, Setting};
use crate::config::kinds::Kind;

/// The listener, and which peers may connect.
pub(super) const BASIC: &[Setting] = &[
    Setting {
        name: "CONFIG_FILE",
        kind: Kind::Path,
        default: Fallback::Nothing,
        rule: Some("not in the file itself"),
        audience: Basic,
        reload: false,
        help: "A file in TOML with settings, for what neither a flag nor a variable says; at most \
               1 MiB.",
    },
    Setting {
        name: "LISTEN_ADDR",
        kind: Kind::Address,
        default: Fallback::Value("127.0.0.1:8002"),
        rule: Some("a loopback address unless there are credentials or ALLOW_UNAUTHENTICATED is 1"),
        audience: Basic,
        reload: false,
        help: "The address and port to accept connections on; port 0 takes a free one.",
    },
    Setting {
        name: "ALLOW_UNAUTHENTICATED",
        kind: Kind::Switch,
        default: Fallback::Value("0"),
        rule: None,
        audience: Basic,
        reload: false,
        help: "Whether LISTEN_ADDR may be reached from other machines without any authentication.",
    },
    Setting {
        name: "AUTH_JWT_SECRET",
        kind: Kind::Secret {
            least: 8,
            spaces: true,
        },
        default: Fallback::Nothing,
        rule: Some("never a flag, which every process could read"),
        audience: Basic,
        reload: true,
        help: "The secret that signs the tokens of glasses (HS256); their claim email is the user; \
               without it and APPS_FILE there is no authentication, with APPS_FILE alone no \
               glasses may connect.",
    },
    Setting {
        name: "AUTH_JWT_SECRET_FILE",
        kind: Kind::Path,
        default: Fallback::Nothing,
        rule: Some("not beside AUTH_JWT_SECRET"),
        audience: Basic,
        reload: true,
        help: "A file whose content, without white space at its end, is that secret.",
    },
    Setting {
        name: "APPS_FILE",
        kind: Kind::Path,
        default: Fallback::Nothing,
        rule: None,
        audience: Basic,
        reload: true,
        help: "A file with the apps that may connect, a JSON array of objects with package, \
               api_key and perhaps webhook_url and may_send, at most 16 MiB; without it and \
               AUTH_JWT_SECRET there is no authentication, with AUTH_JWT_SECRET alone no app may \
               connect.",
    },
    Setting {
        name: "APP_ADMISSION",
        kind: Kind::Word(&["started", "key"]),
        default: Fallback::Value("started"),
        rule: None,
        audience: Basic,
        reload: true,
        help: "Whether an app with the right key is let into a session only if that user started \
               it, or always; without credentials it always is.",
    },
    Setting {
        name: "ALLOWED_ORIGINS",
        kind: Kind::Origins,
        default: Fallback::Nothing,
        rule: None,
        audience: Basic,
        reload: true,
        help: "The web pages that may connect, told by the header Origin, which clients that are \
               no browsers rarely send; with credentials none given means all, without them none \
               but those of an IP address or localhost that is the request's own Host.",
    },
];

/// The accepted subprotocols.
pub(super) const SUBPROTOCOLS: &[Setting] = &[
    Setting {
        name: "GLASSES_SUBPROTOCOLS",
        kind: Kind::Subprotocols,
        default: Fallback::Value("any"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "The subprotocols (Sec-WebSocket-Protocol) that glasses may speak, the preferred one \
               first; the first that the client offers is chosen, with any the client's first.",
    },
    Setting {
        name: "GLASSES_SUBPROTOCOL_REQUIRED",
        kind: Kind::Switch,
        default: Fallback::Value("0"),
        rule: Some("0 if GLASSES_SUBPROTOCOLS is none"),
        audience: Advanced,
        reload: true,
        help: "Whether glasses that offer no accepted subprotocol are refused with HTTP 400; \
               otherwise they get a connection without one.",
    },
    Setting {
        name: "APP_SUBPROTOCOLS",
        kind: Kind::Subprotocols,
        default: Fallback::Value("any"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "The subprotocols (Sec-WebSocket-Protocol) that third-party apps may speak, the \
               preferred one first; the first that the client offers is chosen, with any the \
               client's first.",
    },
    Setting {
        name: "APP_SUBPROTOCOL_REQUIRED",
        kind: Kind::Switch,
        default: Fallback::Value("0"),
        rule: Some("0 if APP_SUBPROTOCOLS is none"),
        audience: Advanced,
        reload: true,
        help: "Whether third-party apps that offer no accepted subprotocol are refused with HTTP \
               400; otherwise they get a connection without one.",
    },
];

/// Shared ports, proxies, clock tolerance.
pub(super) const ADVANCED: &[Setting] = &[
    Setting {
        name: "REUSE_PORT",
        kind: Kind::Switch,
        default: Fallback::Value("0"),
        rule: None,
        audience: Advanced,
        reload: false,
        help: "Whether other processes of the same user may listen on the same address and share \
               its connections (SO_REUSEPORT).",
    },
    Setting {
        name: "PROXY_PROTOCOL",
        kind: Kind::Word(&["off", "v1", "v2"]),
        default: Fallback::Value("off"),
        rule: Some("off unless TRUSTED_PROXIES names one"),
        audience: Advanced,
        reload: false,
        help: "Whether connections to LISTEN_ADDR begin with a header of the PROXY protocol with \
               the client's address, and in which version.",
    },
    Setting {
        name: "TRUSTED_PROXIES",
        kind: Kind::Networks,
        default: Fallback::Nothing,
        rule: None,
        audience: Advanced,
        reload: true,
        help: "Proxies trusted to report the client's address.",
    },
    Setting {
        name: "AUTH_JWT_LEEWAY_MS",
        kind: TIME_OR_NONE,
        default: Fallback::Value("5000"),
        rule: None,
        audience: Advanced,
        reload: true,
        help: "How long a token of glasses counts before its claim nbf and after its claim exp, \
               since the clock of the machine that signs it may differ.",
    },
];
