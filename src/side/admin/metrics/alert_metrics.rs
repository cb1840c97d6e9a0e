//! The metrics about alerts.

use super::writer::MetricsWriter;
use crate::side::admin::admin_state::AdminState;
use crate::side::watch::SinkStats;
use prometheus_client::metrics::MetricType;
use std::fmt;

/// The metrics about alerts and peers with repeated trouble.
#[derive(Debug)]
pub(super) struct AlertMetrics {
    firing: Vec<(&'static str, u64)>,
    refused: u64,
    sink: SinkStats,
}

impl AlertMetrics {
    pub(super) fn of(admin: &AdminState) -> Self {
        AlertMetrics {
            firing: admin.watchers.alerts().firing(),
            refused: admin.watchers.alerts().refused(),
            sink: admin.watchers.alerts().sink().0,
        }
    }

    pub(super) fn encode(&self, writer: &mut MetricsWriter<'_, '_>) -> fmt::Result {
        let help = "Alerts that are firing, by rule";
        writer.family(
            "pulsegate_alerts_firing",
            help,
            MetricType::Gauge,
            |family| {
                for (name, n) in &self.firing {
                    let labels = [("name", *name)];
                    family.encode_family(&labels)?.encode_gauge(&(*n as i64))?;
                }
                Ok(())
            },
        )?;
        let help = "Requests to ALERT_WEBHOOK_URL, by result";
        writer.counters("pulsegate_alert_posts", help, |family| {
            family.count(&[("result", "answered")], self.sink.delivered)?;
            family.count(&[("result", "failed")], self.sink.failed)
        })?;
        writer.counter(
            "pulsegate_alerts_lost",
            "Alerts that were not reported because there were too many at once",
            self.refused + self.sink.lost,
        )
    }
}
