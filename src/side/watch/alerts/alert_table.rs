//! The table of alerts: a value that stays above its threshold for long enough fires; one that
//! stays clearly below for long enough is resolved.
//!
//! Pure: samples go in, events come out.

use super::alert_rule::{AlertRule, ExplainedBy, Extent, Labels, Measurement, Severity, Subject};
use super::rule_input::RuleInput;
use super::rule_table::RULES;
use crate::base::bounded;
use crate::base::time::{Micros, UnixMillis};
use std::collections::{BTreeMap, VecDeque};

/// The limit of active alerts, firing or pending.
pub(super) const ACTIVE_MAX: usize = 1_000;

/// The number of resolved alerts that are kept.
pub(super) const RESOLVED_MAX: usize = 50;

/// An alert is resolved if its value stays below this part of its threshold. Between this part and
/// the threshold nothing changes.
const RESOLVE_RATIO: f64 = 0.8;

/// The state of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::side) enum AlertState {
    /// The value is at the threshold or above, but not yet for long enough.
    Pending,
    /// The alert fires.
    Firing,
    /// The alert has ended.
    Resolved,
}

impl AlertState {
    /// Returns the name in the log.
    pub(in crate::side) fn name(self) -> &'static str {
        match self {
            AlertState::Pending => "pending",
            AlertState::Firing => "firing",
            AlertState::Resolved => "resolved",
        }
    }
}

/// What an alert was when it began. Receivers tell alerts apart by it, so it stays as it is when
/// the alert goes on as one of another rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct AlertOrigin {
    pub(super) name: &'static str,
    pub(super) severity: Severity,
    pub(super) labels: Labels,
}

/// An alert, as other modules see it.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::side) struct Alert {
    /// The number of the alert, from 1 in the order in which alerts fire; 0 before it has fired.
    pub(in crate::side) id: u64,
    pub(super) origin: AlertOrigin,
    pub(in crate::side) name: &'static str,
    pub(in crate::side) labels: Labels,
    pub(super) severity: Severity,
    pub(in crate::side) state: AlertState,
    /// When the value first reached the threshold.
    pub(in crate::side) since: UnixMillis,
    pub(in crate::side) resolved_at: Option<UnixMillis>,
    /// The value at the latest evaluation at which it was not clearly below the threshold.
    /// `threshold` and `summary` are from the same evaluation.
    pub(in crate::side) value: f64,
    pub(in crate::side) threshold: f64,
    pub(in crate::side) summary: String,
    pub(in crate::side) action: &'static str,
}

/// A report about an alert.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum AlertEvent {
    /// The alert has begun to fire, goes on as one of another rule, or is resolved.
    Changed(Alert),
    /// The alert still fires and is reported again.
    Repeated(Alert),
}

/// Whether an alert may begin to fire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    /// Nothing explains it.
    Free,
    /// An alert that would explain it is about to fire.
    Waits,
    /// Another alert explains it, or did lately.
    Explained,
}

/// A pending or firing alert, with the times that decide on its next state.
#[derive(Debug)]
struct ActiveAlert {
    alert: Alert,
    /// The connections that it is about; their largest number.
    extent: Extent,
    /// When the value reached the threshold.
    above: Micros,
    /// When the value fell clearly below the threshold.
    below: Option<Micros>,
    /// When the alert was last reported.
    reported: Micros,
}

/// An alert that was resolved and may still explain others.
#[derive(Debug)]
struct ResolvedLately {
    at: Micros,
    extent: Extent,
}

/// All alerts.
#[derive(Debug, Default)]
pub(super) struct AlertTable {
    /// The active alerts, by the rule's index in the table and labels.
    active: BTreeMap<(usize, Labels), ActiveAlert>,
    /// The resolved alerts, oldest first.
    resolved: VecDeque<Alert>,
    /// The alerts that were resolved and may still explain others.
    lately: BTreeMap<(usize, Labels), ResolvedLately>,
    /// Alerts for which there was no room.
    pub(super) refused: u64,
    /// Alerts that have fired since the start.
    fired: u64,
}

