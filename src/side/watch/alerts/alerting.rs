//! The alerts: evaluated at regular intervals, kept in the table, and reported to the log and to a
//! webhook.

use super::alert_settings::AlertSettings;
use super::alert_table::{Alert, AlertEvent, AlertState, AlertTable};
use super::losses::Losses;
use super::payload::AlertSource;
use super::rule_input::RuleInput;
use super::rule_table::RULES;
use super::sample::{CounterHistory, Sample};
use super::sink::{Sink, SinkStats};
use crate::gateway::{Classes, ClosedConn, LogValue};
use crate::side::lock::lock;
use crate::side::process;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

/// The alerts, and their webhook.
pub(in crate::side) struct Alerts {
    classes: Classes,
    settings: Arc<Mutex<AlertSettings>>,
    evaluator: Mutex<Evaluator>,
    sink: Arc<Sink>,
}

/// The state that is kept from one evaluation of the rules to the next.
#[derive(Debug, Default)]
pub(super) struct Evaluator {
    history: CounterHistory,
    pub(super) losses: Losses,
    pub(super) table: AlertTable,
}

impl Evaluator {
    /// Evaluates all rules on one sample; returns what to report.
    pub(super) fn evaluate(
        &mut self,
        settings: &AlertSettings,
        sample: &Sample,
    ) -> Vec<AlertEvent> {
        let counters = sample.counters.as_ref();
        let history = &mut self.history;
        let input = RuleInput {
            settings,
            sample,
            fleet: counters.map(|now| history.fleet(sample.now, now, settings.window)),
            losses: &self.losses,
        };
        let events = self.table.evaluate(&input);
        let (mass_window, interval) = (settings.mass_death_window, settings.interval);
        self.losses
            .forget(sample.now, mass_window, interval, settings.window);
        events
    }
}

impl Alerts {
    /// Creates the alerts. `listen` is the address of the loop's listener, `admin` that of the
    /// admin listener.
    pub(in crate::side) fn new(
        settings: Arc<Mutex<AlertSettings>>,
        listen: SocketAddr,
        admin: Option<SocketAddr>,
        classes: Classes,
    ) -> Self {
        let host = process::hostname().unwrap_or_else(|| listen.ip().to_string());
        let source = AlertSource {
            instance: format!("{host}:{}", listen.port()),
            url: admin.map_or_else(String::new, |admin| format!("http://{admin}")),
        };
        Alerts {
            classes,
            evaluator: Mutex::default(),
            sink: Arc::new(Sink::new(settings.clone(), source)),
            settings,
        }
    }

    /// Records connections that have ended.
    pub(in crate::side) fn record(&self, closed: &VecDeque<ClosedConn>) {
        // A service that is lost is no client that has died.
        let of_clients = closed.iter().filter(|closed| {
            let class = closed.end.class;
            class.is_none_or(|class| !self.classes.is_upstream(class))
        });
        lock(&self.evaluator).losses.record(of_clients);
    }

    /// Returns all alerts: firing ones first, then pending ones, then resolved ones.
    pub(in crate::side) fn all(&self) -> Vec<Alert> {
        lock(&self.evaluator).table.all()
    }

    /// Returns the alerts with which ended connections are kept: those that fire, and the last ones
    /// that were resolved.
    pub(in crate::side) fn keeping_ends(&self) -> Vec<Alert> {
        lock(&self.evaluator).table.keeping_ends()
    }

    /// Returns the number of firing alerts, by rule.
    pub(in crate::side) fn firing(&self) -> Vec<(&'static str, u64)> {
        let evaluator = lock(&self.evaluator);
        let count = |name| evaluator.table.firing().filter(|a| a.name == name).count() as u64;
        RULES
            .iter()
            .map(|rule| (rule.name, count(rule.name)))
            .collect()
    }

    /// Returns the number of lost connections that are remembered.
    #[cfg(test)]
    pub(in crate::side) fn losses(&self) -> usize {
        lock(&self.evaluator).losses.count()
    }

    /// Returns the number of alerts for which there was no room.
    pub(in crate::side) fn refused(&self) -> u64 {
        lock(&self.evaluator).table.refused
    }

    /// Returns the state of the webhook, and whether one is set.
    pub(in crate::side) fn sink(&self) -> (SinkStats, bool) {
        (self.sink.stats(), self.sink.is_configured())
    }

    /// Posts alerts until the process ends.
    pub(in crate::side) async fn post(&self) {
        self.sink.clone().run().await;
    }

    /// Returns the current settings.
    pub(super) fn settings(&self) -> AlertSettings {
        lock(&self.settings).clone()
    }

    /// Evaluates all rules on one sample, and reports what has changed.
    pub(super) fn evaluate(&self, settings: &AlertSettings, sample: &Sample) {
        let events = lock(&self.evaluator).evaluate(settings, sample);
        for event in events {
            match event {
                AlertEvent::Changed(alert) => {
                    log_alert(&alert);
                    self.sink.enqueue(alert);
                }
                AlertEvent::Repeated(alert) => self.sink.enqueue(alert),
            }
        }
    }
}

/// Logs an alert.
fn log_alert(alert: &Alert) {
    let level = match alert.state {
        AlertState::Pending | AlertState::Firing => log::Level::Warn,
        AlertState::Resolved => log::Level::Info,
    };
    let labels: String = alert
        .labels
        .iter()
        .map(|(key, value)| format!(" {key}={}", LogValue(value)))
        .collect();
    let before = match alert.origin.name {
        name if name == alert.name => String::new(),
        name => format!(" before={name}"),
    };
    log::log!(
        level,
        "alert state={} name={}{before}{labels} severity={} value={:.1} threshold={} summary={}",
        alert.state.name(),
        alert.name,
        alert.severity.name(),
        alert.value,
        alert.threshold,
        QuotedText(&alert.summary),
    );
}

/// A sentence in quotes. The names in it come from peers, and were sanitised before.
struct QuotedText<'a>(&'a str);

impl std::fmt::Display for QuotedText<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.0)
    }
}
