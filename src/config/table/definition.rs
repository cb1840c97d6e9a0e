//! The type of a setting: its name, its values and its audience.

use crate::config::value_kind::ValueKind;
use std::fmt;

/// One setting: an environment variable, the flag of the same name, and the key in the file.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// The environment variable.
    pub name: &'static str,
    /// The kind of its values, with unit and bounds.
    pub kind: ValueKind,
    /// The value if it is not given.
    pub default: Fallback,
    /// A further rule for the value, in words that follow the bounds; checked in
    /// `effective_values.rs`.
    pub rule: Option<&'static str>,
    /// Which operators need to know the setting.
    pub audience: Audience,
    /// Whether a reload applies a new value; otherwise it takes a restart.
    pub reload: bool,
    /// What the setting does, in at most three short sentences.
    pub help: &'static str,
}

/// The value of a setting that is not given.
#[derive(Debug, Clone, Copy)]
pub enum Fallback {
    /// The setting has this default value, as it would be written in a variable.
    Value(&'static str),
    /// The value of the setting with this name, which is earlier in the table.
    SameAs(&'static str),
    /// A value that is determined at the start; how, in words.
    Derived(&'static str),
    /// The setting has no value then.
    Absent,
}

/// Which operators need to know a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// Every operator of a gateway.
    Basic,
    /// Operators with a reason, after a measurement.
    Advanced,
}

impl Setting {
    /// Returns the flag with its dashes: `--heartbeat-interval-ms` for `HEARTBEAT_INTERVAL_MS`. A
    /// secret has none.
    pub fn flag(&self) -> Option<String> {
        match self.kind {
            ValueKind::Secret { .. } | ValueKind::SecretUrl => None,
            ValueKind::Number { .. }
            | ValueKind::Word(_)
            | ValueKind::Switch
            | ValueKind::Address
            | ValueKind::AddressOrOff
            | ValueKind::Path
            | ValueKind::Networks
            | ValueKind::Origins
            | ValueKind::FrameTypes
            | ValueKind::Subprotocols
            | ValueKind::HostNames
            | ValueKind::WebSocketUrl
            | ValueKind::Upstream
            | ValueKind::HostHeader
            | ValueKind::HttpPath
            | ValueKind::RoutePath
            | ValueKind::Name
            | ValueKind::HostName
            | ValueKind::Upstreams
            | ValueKind::Balance
            | ValueKind::RouteIdentity
            | ValueKind::Cookie
            | ValueKind::IpAddresses => Some(self.flag_name()),
        }
    }

    /// Returns the name as a flag, whether the setting has a flag or not.
    pub(in crate::config) fn flag_name(&self) -> String {
        format!("--{}", self.key().replace('_', "-"))
    }

    /// Returns the name in lower case, as in log lines and in the file: `heartbeat_interval_ms`.
    pub fn key(&self) -> String {
        self.name.to_ascii_lowercase()
    }

    /// Returns all allowed values, in words.
    pub fn allowed(&self) -> String {
        match self.rule {
            Some(rule) => format!("{}; {rule}", self.kind),
            None => self.kind.to_string(),
        }
    }
}

impl fmt::Display for Fallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Fallback::Value(text) | Fallback::SameAs(text) | Fallback::Derived(text) => text,
            Fallback::Absent => "none",
        })
    }
}
