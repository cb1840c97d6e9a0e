//! The settings of the admin listener.

use super::setting::Audience::{Advanced, Basic};
use super::setting::{Fallback, Setting};
use crate::config::kinds::Kind;

/// The listener's address and its token.
pub(super) const BASIC: &[Setting] = &[
    Setting {
        name: "ADMIN_ADDR",
        kind: Kind::AddressOrOff,
        default: Fallback::Value("127.0.0.1:9002"),
        rule: Some("a loopback address unless there is a token; not where LISTEN_ADDR is"),
        audience: Basic,
        reload: false,
        help: "The address and port of the operator's endpoints; port 0 takes a free one.",
    },
    Setting {
        name: "ADMIN_TOKEN",
        kind: Kind::Secret {
            least: 16,
            spaces: false,
        },
        default: Fallback::Nothing,
        rule: Some("never a flag, which every process could read"),
        audience: Basic,
        reload: false,
        help: "The token that a request to ADMIN_ADDR must bring; without one every request is \
               answered.",
    },
    Setting {
        name: "ADMIN_TOKEN_FILE",
        kind: Kind::Path,
        default: Fallback::Nothing,
        rule: Some("not beside ADMIN_TOKEN"),
        audience: Basic,
        reload: false,
        help: "A file whose content, without white space at its end, is the token.",
    },
];

/// The host names of the admin listener.
pub(super) const ADVANCED: &[Setting] = &[Setting {
    name: "ADMIN_HOSTS",
    kind: Kind::HostNames,
    default: Fallback::Nothing,
    rule: None,
    audience: Advanced,
    reload: false,
    help: "The names, beside localhost, under which ADMIN_ADDR may be asked without a token; other \
           names are refused there, because a web page can make its own lead to it.",
}];