impl AlertTable {
    /// Evaluates all rules.
    pub(super) fn evaluate(&mut self, input: &RuleInput<'_>) -> Vec<AlertEvent> {
        let mut events = Vec::new();
        self.forget_explanations(input);
        for (nth, rule) in RULES.iter().enumerate() {
            let is_on = input.settings.on && (rule.threshold)(input.settings) > 0.0;
            let measurements = if is_on {
                (rule.measure)(input)
            } else {
                Some(Vec::new())
            };
            let explanations = (rule.explained_by)(input);
            // If the values are unknown now, nothing changes.
            if let Some(measurements) = measurements {
                self.resolve_missing(nth, &measurements, is_on, input, &mut events);
                for measurement in measurements {
                    let subject = (&measurement.labels, &measurement.extent);
                    let start = self.start(rule, explanations, subject, input);
                    self.apply(nth, rule, measurement, start, input, &mut events);
                }
            }
            if rule.yields {
                self.yield_to(explanations, nth, input, &mut events);
            }
        }
        events.extend(self.repeat_due(input.sample.now, input.settings.repeat));
        events
    }

    /// Handles the active alerts for which a rule has no measurement: their value counts as 0.
    fn resolve_missing(
        &mut self,
        nth: usize,
        measurements: &[Measurement],
        is_on: bool,
        input: &RuleInput<'_>,
        events: &mut Vec<AlertEvent>,
    ) {
        let missing: Vec<Labels> = self
            .active
            .keys()
            .filter(|(of, labels)| *of == nth && !measurements.iter().any(|r| r.labels == *labels))
            .map(|(_, labels)| labels.clone())
            .collect();
        let resolve = if is_on {
            input.settings.resolve
        } else {
            Micros::ZERO
        };
        for labels in missing {
            self.resolve_after((nth, labels), resolve, input, events);
        }
    }

    fn apply(
        &mut self,
        nth: usize,
        rule: &AlertRule,
        measurement: Measurement,
        start: Start,
        input: &RuleInput<'_>,
        events: &mut Vec<AlertEvent>,
    ) {
        let Measurement {
            labels,
            value,
            threshold,
            summary,
            extent,
        } = measurement;
        let (now, key) = (input.sample.now, (nth, labels));
        if !self.active.contains_key(&key) {
            if value < threshold || start == Start::Explained || self.goes_on(&key) {
                return;
            }
            if self.active.len() >= ACTIVE_MAX {
                self.refused += 1;
                return;
            }
            let alert = Alert {
                id: 0,
                origin: AlertOrigin {
                    name: rule.name,
                    severity: rule.severity,
                    labels: key.1.clone(),
                },
                name: rule.name,
                labels: key.1.clone(),
                severity: rule.severity,
                state: AlertState::Pending,
                since: input.sample.wall,
                resolved_at: None,
                value,
                threshold,
                summary: summary.clone(),
                action: rule.action,
            };
            let active = ActiveAlert {
                alert,
                extent: extent.clone(),
                above: now,
                below: None,
                reported: now,
            };
            self.active.insert(key.clone(), active);
        }
        let Some(active) = self.active.get_mut(&key) else {
            return;
        };
        if value < RESOLVE_RATIO * threshold {
            return self.resolve_after(key, input.settings.resolve, input, events);
        }
        active.below = None;
        active.extent.connections = active.extent.connections.max(extent.connections);
        active.extent.blocks = extent.blocks;
        let alert = &mut active.alert;
        (alert.value, alert.threshold, alert.summary) = (value, threshold, summary);
        if alert.state != AlertState::Pending {
            return;
        }
        if value < threshold || start == Start::Explained {
            self.active.remove(&key);
        } else if start == Start::Free && now - active.above >= (rule.hold)(input) {
            self.fire(&key, now, events);
        }
    }

    /// Returns whether the alert that began with this key goes on as one of another rule. One with
    /// the same fingerprint must not begin.
    fn goes_on(&self, (nth, labels): &(usize, Labels)) -> bool {
        let mut origins = self.active.values().map(|active| &active.alert.origin);
        origins.any(|origin| origin.name == RULES[*nth].name && origin.labels == *labels)
    }

