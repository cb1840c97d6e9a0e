//! The metrics of late heartbeats: of connections, of cohorts, and of all connections.

use super::scrape::Scrape;
use super::writer::MetricsWriter;
use crate::engine::OwnFault;
use prometheus_client::metrics::MetricType;
use std::fmt;

impl Scrape {
    /// Writes what late heartbeats say. No label names an address.
    pub(super) fn foresight(&self, writer: &mut MetricsWriter<'_, '_>) -> fmt::Result {
        let (foresight, stats) = (&self.snapshot.foresight, &self.snapshot.stats);
        let help = "Open WebSockets with a late heartbeat among the latest two (high) or four \
                    (raised), by class";
        writer.family(
            "pulsegate_connections_at_risk",
            help,
            MetricType::Gauge,
            |family| {
                for (class, counts) in self.classes() {
                    for (level, n) in [("high", counts.risk_high), ("raised", counts.risk_raised)] {
                        let labels = [("class", class), ("level", level)];
                        family.encode_family(&labels)?.encode_gauge(&(n as i64))?;
                    }
                }
                Ok(())
            },
        )?;
        writer.counter(
            "pulsegate_heartbeats_late_excused",
            "Late heartbeats that say nothing of their peers, because the gateway itself was at \
             fault",
            stats.lates_excused,
        )?;
        writer.gauge(
            "pulsegate_cohorts",
            "Cohorts: the clients of one class in one address block",
            foresight.cohorts as i64,
        )?;
        writer.gauge(
            "pulsegate_cohorts_late",
            "Cohorts whose peers have stopped answering together",
            foresight.cohorts_alarmed as i64,
        )?;
        let fleet = &foresight.fleet;
        writer.gauge(
            "pulsegate_fleet_late_ratio",
            "Share of the latest 1000 heartbeats of all clients that were late, 0 to 1",
            fleet.late as f64 / fleet.judged.max(1) as f64,
        )?;
        writer.gauge(
            "pulsegate_fleet_late",
            "1 if more than 30 % of them were late, in several address blocks, while the gateway \
             was punctual",
            i64::from(fleet.is_late),
        )?;
        let help = "1 if late heartbeats are not counted because the gateway itself is at fault, \
                    by reason";
        writer.family("pulsegate_own_fault", help, MetricType::Gauge, |family| {
            for fault in [OwnFault::Stall, OwnFault::Lateness, OwnFault::Upstreams] {
                let is_now = i64::from(fleet.own_fault == Some(fault));
                let labels = [("reason", fault.name())];
                family.encode_family(&labels)?.encode_gauge(&is_now)?;
            }
            Ok(())
        })
    }
}
