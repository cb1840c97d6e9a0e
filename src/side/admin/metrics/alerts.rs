//! The metrics about alerts.

use super::page::Page;
use crate::side::admin::control::Control;
use crate::side::watch::SinkStats;
use prometheus_client::metrics::MetricType;
use std::fmt;

/// The metrics about alerts and peers with repeated trouble.
#[derive(Debug)]
pub(super) struct Alerts {
    firing: Vec<(&'static str, u64)>,
    refused: u64,
    sink: SinkStats,
}

impl Alerts {
    pub(super) fn of(control: &Control) -> Self {
        Alerts {
            firing: control.watchers.alerts().firing(),
            refused: control.watchers.alerts().refused(),
            sink: control.watchers.alerts().sink().0,
        }
    }

    pub(super) fn encode(&self, page: &mut Page<'_, '_>) -> fmt::Result {
        let help = "Alerts that are firing, by rule";
        page.family(
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
        page.counters("pulsegate_alert_posts", help, |family| {
            family.count(&[("result", "answered")], self.sink.delivered)?;
            family.count(&[("result", "failed")], self.sink.failed)
        })?;
        page.counter(
            "pulsegate_alerts_lost",
            "Alerts that were not reported because there were too many at once",
            self.refused + self.sink.lost,
        )
    }
}
