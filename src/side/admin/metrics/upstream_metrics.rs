//! The metrics of each upstream behind the routes: its pairs, its state, its ports.

use super::scrape::Scrape;
use super::writer::MetricsWriter;
use crate::gateway::{UpstreamCondition, UpstreamRow};
use prometheus_client::encoding::EncodeGaugeValue;
use prometheus_client::metrics::MetricType;
use std::collections::BTreeMap;
use std::fmt;

/// What is measured of an upstream now.
struct UpstreamGauges {
    pairs: u64,
    state: UpstreamCondition,
    per_source: u64,
}

/// By route and upstream.
type ByUpstream<'a> = BTreeMap<(&'a str, &'a str), UpstreamGauges>;

impl Scrape {
    /// Writes what is measured of each upstream.
    pub(super) fn upstreams(&self, writer: &mut MetricsWriter<'_, '_>) -> fmt::Result {
        let all = by_upstream(&self.snapshot.upstreams);
        let help = "Pairs of a client and a connection to an upstream, by route and upstream";
        gauges(writer, "pulsegate_pairs", help, &all, |upstream| {
            upstream.pairs as i64
        })?;
        let help = "Whether an upstream gets new clients, by route and upstream";
        gauges(writer, "pulsegate_upstream_up", help, &all, |upstream| {
            i64::from(upstream.state == UpstreamCondition::Up)
        })?;
        let help = "Whether an upstream is in this state, by route, upstream and state";
        let name = "pulsegate_upstream_state";
        writer.family(name, help, MetricType::Gauge, |family| {
            for ((route, upstream), gauges) in &all {
                for state in UpstreamCondition::ALL {
                    let is_it = i64::from(gauges.state == state);
                    let labels = [
                        ("route", *route),
                        ("upstream", *upstream),
                        ("state", state.name()),
                    ];
                    family.encode_family(&labels)?.encode_gauge(&is_it)?;
                }
            }
            Ok(())
        })?;
        let Some(ports) = self.local_ports.filter(|ports| *ports > 0) else {
            return Ok(());
        };
        let help = "The part of the local ports that connections to an upstream from one source \
                    address take, by route and upstream";
        let name = "pulsegate_upstream_ports_ratio";
        gauges(writer, name, help, &all, |upstream| {
            upstream.per_source as f64 / ports as f64
        })
    }
}

/// Writes one value of each upstream.
fn gauges<V: EncodeGaugeValue>(
    writer: &mut MetricsWriter<'_, '_>,
    name: &str,
    help: &str,
    all: &ByUpstream<'_>,
    value: impl Fn(&UpstreamGauges) -> V,
) -> fmt::Result {
    writer.family(name, help, MetricType::Gauge, |family| {
        for ((route, upstream), gauges) in all {
            let labels = [("route", *route), ("upstream", *upstream)];
            family
                .encode_family(&labels)?
                .encode_gauge(&value(gauges))?;
        }
        Ok(())
    })
}

/// Returns what is measured, by route and upstream. An upstream that several locations of a route
/// lead to counts once, because no series may occur twice; it is up if one of them is.
fn by_upstream(rows: &[UpstreamRow]) -> ByUpstream<'_> {
    let mut all = ByUpstream::new();
    for row in rows {
        let gauges = all.entry(upstream_labels(row)).or_insert(UpstreamGauges {
            pairs: 0,
            state: row.state,
            per_source: 0,
        });
        gauges.pairs += row.pairs;
        gauges.per_source += row.per_source;
        if row.state == UpstreamCondition::Up {
            gauges.state = row.state;
        }
    }
    all
}

/// Returns the labels of an upstream: its route, and its address, or its location if no address is
/// known.
pub(super) fn upstream_labels(row: &UpstreamRow) -> (&str, &str) {
    let upstream = match row.address.is_empty() {
        true => &row.url,
        false => &row.address,
    };
    (&row.route, upstream)
}