    /// Lets a pending alert fire. If an alert goes on as this one, this one takes its place.
    fn fire(&mut self, key: &(usize, Labels), now: Micros, events: &mut Vec<AlertEvent>) {
        let continued = self.take_continued(key);
        let Some(active) = self.active.get_mut(key) else {
            return;
        };
        if let Some(before) = continued {
            active.above = before.above;
            active.alert.id = before.alert.id;
            active.alert.since = before.alert.since;
            active.alert.origin = before.alert.origin;
        } else {
            self.fired += 1;
            active.alert.id = self.fired;
        }
        active.alert.state = AlertState::Firing;
        active.reported = now;
        events.push(AlertEvent::Changed(active.alert.clone()));
    }

    /// Removes and returns the firing alert that goes on as the one with this key: of those about
    /// the same network blocks, the one about the most connections.
    fn take_continued(&mut self, key: &(usize, Labels)) -> Option<ActiveAlert> {
        let name = RULES[key.0].continues?;
        let extent = &self.active.get(key)?.extent;
        let mut most: Option<(&(usize, Labels), &ActiveAlert)> = None;
        for (of, active) in &self.active {
            let is_continued = active.alert.name == name
                && active.alert.state == AlertState::Firing
                && active.extent.shares_block(extent);
            let is_larger =
                most.is_none_or(|(_, most)| active.extent.connections > most.extent.connections);
            if is_continued && is_larger {
                most = Some((of, active));
            }
        }
        let key = most?.0.clone();
        self.active.remove(&key)
    }

    /// Ends the firing alerts of a rule at once that others explain. Their trouble is not over, but
    /// another alert reports it.
    fn yield_to(
        &mut self,
        explanations: &[ExplainedBy],
        nth: usize,
        input: &RuleInput<'_>,
        events: &mut Vec<AlertEvent>,
    ) {
        let firing = self
            .active
            .iter()
            .filter(|((of, _), active)| *of == nth && active.alert.state == AlertState::Firing);
        let explained: Vec<_> = firing
            .filter_map(|(key, active)| {
                let other = self.explained(explanations, (&key.1, &active.extent))?;
                Some((key.clone(), other))
            })
            .collect();
        for (key, other) in explained {
            if let Some(active) = self.active.get_mut(&key) {
                active.alert.summary.push_str("; told as ");
                active.alert.summary.push_str(other);
            }
            self.resolve_after(key, Micros::ZERO, input, events);
        }
    }

    /// Handles a value that is clearly below its threshold, or that another alert reports: after
    /// `resolve` the alert ends.
    fn resolve_after(
        &mut self,
        key: (usize, Labels),
        resolve: Micros,
        input: &RuleInput<'_>,
        events: &mut Vec<AlertEvent>,
    ) {
        let now = input.sample.now;
        let Some(active) = self.active.get_mut(&key) else {
            return;
        };
        if active.alert.state == AlertState::Pending {
            self.active.remove(&key);
            return;
        }
        let was_posted = RULES[key.0]
            .posted_every
            .is_some_and(|every| now - active.reported < every);
        let is_clear = now - *active.below.get_or_insert(now) >= resolve;
        if !is_clear || was_posted && resolve > Micros::ZERO {
            return;
        }
        if let Some(ActiveAlert {
            mut alert, extent, ..
        }) = self.active.remove(&key)
        {
            // One that another alert reports, or whose rule is off, explains nothing more.
            if resolve > Micros::ZERO && self.lately.len() < ACTIVE_MAX {
                self.lately.insert(key, ResolvedLately { at: now, extent });
            }
            alert.state = AlertState::Resolved;
            alert.resolved_at = Some(input.sample.wall);
            bounded::push(&mut self.resolved, RESOLVED_MAX, alert.clone());
            events.push(AlertEvent::Changed(alert));
        }
    }

