//! The metrics of the loop.

use super::alerts::Alerts;
use super::page::{NO_EXEMPLAR, Page};
use crate::base::cause::PeerCode;
use crate::base::time::UnixMillis;
use crate::engine::ClassStats;
use crate::gateway::{ConnState, Snapshot};
use crate::side::admin::logins::LoginCounts;
use crate::side::errands::{StateFileStats, WebhookStats};
use crate::side::process::Figures;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use std::fmt;

/// All that a scrape needs.
#[derive(Debug)]
pub(super) struct Scrape {
    pub(super) snapshot: Snapshot,
    pub(super) webhooks: WebhookStats,
    pub(super) state_file: StateFileStats,
    pub(super) errands_lost: u64,
    /// Of ended connections, and of missed peers.
    pub(super) records_lost: [u64; 2],
    pub(super) logins: LoginCounts,
    pub(super) alerts: Alerts,
    pub(super) figures: Figures,
    pub(super) started: UnixMillis,
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let mut page = Page(&mut encoder);
        self.connections(&mut page)?;
        self.heartbeats(&mut page)?;
        self.traffic(&mut page)?;
        self.relay(&mut page)?;
        self.the_loop(&mut page)?;
        self.errands(&mut page)?;
        self.alerts.encode(&mut page)?;
        self.process(&mut page)
    }
}

impl Scrape {
    pub(super) fn classes(&self) -> impl Iterator<Item = (&'static str, &ClassStats)> {
        self.snapshot
            .classes
            .names()
            .zip(&self.snapshot.stats.classes)
    }

    fn connections(&self, page: &mut Page<'_, '_>) -> fmt::Result {
        let (snapshot, stats) = (&self.snapshot, &self.snapshot.stats);
        let help = "WebSockets now, by class and state";
        page.family("pulsegate_connections", help, MetricType::Gauge, |family| {
            for (class, counts) in self.classes() {
                for (state, n) in [
                    (ConnState::Healthy, counts.healthy()),
                    (ConnState::Suspect, counts.suspects),
                    (ConnState::Closing, counts.closing),
                ] {
                    let labels = [("class", class), ("state", state.name())];
                    family.encode_family(&labels)?.encode_gauge(&(n as i64))?;
                }
            }
            Ok(())
        })?;
        let help = "WebSockets now whose input waits for its next share of a turn, by class";
        page.family(
            "pulsegate_connections_throttled",
            help,
            MetricType::Gauge,
            |family| {
                for (class, counts) in self.classes() {
                    let labels = [("class", class)];
                    let throttled = counts.throttled as i64;
                    family.encode_family(&labels)?.encode_gauge(&throttled)?;
                }
                Ok(())
            },
        )?;
        let help = "Time that input has waited for its next share of a turn, over all connections, \
                    by class";
        page.counters("pulsegate_throttled_seconds", help, |family| {
            for (class, counts) in self.classes() {
                let labels = [("class", class)];
                let waited = counts.throttled_time.as_secs_f64();
                let mut metric = family.0.encode_family(&labels)?;
                metric.encode_counter(&waited, NO_EXEMPLAR)?;
            }
            Ok(())
        })?;
        page.gauge(
            "pulsegate_connections_opening",
            "Connections now whose request or its answer is not complete",
            stats.opening() as i64,
        )?;
        page.gauge(
            "pulsegate_connections_max",
            "Connections that may be held at once",
            snapshot.max_connections as i64,
        )?;
        page.gauge(
            "pulsegate_sessions",
            "Users with a connection now, or one that is waited for",
            snapshot.sessions as i64,
        )?;
        page.gauge(
            "pulsegate_blocked_identities",
            "Identities that an operator has shut out now",
            snapshot.blocked as i64,
        )?;
        page.gauge(
            "pulsegate_user_agents",
            "Different user agents of the connections now",
            snapshot.user_agents as i64,
        )?;
        page.counter(
            "pulsegate_user_agents_overflowed",
            "Connections whose user agent is told as other because 4096 different ones were here",
            snapshot.user_agents_overflowed,
        )?;
        page.gauge(
            "pulsegate_histories",
            "Connections whose recent life is kept now",
            snapshot.histories as i64,
        )?;
        page.counter(
            "pulsegate_connections_accepted",
            "Connections taken from the listener",
            stats.accepted,
        )?;
        let help = "WebSockets opened, by class";
        page.counters("pulsegate_connections_opened", help, |family| {
            for (class, counts) in self.classes() {
                family.count(&[("class", class)], counts.opened)?;
            }
            Ok(())
        })?;
        let help = "WebSockets ended, by class and cause";
        page.counters("pulsegate_connections_closed", help, |family| {
            for (class, counts) in self.classes() {
                for cause in stats.causes.all() {
                    let labels = [("class", class), ("cause", cause.name())];
                    family.count(&labels, counts.closed[cause.index()])?;
                }
            }
            Ok(())
        })?;
        let help = "Connections ended before they were WebSockets, by cause";
        page.counters("pulsegate_connections_rejected", help, |family| {
            for cause in stats.causes.all() {
                let n = stats.rejected[cause.index()];
                family.count(&[("cause", cause.name())], n)?;
            }
            Ok(())
        })?;
        let help = "WebSockets ended by the peer's close frame, by class and kind of its code";
        page.counters("pulsegate_peer_closes", help, |family| {
            for (class, counts) in self.classes() {
                for (code, n) in PeerCode::ALL.into_iter().zip(counts.peer_codes) {
                    family.count(&[("class", class), ("code", code.name())], n)?;
                }
            }
            Ok(())
        })
    }

