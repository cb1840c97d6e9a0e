//! What a reload of the settings has done.

/// What a reload of the settings has done.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[expect(clippy::exhaustive_structs, reason = "the process writes it down")]
pub struct ReloadReport {
    /// The changes that were applied, as `key=value`.
    pub changed: Vec<String>,
    /// The settings whose changes need a restart.
    pub needs_restart: Vec<&'static str>,
    /// Why nothing was applied: every fault, or none.
    pub faults: Vec<String>,
}
