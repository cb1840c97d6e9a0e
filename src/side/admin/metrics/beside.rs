//! The metrics that are counted outside the loop: errands, logins and the process.

use super::page::Page;
use super::scrape::Scrape;
use crate::side::admin::logins::Failure;
use crate::side::errands::{WebhookResult, WebhookType};
use std::fmt;

impl Scrape {
    /// Writes the metrics of the errands thread: webhooks and the state file.
    pub(super) fn errands(&self, page: &mut Page<'_, '_>) -> fmt::Result {
        let help = "Webhook attempts, by type and result";
        page.counters("pulsegate_webhooks", help, |family| {
            for kind in WebhookType::ALL {
                for result in WebhookResult::ALL {
                    let labels = [("type", kind.name()), ("result", result.name())];
                    family.count(&labels, self.webhooks.counts.get(kind, result))?;
                }
            }
            Ok(())
        })?;
        page.gauge(
            "pulsegate_webhooks_in_flight",
            "Webhook requests that were sent and not answered yet",
            self.webhooks.in_flight as i64,
        )?;
        page.gauge(
            "pulsegate_webhooks_waiting",
            "Webhooks that wait for their first or next attempt",
            self.webhooks.waiting as i64,
        )?;
        page.gauge(
            "pulsegate_webhook_breakers_open",
            "Apps whose webhook server is considered down",
            self.webhooks.breakers_open as i64,
        )?;
        page.counter(
            "pulsegate_errands_lost",
            "Errands (work for another thread) that were lost because its queue was full",
            self.errands_lost,
        )?;
        let help = "Records for the admin API and the alerts that were lost because their queue \
                    was full";
        page.counters("pulsegate_records_lost", help, |family| {
            for (of, count) in ["closed", "missed"].into_iter().zip(self.records_lost) {
                family.count(&[("of", of)], count)?;
            }
            Ok(())
        })?;
        let help = "Requests to ADMIN_ADDR that were refused because the token was missing or \
                    wrong";
        page.counters("pulsegate_admin_logins_failed", help, |family| {
            for (why, count) in [
                (Failure::Missing, self.logins.missing),
                (Failure::Wrong, self.logins.wrong),
            ] {
                family.count(&[("token", why.name())], count)?;
            }
            Ok(())
        })?;
        page.counter(
            "pulsegate_state_file_errors",
            "Failed attempts to write the state file",
            self.state_file.errors,
        )?;
        let written = self.state_file.written.unwrap_or_default();
        page.gauge(
            "pulsegate_state_file_written_timestamp_seconds",
            "Unix time of the last write of the state file; 0 if it was not written yet",
            written.0 as f64 / 1_000.0,
        )
    }

    /// Writes the process metrics, with the names that Prometheus's own client libraries use.
    pub(super) fn process(&self, page: &mut Page<'_, '_>) -> fmt::Result {
        let figures = &self.figures;
        if let Some(cpu) = figures.cpu_seconds {
            page.counter(
                "process_cpu_seconds",
                "CPU time of the process, user and system",
                cpu,
            )?;
        }
        for (name, help, value) in [
            (
                "process_open_fds",
                "Open file descriptors",
                figures.open_fds,
            ),
            (
                "process_max_fds",
                "Limit of open file descriptors",
                figures.max_fds,
            ),
            (
                "process_resident_memory_bytes",
                "Memory of the process in RAM",
                figures.resident_memory_bytes,
            ),
            (
                "process_virtual_memory_bytes",
                "Address space of the process",
                figures.virtual_memory_bytes,
            ),
            ("process_threads", "Threads", figures.threads),
        ] {
            if let Some(value) = value {
                page.gauge(name, help, value as i64)?;
            }
        }
        page.gauge(
            "process_start_time_seconds",
            "Unix time of the start of the process",
            self.started.0 as f64 / 1_000.0,
        )
    }
}
