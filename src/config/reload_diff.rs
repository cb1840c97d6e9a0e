//! The changes that a reload makes.

/// The differences between newer settings and the current ones, in the order of the table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReloadDiff {
    /// The changes that a reload applies.
    pub applied: Vec<SettingChange>,
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
        self.applied.is_empty() && self.needs_restart.is_empty()
    }
}
