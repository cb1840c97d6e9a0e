//! The book of alerts: a value that stays above its threshold for long enough fires; one that stays
//! clearly below for long enough is resolved.
//!
//! Pure: looks go in, news come out.

use super::rule::{Labels, Reading, Rule, Severity};
use super::rules::RULES;
use super::view::View;
use crate::base::bounded;
use crate::base::time::{Micros, UnixMillis};
use std::collections::{BTreeMap, VecDeque};

/// The limit of active alerts, firing or pending.
pub(super) const ACTIVE_MAX: usize = 1_000;

/// The number of resolved alerts that are kept.
pub(super) const RESOLVED_MAX: usize = 50;

/// An alert is resolved if its value stays below this part of its threshold. Between this part and
/// the threshold nothing changes.
const CLEARLY_BELOW: f64 = 0.8;

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

/// An alert, as other modules see it.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::side) struct Alert {
    pub(in crate::side) name: &'static str,
    pub(in crate::side) labels: Labels,
    pub(super) severity: Severity,
    pub(in crate::side) state: AlertState,
    /// When the value first reached the threshold.
    pub(in crate::side) since: UnixMillis,
    pub(in crate::side) resolved_at: Option<UnixMillis>,
    /// The value at the latest look at which it was not clearly below the threshold. `threshold`
    /// and `summary` are from the same look.
    pub(in crate::side) value: f64,
    pub(in crate::side) threshold: f64,
    pub(in crate::side) summary: String,
    pub(in crate::side) action: &'static str,
}

/// A report about an alert.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum News {
    /// The alert has begun to fire, or is resolved.
    Changed(Alert),
    /// The alert still fires and is reported again.
    Still(Alert),
}

#[derive(Debug)]
struct Active {
    alert: Alert,
    /// When the value reached the threshold.
    above: Micros,
    /// When the value fell clearly below the threshold.
    below: Option<Micros>,
    /// When the alert was last reported.
    told: Micros,
}

/// All alerts.
#[derive(Debug, Default)]
pub(super) struct Book {
    /// The active alerts, by the rule's index in the table and labels.
    active: BTreeMap<(usize, Labels), Active>,
    /// The resolved alerts, oldest first.
    resolved: VecDeque<Alert>,
    /// Alerts for which there was no room.
    pub(super) refused: u64,
}

impl Book {
    /// Evaluates all rules.
    pub(super) fn look(&mut self, view: &View<'_>) -> Vec<News> {
        let mut news = Vec::new();
        for (nth, rule) in RULES.iter().enumerate() {
            let is_on = view.settings.on && (rule.threshold)(view.settings) > 0.0;
            let readings = if is_on {
                (rule.look)(view)
            } else {
                Some(Vec::new())
            };
            let explains = |name: &&&str| self.fires(name);
            let explained_by = (rule.explained_by)(view).iter().find(explains).copied();
            // If the values are unknown now, nothing changes.
            if let Some(readings) = readings {
                self.miss(nth, &readings, is_on, view, &mut news);
                for reading in readings {
                    self.read(nth, rule, reading, explained_by.is_some(), view, &mut news);
                }
            }
            if let Some(other) = explained_by.filter(|_| rule.yields) {
                self.yield_to(other, nth, view, &mut news);
            }
        }
        news.extend(self.repeat(view.sample.now, view.settings.repeat));
        news
    }

    /// Handles the active alerts for which a rule has no reading: their value counts as 0.
    fn miss(
        &mut self,
        nth: usize,
        readings: &[Reading],
        is_on: bool,
        view: &View<'_>,
        news: &mut Vec<News>,
    ) {
        let missing: Vec<Labels> = self
            .active
            .keys()
            .filter(|(of, labels)| *of == nth && !readings.iter().any(|r| r.labels == *labels))
            .map(|(_, labels)| labels.clone())
            .collect();
        let resolve = if is_on {
            view.settings.resolve
        } else {
            Micros::ZERO
        };
        for labels in missing {
            self.sink((nth, labels), resolve, view, news);
        }
    }

