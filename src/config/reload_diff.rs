//! The changes that a reload makes.

use std::fmt;

/// The differences between newer settings and the current ones, in the order of the table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReloadDiff {
    /// The changes that a reload applies.
    pub applied: Vec<SettingChange>,
    /// The routes that a reload adds, removes or changes.
    pub routes: Vec<RouteChange>,
    /// The names of the settings that change only with a restart.
    pub needs_restart: Vec<&'static str>,
}

/// A setting with a new value. Both values are written as in a variable; `none` stands for no
/// value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingChange {
    /// The setting's environment variable.
    pub name: &'static str,
    /// The old value.
    pub old: String,
    /// The new value.
    pub new: String,
}

impl ReloadDiff {
    /// Returns whether there are no differences.
    pub fn is_empty(&self) -> bool {
        self.applied.is_empty() && self.routes.is_empty() && self.needs_restart.is_empty()
    }
}

/// A route that is different. Prints as `+chat`, `-chat`, or `chat:path,upstream` with the fields
/// that change.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there are no other changes")]
pub enum RouteChange {
    /// A new route with this name.
    Added(Box<str>),
    /// The route with this name exists no more.
    Removed(Box<str>),
    /// The route with this name has other values of these fields.
    Changed(Box<str>, Vec<&'static str>),
}

impl fmt::Display for RouteChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RouteChange::Added(name) => write!(f, "+{name}"),
            RouteChange::Removed(name) => write!(f, "-{name}"),
            RouteChange::Changed(name, fields) => write!(f, "{name}:{}", fields.join(",")),
        }
    }
}
