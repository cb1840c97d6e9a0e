//! The settings of the admin listener.

use super::definition::Audience::{Advanced, Basic};
use super::definition::{Fallback, Setting};
use crate::config::value_kind::ValueKind;

/// Settings of the admin listener: its address and its token.
pub(super) const BASIC: &[Setting] = &[
    Setting {
        name: "ADMIN_ADDR",
        kind: ValueKind::AddressOrOff,
        default: Fallback::Value("127.0.0.1:9002"),
        rule: Some(
            "a loopback address unless a token is set; another address or port than LISTEN_ADDR",
        ),
        audience: Basic,
        reload: false,
        help: "The address and port of the operator's page, API and metrics; port 0 takes any free \
               port.",
    },
    Setting {
        name: "ADMIN_TOKEN",
        kind: ValueKind::Secret {
            min: 16,
            spaces: false,
        },
        default: Fallback::Absent,
        rule: Some("not as a flag, because other processes could read it"),
        audience: Basic,
        reload: false,
        help: "The token that each request to ADMIN_ADDR must carry. If it is not set, requests \
               need no token.",
    },
    Setting {
        name: "ADMIN_TOKEN_FILE",
        kind: ValueKind::Path,
        default: Fallback::Absent,
        rule: Some("not together with ADMIN_TOKEN"),
        audience: Basic,
        reload: false,
        help: "A file that holds the value of ADMIN_TOKEN; white space at its end is ignored.",
    },
];

/// Settings of the host names that the admin listener accepts.
pub(super) const ADVANCED: &[Setting] = &[Setting {
    name: "ADMIN_HOSTS",
    kind: ValueKind::HostNames,
    default: Fallback::Absent,
    rule: None,
    audience: Advanced,
    reload: false,
    help: "The host names, besides localhost, that ADMIN_ADDR accepts in the header Host if no \
           token is set. Other names are refused, because a web page can point its own name at \
           this address (DNS rebinding).",
}];
