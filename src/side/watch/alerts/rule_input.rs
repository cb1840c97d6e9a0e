//! The input of the rules at one evaluation.

use super::alert_settings::AlertSettings;
use super::losses::Losses;
use super::sample::{Fleet, Sample};

/// The input of a rule.
#[derive(Debug)]
pub(super) struct RuleInput<'a> {
    pub(super) settings: &'a AlertSettings,
    pub(super) sample: &'a Sample,
    /// The counters of the loop; `None`: the loop did not answer, so they are unknown.
    pub(super) fleet: Option<Fleet<'a>>,
    pub(super) losses: &'a Losses,
}
