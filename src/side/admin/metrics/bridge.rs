//! The metrics of a service behind the gateway: connections to it, and pairs.

use super::scrape::Scrape;
use super::upstream_metrics::upstream_labels;
use super::writer::{MetricsWriter, NO_EXEMPLAR};
use crate::base::time::Micros;
use crate::gateway::{HandshakeResult, HandshakeStats};
use prometheus_client::metrics::MetricType;
use std::collections::BTreeMap;
use std::fmt;

impl Scrape {
    /// Writes how many pairs were opened and have ended, and how long legs were paused.
    fn pair_counts(&self, writer: &mut MetricsWriter<'_, '_>) -> fmt::Result {
        let routes = || self.snapshot.routes.iter();
        let help = "Pairs that were opened, by route";
        writer.counters("pulsegate_pairs_opened", help, |family| {
            for (route, stats) in routes() {
                family.count(&[("route", route)], stats.opened)?;
            }
            Ok(())
        })?;
        let help = "Pairs that have ended, by route, cause of the leg that ended first, and side";
        writer.counters("pulsegate_pairs_closed", help, |family| {
            for (route, stats) in routes() {
                for ((cause, by), count) in &stats.closed {
                    let labels = [("route", route), ("cause", *cause), ("by", *by)];
                    family.count(&labels, *count)?;
                }
            }
            Ok(())
        })?;
        let help = "Time for which legs of pairs were not read because their partners were behind, \
                    summed over all, by leg";
        let name = "pulsegate_pair_paused_seconds";
        writer.family(name, help, MetricType::Counter, |family| {
            for leg in ["client", "upstream"] {
                let of_leg = self.legs().filter(|(_, of, _)| *of == leg);
                let times = of_leg.map(|(_, _, class)| class.paused.total_at(self.snapshot.now));
                let seconds: f64 = times.map(Micros::as_secs_f64).sum();
                let labels = [("leg", leg)];
                let mut metric = family.encode_family(&labels)?;
                metric.encode_counter(&seconds, NO_EXEMPLAR)?;
            }
            Ok(())
        })
    }

    /// Writes what came of handshakes with upstreams, and how long their answers took.
    fn handshakes(&self, writer: &mut MetricsWriter<'_, '_>) -> fmt::Result {
        let mut all: BTreeMap<(&str, &str), HandshakeStats> = BTreeMap::new();
        for row in &self.snapshot.upstreams {
            all.entry(upstream_labels(row))
                .or_default()
                .add(&row.handshakes);
        }
        let help = "Handshakes with upstreams, by route, upstream and result";
        writer.counters("pulsegate_upstream_handshakes", help, |family| {
            for ((route, upstream), counts) in &all {
                for result in HandshakeResult::ALL {
                    let labels = [
                        ("route", *route),
                        ("upstream", *upstream),
                        ("result", result.name()),
                    ];
                    family.count(&labels, counts.get(result))?;
                }
            }
            Ok(())
        })?;
        let help = "Time from dials to the answers of an upstream, summed over all, by route and \
                    upstream";
        let name = "pulsegate_upstream_answer_seconds";
        writer.family(name, help, MetricType::Counter, |family| {
            for ((route, upstream), counts) in &all {
                let labels = [("route", *route), ("upstream", *upstream)];
                let mut metric = family.encode_family(&labels)?;
                let seconds = counts.answer_time().as_secs_f64();
                metric.encode_counter(&seconds, NO_EXEMPLAR)?;
            }
            Ok(())
        })?;
        let routes = self.snapshot.routes.iter();
        let times = routes.map(|(route, stats)| ([("route", route)], &stats.handshake_time));
        let help = "Time from a dial to the answer of the upstream, by route";
        writer.histograms("pulsegate_upstream_handshake_seconds", help, times)
    }

    pub(super) fn bridge(&self, writer: &mut MetricsWriter<'_, '_>) -> fmt::Result {
        let stats = &self.snapshot.stats;
        self.upstreams(writer)?;
        self.pair_counts(writer)?;
        self.handshakes(writer)?;
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
