//! The alerts: evaluated at each look, kept in the book, and reported to the log and to a webhook.

use super::book::{Alert, AlertState, Book, News};
use super::deaths::Deaths;
use super::payload::Sender;
use super::rules::RULES;
use super::sample::{Past, Sample};
use super::settings::AlertSettings;
use super::sink::{Sink, SinkStats};
use super::view::View;
use crate::gateway::{Closed, Value};
use crate::side::lock::lock;
use crate::side::process;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

/// The alerts, and their webhook.
pub(in crate::side) struct Alerts {
    settings: Arc<Mutex<AlertSettings>>,
    watch: Mutex<Watch>,
    sink: Arc<Sink>,
}

/// The state that is kept from one evaluation of the rules to the next.
#[derive(Debug, Default)]
pub(super) struct Watch {
    past: Past,
    pub(super) deaths: Deaths,
    pub(super) book: Book,
}

impl Watch {
    /// Evaluates all rules on one sample; returns what to report.
    pub(super) fn look(&mut self, settings: &AlertSettings, sample: &Sample) -> Vec<News> {
        let counters = sample.counters.as_ref();
        let past = &mut self.past;
        let view = View {
            settings,
            sample,
            fleet: counters.map(|now| past.fleet(sample.now, now, settings.window)),
            deaths: &self.deaths,
        };
        let news = self.book.look(&view);
        let (many, interval) = (settings.mass_death_window, settings.interval);
        self.deaths
            .forget(sample.now, many, interval, settings.window);
        news
    }
}

impl Alerts {
    /// Creates the alerts. `listen` is the address of the loop's listener, `admin` that of the
    /// admin listener.
    pub(in crate::side) fn new(
        settings: Arc<Mutex<AlertSettings>>,
        listen: SocketAddr,
        admin: Option<SocketAddr>,
    ) -> Self {
        let host = process::hostname().unwrap_or_else(|| listen.ip().to_string());
        let sender = Sender {
            instance: format!("{host}:{}", listen.port()),
            url: admin.map_or_else(String::new, |admin| format!("http://{admin}")),
        };
        Alerts {
            watch: Mutex::default(),
            sink: Arc::new(Sink::new(settings.clone(), sender)),
            settings,
        }
    }

    /// Records connections that have ended.
    pub(in crate::side) fn note(&self, closed: &VecDeque<Closed>) {
        lock(&self.watch).deaths.note(closed);
    }

    /// Returns all alerts: firing ones first, then pending ones, then resolved ones.
    pub(in crate::side) fn all(&self) -> Vec<Alert> {
        lock(&self.watch).book.all()
    }

    /// Returns the number of firing alerts, by rule.
    pub(in crate::side) fn firing(&self) -> Vec<(&'static str, u64)> {
        let watch = lock(&self.watch);
        let count = |name| watch.book.firing().filter(|a| a.name == name).count() as u64;
        RULES
            .iter()
            .map(|rule| (rule.name, count(rule.name)))
            .collect()
    }

    /// Returns the number of lost connections that are remembered.
    #[cfg(test)]
    pub(in crate::side) fn losses(&self) -> usize {
        lock(&self.watch).deaths.count()
    }

    /// Returns the number of alerts for which there was no room.
    pub(in crate::side) fn refused(&self) -> u64 {
        lock(&self.watch).book.refused
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
    pub(super) fn look(&self, settings: &AlertSettings, sample: &Sample) {
        let news = lock(&self.watch).look(settings, sample);
        for news in news {
            match news {
                News::Changed(alert) => {
                    say(&alert);
                    self.sink.tell(alert);
                }
                News::Still(alert) => self.sink.tell(alert),
            }
        }
    }
}

/// Logs an alert.
fn say(alert: &Alert) {
    let level = match alert.state {
        AlertState::Pending | AlertState::Firing => log::Level::Warn,
        AlertState::Resolved => log::Level::Info,
    };
    let labels: String = alert
        .labels
        .iter()
        .map(|(key, value)| format!(" {key}={}", Value(value)))
        .collect();
    log::log!(
        level,
        "alert state={} name={}{labels} severity={} value={:.1} threshold={} summary={}",
        alert.state.name(),
        alert.name,
        alert.severity.name(),
        alert.value,
        alert.threshold,
        Text(&alert.summary),
    );
}

/// A sentence in quotes. The names in it come from peers, and were sanitised before.
struct Text<'a>(&'a str);

impl std::fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.0)
    }
}
