//! `/metrics`: what the loop counts, as OpenMetrics text if `Accept` asks for that, else in the older text format of Prometheus.
//!
//! Nothing is counted twice: a scrape asks the loop for one snapshot and writes it down, so all numbers of a scrape are of one
//! moment.

mod alerts;
mod answer;
mod beside;
mod page;
mod relay;
mod scrape;
mod text;

pub(super) use self::answer::router;
