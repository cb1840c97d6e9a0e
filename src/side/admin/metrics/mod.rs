//! `/metrics`: what the loop counts. The format is OpenMetrics if `Accept` asks for it, otherwise
//! the older text format of Prometheus.
//!
//! A scrape asks the loop for one snapshot and writes it, so all its numbers are from one moment
//! and nothing is counted twice.

mod alert_metrics;
mod bridge;
mod endpoint;
mod event_metrics;
mod foresight_metrics;
mod identity_metrics;
mod off_loop;
mod pulse_metrics;
mod relay;
mod scrape;
mod text;
mod upstream_metrics;
mod verdict_metrics;
mod writer;

pub(super) use self::endpoint::router;
