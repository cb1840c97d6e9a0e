//! The input of the rules at one look.

use super::deaths::Deaths;
use super::sample::{Fleet, Sample};
use super::settings::AlertSettings;

/// The input of a rule.
#[derive(Debug)]
pub(super) struct View<'a> {
    pub(super) settings: &'a AlertSettings,
    pub(super) sample: &'a Sample,
    /// The counters of the loop; `None`: the loop did not answer, so they are unknown.
    pub(super) fleet: Option<Fleet<'a>>,
    pub(super) deaths: &'a Deaths,
}