    fn read(
        &mut self,
        nth: usize,
        rule: &Rule,
        reading: Reading,
        is_explained: bool,
        view: &View<'_>,
        news: &mut Vec<News>,
    ) {
        let Reading {
            labels,
            value,
            threshold,
            summary,
        } = reading;
        let (now, key) = (view.sample.now, (nth, labels));
        if !self.active.contains_key(&key) {
            if value < threshold || is_explained {
                return;
            }
            if self.active.len() >= ACTIVE_MAX {
                self.refused += 1;
                return;
            }
            let alert = Alert {
                name: rule.name,
                labels: key.1.clone(),
                severity: rule.severity,
                state: AlertState::Pending,
                since: view.sample.wall,
                resolved_at: None,
                value,
                threshold,
                summary: summary.clone(),
                action: rule.action,
            };
            let active = Active {
                alert,
                above: now,
                below: None,
                told: now,
            };
            self.active.insert(key.clone(), active);
        }
        let Some(active) = self.active.get_mut(&key) else {
            return;
        };
        if value < CLEARLY_BELOW * threshold {
            return self.sink(key, view.settings.resolve, view, news);
        }
        active.below = None;
        let alert = &mut active.alert;
        (alert.value, alert.threshold, alert.summary) = (value, threshold, summary);
        if alert.state != AlertState::Pending {
            return;
        }
        if value < threshold || is_explained {
            self.active.remove(&key);
        } else if now - active.above >= (rule.hold)(view) {
            active.alert.state = AlertState::Firing;
            active.told = now;
            news.push(News::Changed(active.alert.clone()));
        }
    }

    /// Ends the firing alerts of a rule at once. Their trouble is not over, but another alert
    /// reports it.
    fn yield_to(&mut self, other: &str, nth: usize, view: &View<'_>, news: &mut Vec<News>) {
        let mut keys = Vec::new();
        for (key, active) in &mut self.active {
            if key.0 == nth && active.alert.state == AlertState::Firing {
                active.alert.summary.push_str("; told as ");
                active.alert.summary.push_str(other);
                keys.push(key.clone());
            }
        }
        for key in keys {
            self.sink(key, Micros::ZERO, view, news);
        }
    }

    /// Handles a value that is clearly below its threshold, or that another alert reports: after
    /// `resolve` the alert ends.
    fn sink(
        &mut self,
        key: (usize, Labels),
        resolve: Micros,
        view: &View<'_>,
        news: &mut Vec<News>,
    ) {
        let now = view.sample.now;
        let Some(active) = self.active.get_mut(&key) else {
            return;
        };
        if active.alert.state == AlertState::Pending {
            self.active.remove(&key);
            return;
        }
        if now - *active.below.get_or_insert(now) < resolve {
            return;
        }
        if let Some(Active { mut alert, .. }) = self.active.remove(&key) {
            alert.state = AlertState::Resolved;
            alert.resolved_at = Some(view.sample.wall);
            bounded::push(&mut self.resolved, RESOLVED_MAX, alert.clone());
            news.push(News::Changed(alert));
        }
    }

    fn repeat(&mut self, now: Micros, repeat: Micros) -> Vec<News> {
        let due = self.active.values_mut().filter(|active| {
            active.alert.state == AlertState::Firing && now - active.told >= repeat
        });
        let tell = |active: &mut Active| {
            active.told = now;
            News::Still(active.alert.clone())
        };
        due.map(tell).collect()
    }

    fn fires(&self, name: &str) -> bool {
        self.firing().any(|alert| alert.name == name)
    }

    /// Returns the firing alerts.
    pub(super) fn firing(&self) -> impl Iterator<Item = &Alert> {
        let all = self.active.values().map(|active| &active.alert);
        all.filter(|alert| alert.state == AlertState::Firing)
    }

    /// Returns all alerts: firing ones first, then pending ones, then resolved ones, the latest
    /// first.
    pub(super) fn all(&self) -> Vec<Alert> {
        let mut active: Vec<&Active> = self.active.values().collect();
        active.sort_by_key(|active| {
            let is_pending = active.alert.state == AlertState::Pending;
            (is_pending, std::cmp::Reverse(active.above))
        });
        let mut all: Vec<Alert> = active.into_iter().map(|a| a.alert.clone()).collect();
        all.extend(self.resolved.iter().rev().cloned());
        all
    }
}
