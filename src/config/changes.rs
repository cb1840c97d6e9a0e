//! What a reload changes.

/// How newer settings differ from those that hold, in the order of the table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes {
    /// What a reload applies.
    pub applied: Vec<Change>,
    /// The names of the settings that stay as they are until a restart.
    pub restart: Vec<&'static str>,
}

/// A setting with another value than before, both as an operator would write them; `none` where there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The setting's environment variable.
    pub name: &'static str,
    /// What held.
    pub old: String,
    /// What holds.
    pub new: String,
}

impl Changes {
    /// Returns whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.applied.is_empty() && self.restart.is_empty()
    }
}