    fn repeat_due(&mut self, now: Micros, repeat: Micros) -> Vec<AlertEvent> {
        let due = self.active.iter_mut().filter(|((nth, _), active)| {
            let repeat = RULES[*nth].posted_every.unwrap_or(repeat);
            active.alert.state == AlertState::Firing && now - active.reported >= repeat
        });
        let report = |(_, active): (_, &mut ActiveAlert)| {
            active.reported = now;
            AlertEvent::Repeated(active.alert.clone())
        };
        due.map(report).collect()
    }

    /// Forgets alerts that were resolved too long ago to explain others.
    fn forget_explanations(&mut self, input: &RuleInput<'_>) {
        let spans = RULES
            .iter()
            .map(|rule| rule.looks_back.max(rule.posted_every.unwrap_or_default()));
        let span = input.settings.resolve.max(spans.max().unwrap_or_default());
        let now = input.sample.now;
        self.lately.retain(|_, resolved| now - resolved.at < span);
    }

    /// Returns whether an alert about this subject may begin to fire.
    fn start(
        &self,
        rule: &AlertRule,
        explanations: &[ExplainedBy],
        subject: Subject<'_>,
        input: &RuleInput<'_>,
    ) -> Start {
        let explains = |name: &str, of: Subject<'_>| {
            let mut by = explanations.iter();
            by.any(|by| by.fits(name, of, subject))
        };
        let within = |at: Micros, span: Micros| input.sample.now - at < span;
        let span = input.settings.resolve.max(rule.looks_back);
        let was_posted = rule.posted_every.is_some_and(|every| {
            let mut lately = self.lately.iter();
            lately.any(|((nth, of), resolved)| {
                RULES[*nth].name == rule.name && of == subject.0 && within(resolved.at, every)
            })
        });
        let mut lately = self.lately.iter();
        let is_explained = was_posted
            || self.explained(explanations, subject).is_some()
            || lately.any(|((nth, of), resolved)| {
                within(resolved.at, span) && explains(RULES[*nth].name, (of, &resolved.extent))
            });
        let mut active = self.active.iter();
        match is_explained {
            true => Start::Explained,
            false
                if active.any(|((nth, of), active)| {
                    explains(RULES[*nth].name, (of, &active.extent))
                }) =>
            {
                Start::Waits
            }
            false => Start::Free,
        }
    }

    /// Returns the name of a firing alert that explains one about this subject.
    fn explained(
        &self,
        explanations: &[ExplainedBy],
        subject: Subject<'_>,
    ) -> Option<&'static str> {
        let mut by = explanations.iter();
        let by = by.find(|by| {
            let mut active = self.active.values();
            active.any(|active| {
                let alert = &active.alert;
                alert.state == AlertState::Firing
                    && by.fits(alert.name, (&alert.labels, &active.extent), subject)
            })
        });
        by.map(|by| by.rule)
    }

    /// Returns the alerts with which ended connections are kept: those that fire, and the last ones
    /// that were resolved.
    pub(super) fn keeping_ends(&self) -> Vec<Alert> {
        let keeps_ends = |name: &str| {
            let rule = RULES.iter().find(|rule| rule.name == name);
            rule.is_some_and(|rule| rule.keeps_ends)
        };
        let all = self.firing().chain(&self.resolved);
        all.filter(|alert| keeps_ends(alert.name))
            .cloned()
            .collect()
    }

    /// Returns the firing alerts.
    pub(super) fn firing(&self) -> impl Iterator<Item = &Alert> {
        let all = self.active.values().map(|active| &active.alert);
        all.filter(|alert| alert.state == AlertState::Firing)
    }

    /// Returns all alerts: firing ones first, then pending ones, then resolved ones, the latest
    /// first.
    pub(super) fn all(&self) -> Vec<Alert> {
        let mut active: Vec<&ActiveAlert> = self.active.values().collect();
        active.sort_by_key(|active| {
            let is_pending = active.alert.state == AlertState::Pending;
            (is_pending, std::cmp::Reverse(active.above))
        });
        let mut all: Vec<Alert> = active.into_iter().map(|a| a.alert.clone()).collect();
        all.extend(self.resolved.iter().rev().cloned());
        all
    }
}
