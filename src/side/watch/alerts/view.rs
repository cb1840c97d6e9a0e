//! All that the rules see in one look.

use super::deaths::Deaths;
use super::sample::{Fleet, Sample};
use super::settings::AlertSettings;

/// All that a rule sees.
#[derive(Debug)]
pub(super) struct View<'a> {
    pub(super) settings: &'a AlertSettings,
    pub(super) sample: &'a Sample,
    /// `None`: the loop did not answer, so nothing is known of its connections.
    pub(super) fleet: Option<Fleet<'a>>,
    pub(super) deaths: &'a Deaths,
}
