//! The metrics of a service behind the gateway: connections to it, and pairs.

use super::scrape::Scrape;
use super::writer::MetricsWriter;
use crate::gateway::{UpstreamCondition, UpstreamRow};
use prometheus_client::metrics::MetricType;
use std::collections::BTreeMap;
use std::fmt;

impl Scrape {
    pub(super) fn bridge(&self, writer: &mut MetricsWriter<'_, '_>) -> fmt::Result {
        let stats = &self.snapshot.stats;
        let rows = by_upstream(&self.snapshot.upstreams);
        let help = "Pairs of a client and a connection to an upstream, by route and upstream";
        writer.family("pulsegate_pairs", help, MetricType::Gauge, |family| {
            for (&(route, upstream), &(pairs, _)) in &rows {
                let labels = [("route", route), ("upstream", upstream)];
                family
                    .encode_family(&labels)?
                    .encode_gauge(&(pairs as i64))?;
            }
            Ok(())
        })?;
        let help = "Whether an upstream gets new clients, by route and upstream";
        writer.family("pulsegate_upstream_up", help, MetricType::Gauge, |family| {
            for (&(route, upstream), &(_, is_up)) in &rows {
                let labels = [("route", route), ("upstream", upstream)];
                family
                    .encode_family(&labels)?
                    .encode_gauge(&i64::from(is_up))?;
            }
            Ok(())
        })?;
        writer.gauge(
            "pulsegate_dials_in_progress",
            "Connections to the upstream that are not WebSockets yet",
            stats.dialing() as i64,
        )?;
        writer.counter(
            "pulsegate_dials",
            "Connections to the upstream that were begun",
            stats.dialed,
        )?;
        let help = "Connections to the upstream that ended before they were WebSockets, by cause";
        writer.counters("pulsegate_dials_failed", help, |family| {
            for cause in stats.causes.all() {
                let n = stats.dials_failed[cause.index()];
                family.count(&[("cause", cause.name())], n)?;
            }
            Ok(())
        })?;
        writer.counter(
            "pulsegate_frames_cut",
            "Connections of pairs that ended inside a frame, because the connection that sent it \
             ended",
            stats.cut_mid_frame,
        )?;
        let help = "Stale WebSockets that stayed open, because their class is only reported, by \
                    class";
        writer.counters("pulsegate_would_close", help, |family| {
            for (class, counts) in self.classes() {
                family.count(&[("class", class)], counts.would_close)?;
            }
            Ok(())
        })?;
        let help = "Stale WebSockets that stayed open and were heard again, so that a close would \
                    have been wrong, by class";
        writer.counters("pulsegate_would_close_wrong", help, |family| {
            for (class, counts) in self.classes() {
                family.count(&[("class", class)], counts.would_close_wrong)?;
            }
            Ok(())
        })
    }
}

/// Returns the pairs, and whether new clients are sent there, by route and upstream. An upstream
/// that several locations of a route lead to counts once, because no series may occur twice. One
/// without an address has its location.
fn by_upstream(rows: &[UpstreamRow]) -> BTreeMap<(&str, &str), (u64, bool)> {
    let mut all = BTreeMap::new();
    for row in rows {
        let upstream = if row.address.is_empty() {
            &row.url
        } else {
            &row.address
        };
        let (pairs, is_up) = all.entry((&*row.route, upstream.as_str())).or_default();
        *pairs += row.pairs;
        *is_up |= row.state == UpstreamCondition::Up;
    }
    all
}
