//! Alerts for installations without a metrics stack: a small set of rules over counters that exist
//! anyway. Alerts go to the log, the API and a webhook.
//!
//! The evaluation is pure (`alert_table`, `rule_table`, `losses`): samples with their time go in,
//! events come out.

mod agents;
mod alert_rule;
mod alert_settings;
mod alert_table;
mod alerting;
mod evaluation_task;
mod foresight_rules;
mod gateway_rules;
mod losses;
mod payload;
mod peer_rules;
mod rule_input;
mod rule_table;
mod sample;
mod sink;
#[cfg(test)]
mod tests;
mod trouble_rules;
mod upstream_rules;
mod verdict_rules;

pub use self::alert_settings::{AlertSettings, WebhookUrl};
pub(in crate::side) use self::alert_table::{Alert, AlertState};
pub(in crate::side) use self::alerting::Alerts;
pub(in crate::side) use self::evaluation_task::run;
pub(super) use self::sample::Observed;
pub(in crate::side) use self::sink::SinkStats;
pub(super) use self::trouble_rules::NAMED_MAX;
