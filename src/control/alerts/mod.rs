//! Alerts, for those without a metrics stack: a small set of rules over what the loop counts anyway. They are told to the log, to
//! whoever asks, and to a webhook.
//!
//! What is judged is pure (`book`, `rules`, `deaths`): looks with their time go in, news come out.

mod agents;
mod book;
mod deaths;
mod payload;
mod rules;
mod sample;
mod settings;
mod sink;
#[cfg(test)]
mod tests;
mod view;

pub(super) use self::book::{Alert, AlertState};
pub use self::settings::{AlertSettings, WebhookUrl};
pub(super) use self::sink::SinkStats;

use self::book::{Book, News};
use self::deaths::Deaths;
use self::payload::Sender;
use self::rules::RULES;
use self::sample::{Counters, Past, Sample};
use self::sink::Sink;
use self::view::View;
use super::errands::Runner;
use super::{ask, lock, process};
use crate::gateway::{Closed, Desk, Value};
use crate::time::{Micros, Moment};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The settings may change while we wait for the next look: for so long at most they are not noticed.
const NOTICE: Duration = Duration::from_secs(1);

/// The alerts, and whoever tells of them.
pub(super) struct Alerts {
    settings: Arc<Mutex<AlertSettings>>,
    watch: Mutex<Watch>,
    sink: Arc<Sink>,
}

/// What is known.
#[derive(Debug, Default)]
struct Watch {
    past: Past,
    deaths: Deaths,
    book: Book,
}

impl Watch {
    /// One look; what is to be told.
    fn look(&mut self, settings: &AlertSettings, sample: &Sample) -> Vec<News> {
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
    /// `listen` is where the loop listens, `admin` where operators ask.
    pub(super) fn new(
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

    /// Takes note of connections that have ended.
    pub(super) fn note(&self, closed: &VecDeque<Closed>) {
        lock(&self.watch).deaths.note(closed);
    }

    /// Firing ones first, then pending ones, then resolved ones.
    pub(super) fn all(&self) -> Vec<Alert> {
        lock(&self.watch).book.all()
    }

    /// How many fire, by rule.
    pub(super) fn firing(&self) -> Vec<(&'static str, u64)> {
        let watch = lock(&self.watch);
        let count = |name| watch.book.firing().filter(|a| a.name == name).count() as u64;
        RULES
            .iter()
            .map(|rule| (rule.name, count(rule.name)))
            .collect()
    }

    /// Alerts for which there was no room.
    pub(super) fn refused(&self) -> u64 {
        lock(&self.watch).book.refused
    }

    /// How posting goes, and whether there is anybody to post to.
    pub(super) fn sink(&self) -> (SinkStats, bool) {
        (self.sink.stats(), self.sink.is_configured())
    }

    /// Posts what there is to tell, for ever.
    pub(super) async fn post(&self) {
        self.sink.clone().run().await;
    }

    fn tell(&self, news: Vec<News>) {
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

/// Looks again and again, and tells of what is found; for ever. `ended` takes note of the connections that have ended up to now.
pub(super) async fn watch(alerts: &Alerts, desk: &Desk, runner: &Runner, ended: impl Fn()) {
    let mut looked: Option<Micros> = None;
    loop {
        let settings = lock(&alerts.settings).clone();
        if let Some(looked) = looked {
            let left = (looked + settings.interval - Moment::now().raw).as_duration();
            if !left.is_zero() {
                tokio::time::sleep(left.min(NOTICE)).await;
                continue;
            }
        }
        looked = Some(Moment::now().raw);
        let sample = if settings.on {
            look_at(desk, runner).await
        } else {
            // Every rule is off, and what fires is resolved.
            Sample::default()
        };
        // Also so that the box does not fill.
        ended();
        let Moment { raw, wall } = Moment::now();
        let sample = Sample {
            now: raw,
            wall,
            ..sample
        };
        let news = lock(&alerts.watch).look(&settings, &sample);
        alerts.tell(news);
    }
}

async fn look_at(desk: &Desk, runner: &Runner) -> Sample {
    let asked = ask::ask(desk, |gateway, io| {
        let (flapping, _) = gateway.flapping(io);
        (gateway.snapshot(io), gateway.user_agents(io), flapping)
    });
    let (mut counters, mut flapping_now) = (None, Vec::new());
    if let Ok((snapshot, agents, flapping)) = asked.await {
        let counted = Counters::from(&snapshot);
        counters = Some(Counters { agents, ..counted });
        flapping_now = flapping;
    }
    let figures = process::figures();
    Sample {
        counters,
        flapping: flapping_now,
        down: runner.webhooks().down,
        fds: figures.open_fds.zip(figures.max_fds),
        memory: process::memory(),
        ..Sample::default()
    }
}

/// Says it in the log.
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

/// A sentence in quotes: its names are peers', and were cut before.
struct Text<'a>(&'a str);

impl std::fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.0)
    }
}
