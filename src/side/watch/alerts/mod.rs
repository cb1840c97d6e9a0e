//! Alerts for installations without a metrics stack: a small set of rules over counters that exist
//! anyway. Alerts go to the log, the API and a webhook.
//!
//! The evaluation is pure (`book`, `rules`, `deaths`): looks with their time go in, news come out.

mod agents;
mod alerting;
mod book;
mod deaths;
mod limits;
mod looking;
mod payload;
mod peers;
mod rule;
mod rules;
mod sample;
mod settings;
mod sink;
#[cfg(test)]
mod tests;
mod view;

pub(in crate::side) use self::alerting::Alerts;
pub(in crate::side) use self::book::{Alert, AlertState};
pub(in crate::side) use self::looking::watch;
pub use self::settings::{AlertSettings, WebhookUrl};
pub(in crate::side) use self::sink::SinkStats;
