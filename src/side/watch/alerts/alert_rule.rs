//! The types of a rule and its measurements.

use super::alert_settings::AlertSettings;
use super::rule_input::RuleInput;
use crate::base::time::Micros;
use std::collections::BTreeMap;

/// What distinguishes an alert from others of its rule.
pub(super) type Labels = BTreeMap<&'static str, Box<str>>;

/// How severe an alert is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Severity {
    /// An operator should look at it soon.
    Warning,
    /// Users are cut off, or soon will be.
    Critical,
}

/// A rule: when an alert fires, and what its operator should do.
pub(super) struct AlertRule {
    /// The rule's name, in lower case, as in the log.
    pub(super) name: &'static str,
    pub(super) severity: Severity,
    /// What the operator should do, in a few short sentences.
    pub(super) action: &'static str,
    /// The value at which the alert fires; 0: the rule is off.
    pub(super) threshold: fn(&AlertSettings) -> f64,
    /// How long the value must stay at the threshold or above before the alert fires.
    pub(super) hold: fn(&RuleInput<'_>) -> Micros,
    /// Rules that explain this one: while one of them fires, this alert does not begin. They are
    /// before it in the table.
    pub(super) explained_by: fn(&RuleInput<'_>) -> &'static [&'static str],
    /// Whether a firing alert ends as soon as one of those rules fires: they report the same
    /// trouble, and worse.
    pub(super) yields: bool,
    /// Returns the current values of the rule, one for each set of labels; labels without a
    /// measurement count as 0. `None`: the values are unknown now.
    pub(super) measure: fn(&RuleInput<'_>) -> Option<Vec<Measurement>>,
}

/// One current value of a rule, with its labels.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Measurement {
    pub(super) labels: Labels,
    pub(super) value: f64,
    /// The threshold, if it differs from the setting's.
    pub(super) threshold: f64,
    /// What is wrong, in words, with the numbers.
    pub(super) summary: String,
}

impl Measurement {
    /// Returns the one measurement of a rule without labels.
    pub(super) fn single(value: f64, threshold: f64, summary: String) -> Option<Vec<Self>> {
        Some(vec![Measurement {
            labels: Labels::new(),
            value,
            threshold,
            summary,
        }])
    }
}

/// Builds labels from names and values.
pub(super) fn labels<const N: usize>(pairs: [(&'static str, &str); N]) -> Labels {
    let pairs = pairs.into_iter();
    pairs.map(|(key, value)| (key, value.into())).collect()
}
