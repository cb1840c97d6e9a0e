//! What one setting is: its name, its values, and for which readers.

use crate::config::kinds::Kind;
use std::fmt;

/// One setting: an environment variable, the flag of the same name, and the key in the file.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// The environment variable.
    pub name: &'static str,
    /// What a value is, its unit and its bounds.
    pub kind: Kind,
    /// What holds if it is not given.
    pub default: Fallback,
    /// What is asked of the value beside its bounds, in words that go on after them; held in `effective.rs`.
    pub rule: Option<&'static str>,
    /// Who wants to know of it.
    pub audience: Audience,
    /// Whether a reload applies it; if not, it waits for a restart.
    pub reload: bool,
    /// One sentence on what it does.
    pub help: &'static str,
}

/// What holds if a setting is not given.
#[derive(Debug, Clone, Copy)]
pub enum Fallback {
    /// This, as an operator would write it.
    Value(&'static str),
    /// What the setting of this name has; it stands earlier in the table.
    Of(&'static str),
    /// What is worked out at start: how, in words.
    Derived(&'static str),
    /// Nothing: there is none.
    Nothing,
}

/// Who wants to know of a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// Everybody who runs a gateway.
    Basic,
    /// Whoever has measured something and has a reason.
    Advanced,
}

impl Setting {
    /// The flag, with its dashes: `--heartbeat-interval-ms` for `HEARTBEAT_INTERVAL_MS`. A secret has none.
    pub fn flag(&self) -> Option<String> {
        match self.kind {
            Kind::Secret { .. } | Kind::SecretUrl => None,
            Kind::Number { .. }
            | Kind::Word(_)
            | Kind::Switch
            | Kind::Address
            | Kind::AddressOrOff
            | Kind::Path
            | Kind::Networks
            | Kind::Origins
            | Kind::FrameTypes
            | Kind::Subprotocols
            | Kind::HostNames
            | Kind::WebSocketUrl => Some(self.dashed()),
        }
    }

    /// What its flag is, or would be.
    pub(in crate::config) fn dashed(&self) -> String {
        format!("--{}", self.key().replace('_', "-"))
    }

    /// The name in small letters, as in a log line and in the file: `heartbeat_interval_ms`.
    pub fn key(&self) -> String {
        self.name.to_ascii_lowercase()
    }

    /// Every value that is allowed, in words.
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
            Fallback::Value(text) | Fallback::Of(text) | Fallback::Derived(text) => text,
            Fallback::Nothing => "none",
        })
    }
}
