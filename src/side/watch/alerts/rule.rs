//! What a rule of alerts is, and what it reads.

use super::settings::AlertSettings;
use super::view::View;
use crate::base::time::Micros;
use std::collections::BTreeMap;

/// What tells an alert from others of its rule.
pub(super) type Labels = BTreeMap<&'static str, Box<str>>;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Severity {
    /// Somebody should look soon.
    Warning,
    /// Users are cut off, or soon will be.
    Critical,
}

/// One rule.
pub(super) struct Rule {
    /// In small letters, as in the log.
    pub(super) name: &'static str,
    pub(super) severity: Severity,
    /// One sentence.
    pub(super) action: &'static str,
    /// The value from which on it is too much; 0: never.
    pub(super) threshold: fn(&AlertSettings) -> f64,
    /// How long it has to be too much.
    pub(super) hold: fn(&View<'_>) -> Micros,
    /// The rules that explain it as long as one of them fires: it does not begin then. They stand before it in the table.
    pub(super) explained_by: fn(&View<'_>) -> &'static [&'static str],
    /// Whether it ends, too, as soon as one of those fires: what they tell is the same trouble, and worse.
    pub(super) yields: bool,
    /// The values now; what is not named is 0. `None`: they are not known now.
    pub(super) look: fn(&View<'_>) -> Option<Vec<Reading>>,
}

/// One value that a rule looks at.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Reading {
    pub(super) labels: Labels,
    pub(super) value: f64,
    /// The threshold, where it is not simply the setting's.
    pub(super) threshold: f64,
    /// In words, with the numbers.
    pub(super) summary: String,
}

impl Reading {
    /// The one value of a rule that has no labels.
    pub(super) fn only(value: f64, threshold: f64, summary: String) -> Option<Vec<Self>> {
        Some(vec![Reading {
            labels: Labels::new(),
            value,
            threshold,
            summary,
        }])
    }
}

/// Makes labels of names with their values.
pub(super) fn labels<const N: usize>(pairs: [(&'static str, &str); N]) -> Labels {
    let pairs = pairs.into_iter();
    pairs.map(|(key, value)| (key, value.into())).collect()
}
