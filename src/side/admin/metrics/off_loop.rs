//! The metrics that are counted outside the loop: jobs, failed logins and the process.

use super::scrape::Scrape;
use super::writer::MetricsWriter;
use crate::side::admin::failed_logins::LoginFailure;
use crate::side::http::{CODE_CLASSES, END_CAUSES};
use crate::side::jobs::{WebhookResult, WebhookType};
use std::fmt;

impl Scrape {
    /// Writes the metrics of the thread `jobs`: webhooks and the state file.
    pub(super) fn jobs(&self, writer: &mut MetricsWriter<'_, '_>) -> fmt::Result {
        let help = "Webhook attempts, by type and result";
        writer.counters("pulsegate_webhooks", help, |family| {
            for kind in WebhookType::ALL {
                for result in WebhookResult::ALL {
                    let labels = [("type", kind.name()), ("result", result.name())];
                    family.count(&labels, self.webhooks.counts.get(kind, result))?;
                }
            }
            Ok(())
        })?;
        writer.gauge(
            "pulsegate_webhooks_in_flight",
            "Webhook requests that were sent and not answered yet",
            self.webhooks.in_flight as i64,
        )?;
        writer.gauge(
            "pulsegate_webhooks_waiting",
            "Webhooks that wait for their first or next attempt",
            self.webhooks.waiting as i64,
        )?;
        writer.gauge(
            "pulsegate_webhook_breakers_open",
            "Apps whose webhook server is considered down",
            self.webhooks.breakers_open as i64,
        )?;
        writer.counter(
            "pulsegate_jobs_lost",
            "Webhooks and state file changes that were lost because their queue was full",
            self.jobs_lost,
        )?;
        let help = "Records for the admin API and the alerts that were lost because their queue \
                    was full";
        writer.counters("pulsegate_records_lost", help, |family| {
            for (of, count) in ["closed", "missed", "report"]
                .into_iter()
                .zip(self.records_lost)
            {
                family.count(&[("of", of)], count)?;
            }
            Ok(())
        })?;
        let help = "Requests to ADMIN_ADDR that were refused because the token was missing or \
                    wrong";
        writer.counters("pulsegate_admin_logins_failed", help, |family| {
            for (why, count) in [
                (LoginFailure::Missing, self.failed_logins.missing),
                (LoginFailure::Wrong, self.failed_logins.wrong),
            ] {
                family.count(&[("token", why.name())], count)?;
            }
            Ok(())
        })?;
        writer.counter(
            "pulsegate_state_file_errors",
            "Failed attempts to write the state file",
            self.state_file.errors,
        )?;
        let written = self.state_file.written.unwrap_or_default();
        writer.gauge(
            "pulsegate_state_file_written_timestamp_seconds",
            "Unix time of the last write of the state file; 0 if it was not written yet",
            written.0 as f64 / 1_000.0,
        )
    }

    /// Writes the metrics of the thread `http`.
    pub(super) fn plain_http(&self, writer: &mut MetricsWriter<'_, '_>) -> fmt::Result {
        writer.gauge(
            "pulsegate_http_connections",
            "Connections of clients that were handed over for plain HTTP",
            self.http.connections() as i64,
        )?;
        let (running, most) = self.http.in_progress().unwrap_or_default();
        writer.gauge(
            "pulsegate_http_requests_in_progress",
            "Plain HTTP requests in progress",
            running as i64,
        )?;
        writer.gauge(
            "pulsegate_http_requests_in_progress_max",
            "The most plain HTTP requests in progress (HTTP_MAX_REQUESTS); 0: none is passed",
            most as i64,
        )?;
        let help = "Plain HTTP requests that were ended early: the client's token has expired, or \
                    an operator has ended them";
        writer.counters("pulsegate_http_requests_ended", help, |family| {
            for (cause, count) in END_CAUSES.iter().zip(self.http.ended()) {
                family.count(&[("cause", cause)], count)?;
            }
            Ok(())
        })?;
        let help = "Plain HTTP requests by route and class of status code; cut: the answer was cut \
                    off behind its head";
        writer.counters("pulsegate_http_requests", help, |family| {
            for (route, counts) in self.http.requests() {
                for (class, count) in CODE_CLASSES.iter().zip(counts) {
                    let labels = [("route", &*route), ("code_class", class)];
                    family.count(&labels, count)?;
                }
            }
            Ok(())
        })
    }

    /// Writes the process metrics, with the names that Prometheus's own client libraries use.
    pub(super) fn process(&self, writer: &mut MetricsWriter<'_, '_>) -> fmt::Result {
        let process_stats = &self.process_stats;
        if let Some(cpu) = process_stats.cpu_seconds {
            writer.counter(
                "process_cpu_seconds",
                "CPU time of the process, user and system",
                cpu,
            )?;
        }
        for (name, help, value) in [
            (
                "process_open_fds",
                "Open file descriptors",
                process_stats.open_fds,
            ),
            (
                "process_max_fds",
                "Limit of open file descriptors",
                process_stats.max_fds,
            ),
            (
                "process_resident_memory_bytes",
                "Memory of the process in RAM",
                process_stats.resident_memory_bytes,
            ),
            (
                "process_virtual_memory_bytes",
                "Address space of the process",
                process_stats.virtual_memory_bytes,
            ),
            ("process_threads", "Threads", process_stats.threads),
        ] {
            if let Some(value) = value {
                writer.gauge(name, help, value as i64)?;
            }
        }
        writer.gauge(
            "process_start_time_seconds",
            "Unix time of the start of the process",
            self.started.0 as f64 / 1_000.0,
        )
    }
}
