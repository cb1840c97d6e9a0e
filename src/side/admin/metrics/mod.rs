//! `/metrics`: what the loop counts. The format is OpenMetrics if `Accept` asks for it, otherwise
//! the older text format of Prometheus.
//!
//! A scrape asks the loop for one snapshot and writes it, so all its numbers are from one moment
//! and nothing is counted twice.

mod alerts;
mod answer;
mod beside;
mod page;
mod relay;
mod scrape;
mod text;

pub(super) use self::answer::router;
