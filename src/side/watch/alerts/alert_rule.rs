//! The types of a rule and its measurements.

use super::alert_settings::AlertSettings;
use super::rule_input::RuleInput;
use crate::base::network_block::NetworkBlock;
use crate::base::time::Micros;
use std::collections::BTreeMap;

/// What distinguishes an alert from others of its rule.
pub(super) type Labels = BTreeMap<&'static str, Box<str>>;

/// How severe an alert is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
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
    /// What explains alerts of this rule: while such an alert fires, and for `ALERT_RESOLVE_MS`
    /// after, this one does not begin. While such an alert is about to fire, this one waits for it.
    /// Of two rules that explain each other the first in the table begins.
    pub(super) explained_by: fn(&RuleInput<'_>) -> &'static [ExplainedBy],
    /// Whether a firing alert ends as soon as an alert fires that explains it: that one reports the
    /// same trouble, and worse.
    pub(super) yields: bool,
    /// How long an event counts in the value, if that is longer than the window. An explanation
    /// holds for as long after its alert: the events that it has explained still count.
    pub(super) looks_back: Micros,
    /// The least time from one post about an alert to the next; `None`: it is posted when it
    /// changes, and every `ALERT_REPEAT_MS`.
    pub(super) posted_every: Option<Micros>,
    /// The rule whose alerts about the same network blocks go on as one of this rule, when it
    /// fires: the trouble is the same, and has become worse.
    pub(super) continues: Option<&'static str>,
    /// Whether a sample of the connections that ended is kept with an alert, and what they had in
    /// common.
    pub(super) keeps_ends: bool,
    /// Returns the current values of the rule, one for each set of labels; labels without a
    /// measurement count as 0. `None`: the values are unknown now.
    pub(super) measure: fn(&RuleInput<'_>) -> Option<Vec<Measurement>>,
}

impl AlertRule {
    /// What most rules have in common: they warn at once, no other alert explains theirs, and their
    /// alerts end only when their trouble is over.
    pub(super) const DEFAULT: AlertRule = AlertRule {
        name: "",
        severity: Severity::Warning,
        action: "",
        threshold: |_| 0.0,
        hold: |_| Micros::ZERO,
        explained_by: |_| &[],
        yields: false,
        looks_back: Micros::ZERO,
        posted_every: None,
        continues: None,
        keeps_ends: false,
        measure: |_| None,
    };
}

/// A rule whose alerts explain those of another one.
#[derive(Debug, Clone, Copy)]
pub(super) struct ExplainedBy {
    pub(super) rule: &'static str,
    pub(super) scope: Scope,
}

/// Which alerts an alert explains.
#[derive(Debug, Clone, Copy)]
pub(super) enum Scope {
    /// All of the other rule.
    Fleet,
    /// Those about the same route.
    Route,
    /// Those about the same upstream, of whatever route.
    Upstream,
    /// Those about the same class, if at least half of their connections may be its own.
    Class,
    /// Those about the same network block, of whatever class.
    Block,
}

/// The connections that an alert is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Extent {
    /// Their network blocks; none: it is not about certain ones.
    pub(super) blocks: Vec<NetworkBlock>,
    /// How many they are.
    pub(super) connections: u64,
}

/// What an alert is about: its labels, and its connections.
pub(super) type Subject<'a> = (&'a Labels, &'a Extent);

impl ExplainedBy {
    /// Returns whether an alert with this name about `of` explains one about `subject`.
    pub(super) fn fits(self, name: &str, of: Subject<'_>, subject: Subject<'_>) -> bool {
        let is_same = |key| of.0.get(key) == subject.0.get(key);
        let is_about = match self.scope {
            Scope::Fleet => true,
            Scope::Route => is_same("route"),
            Scope::Upstream => is_same("upstream"),
            Scope::Class => {
                is_same("class") && of.1.connections.saturating_mul(2) >= subject.1.connections
            }
            Scope::Block => of.1.shares_block(subject.1),
        };
        name == self.rule && is_about
    }
}

impl Extent {
    /// Returns whether connections of both are in one network block.
    pub(super) fn shares_block(&self, other: &Extent) -> bool {
        self.blocks.iter().any(|block| other.blocks.contains(block))
    }
}

/// One current value of a rule, with its labels.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Measurement {
    pub(super) labels: Labels,
    pub(super) value: f64,
    /// The threshold, if it differs from the setting's.
    pub(super) threshold: f64,
    /// What is wrong, in words, with the numbers.
    pub(super) summary: String,
    /// The connections, as far as other rules need to know.
    pub(super) extent: Extent,
}

impl Measurement {
    /// Returns the one measurement of a rule without labels.
    pub(super) fn single(value: f64, threshold: f64, summary: String) -> Option<Vec<Self>> {
        Some(vec![Measurement {
            value,
            threshold,
            summary,
            ..Measurement::default()
        }])
    }
}

/// Builds labels from names and values.
pub(super) fn labels<const N: usize>(pairs: [(&'static str, &str); N]) -> Labels {
    let pairs = pairs.into_iter();
    pairs.map(|(key, value)| (key, value.into())).collect()
}