    fn heartbeats(&self, page: &mut Page<'_, '_>) -> fmt::Result {
        let stats = &self.snapshot.stats;
        page.counter(
            "pulsegate_heartbeats_sent",
            "Heartbeats that the kernel took",
            stats.pings,
        )?;
        page.counter(
            "pulsegate_heartbeats_answered",
            "Heartbeats answered by their pong",
            stats.pongs,
        )?;
        page.counter(
            "pulsegate_pongs_mangled",
            "Pongs that are no echo of a heartbeat, while one was waited for",
            stats.pongs_mangled,
        )?;
        page.counter(
            "pulsegate_heartbeats_unanswered",
            "Heartbeats after which nothing had been heard when the next one was due",
            stats.unanswered,
        )?;
        page.histogram(
            "pulsegate_heartbeat_rtt_seconds",
            "Round-trip times of heartbeats",
            &stats.rtt,
        )?;
        page.counter(
            "pulsegate_work_units",
            "Work done for what peers and operators sent, in units of about a microsecond",
            stats.work_units,
        )?;
        page.gauge(
            "pulsegate_turn_units_max",
            "The most units that the input of all peers has cost in one turn since the start",
            i64::from(stats.turn_units_max),
        )?;
        page.histogram(
            "pulsegate_stale_close_delay_seconds",
            "How much later stale connections were closed because of STALE_CLOSES_PER_SECOND",
            &stats.stale_delay,
        )
    }

    fn traffic(&self, page: &mut Page<'_, '_>) -> fmt::Result {
        let stats = &self.snapshot.stats;
        for (name, help, n) in [
            (
                "pulsegate_messages_received",
                "Data messages received",
                stats.messages_in,
            ),
            (
                "pulsegate_messages_sent",
                "Data messages sent",
                stats.messages_out,
            ),
            (
                "pulsegate_received_bytes",
                "Bytes received, as on the wire",
                stats.bytes_in,
            ),
            (
                "pulsegate_sent_bytes",
                "Bytes sent, as on the wire",
                stats.bytes_out,
            ),
        ] {
            page.counter(name, help, n)?;
        }
        page.gauge(
            "pulsegate_pending_bytes",
            "Bytes that wait to be sent now",
            stats.pending_bytes as i64,
        )?;
        page.gauge(
            "pulsegate_held_bytes",
            "Bytes of unfinished messages and frames held now",
            stats.held_bytes as i64,
        )?;
        page.gauge(
            "pulsegate_host_bytes",
            "Bytes held by the relay now: kept frames, subscriptions, places without a connection",
            stats.host_bytes as i64,
        )
    }

    fn the_loop(&self, page: &mut Page<'_, '_>) -> fmt::Result {
        let (snapshot, stats) = (&self.snapshot, &self.snapshot.stats);
        page.histogram(
            "pulsegate_timer_lateness_seconds",
            "How late deadlines were looked at",
            &stats.lateness,
        )?;
        page.histogram(
            "pulsegate_turn_duration_seconds",
            "How long turns of the loop took, without the wait for events",
            &stats.turn_time,
        )?;
        page.counter("pulsegate_loop_turns", "Turns of the loop", stats.turns)?;
        page.counter(
            "pulsegate_loop_stalls",
            "Times that the loop was away so long that deadlines were moved",
            stats.stalls,
        )?;
        page.counter(
            "pulsegate_loop_stalled_seconds",
            "Time that the loop was away in stalls",
            stats.stalled.as_secs_f64(),
        )?;
        page.gauge(
            "pulsegate_accepting",
            "1 if newcomers are accepted now, 0 if they wait or are refused",
            i64::from(!stats.accept_paused),
        )?;
        page.counter(
            "pulsegate_accept_pauses",
            "Times that accepting was paused or restricted",
            stats.accept_pauses,
        )?;
        page.gauge(
            "pulsegate_draining",
            "1 if the gateway is going away",
            i64::from(snapshot.draining),
        )?;
        page.counter(
            "pulsegate_log_lines_dropped",
            "Log lines lost because they were not read in time",
            snapshot.log_dropped,
        )?;
        let help = "What runs here; always 1";
        page.family("pulsegate_build_info", help, MetricType::Gauge, |family| {
            let labels = [("version", env!("CARGO_PKG_VERSION"))];
            family.encode_family(&labels)?.encode_gauge(&1i64)
        })
    }
}
