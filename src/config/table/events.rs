//! The settings of events for backends.

use super::definition::Audience::{Advanced, Basic};
use super::definition::{Fallback, Setting};
use crate::config::value_kind::{Unit, ValueKind};

/// Settings of where events are posted.
pub(super) const BASIC: &[Setting] = &[
    Setting {
        name: "EVENTS_URL",
        kind: ValueKind::SecretUrl,
        default: Fallback::Absent,
        rule: Some("not as a flag, because other processes could read it"),
        audience: Basic,
        reload: true,
        help: "The URL that events about connections are posted to, as JSON in batches. It is a \
               secret, and is never shown.",
    },
    Setting {
        name: "EVENTS_SECRET",
        kind: ValueKind::Secret {
            min: 16,
            spaces: true,
        },
        default: Fallback::Absent,
        rule: Some("not as a flag, because other processes could read it"),
        audience: Basic,
        reload: true,
        help: "The key that signs the posts to EVENTS_URL. If it is not set, they are not signed.",
    },
    Setting {
        name: "EVENTS_SECRET_FILE",
        kind: ValueKind::Path,
        default: Fallback::Absent,
        rule: Some("not together with EVENTS_SECRET"),
        audience: Basic,
        reload: true,
        help: "A file that holds the value of EVENTS_SECRET; white space at its end is ignored.",
    },
];

/// Settings of what is kept.
pub(super) const ADVANCED: &[Setting] = &[Setting {
    name: "EVENTS_KEPT",
    kind: ValueKind::Number {
        unit: Unit::Events,
        min: 100,
        max: 1_000_000,
    },
    default: Fallback::Value("16384"),
    rule: None,
    audience: Advanced,
    reload: false,
    help: "The most events that are kept for readers that come back, and for EVENTS_URL while its \
           receiver is down. They take at most 1 KiB each on average.",
}];
