//! The metrics of the loop.

use super::alert_metrics::AlertMetrics;
use super::event_metrics::EventMetrics;
use super::identity_metrics::IdentityMetrics;
use super::verdict_metrics::VerdictMetrics;
use super::writer::{MetricsWriter, NO_EXEMPLAR};
use crate::base::cause::PeerCode;
use crate::base::time::UnixMillis;
use crate::engine::{Class, ClassStats};
use crate::gateway::{ConnState, Snapshot};
use crate::side::admin::failed_logins::LoginCounts;
use crate::side::http::HttpStats;
use crate::side::jobs::{StateFileStats, WebhookStats};
use crate::side::process::ProcessStats;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use std::fmt;
use std::sync::Arc;

/// All data of one scrape of the metrics.
#[derive(Debug)]
pub(super) struct Scrape {
    pub(super) snapshot: Snapshot,
    pub(super) webhooks: WebhookStats,
    pub(super) state_file: StateFileStats,
    pub(super) jobs_lost: u64,
    /// The number of lost records: of ended connections, of peers that did not come back in time,
    /// and of reports of clients.
    pub(super) records_lost: [u64; 3],
    pub(super) verdicts: VerdictMetrics,
    pub(super) identities: IdentityMetrics,
    pub(super) failed_logins: LoginCounts,
    pub(super) http: Arc<HttpStats>,
    pub(super) alerts: AlertMetrics,
    pub(super) events: EventMetrics,
    pub(super) process_stats: ProcessStats,
    /// The local ports from which the kernel chooses one for a connection to an upstream.
    pub(super) local_ports: Option<u64>,
    pub(super) started: UnixMillis,
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let mut writer = MetricsWriter(&mut encoder);
        self.connections(&mut writer)?;
        self.heartbeats(&mut writer)?;
        self.foresight(&mut writer)?;
        self.traffic(&mut writer)?;
        self.relay(&mut writer)?;
        self.bridge(&mut writer)?;
        self.pulse(&mut writer)?;
        self.verdicts.encode(&self.snapshot, &mut writer)?;
        self.identities.encode(&mut writer)?;
        self.the_loop(&mut writer)?;
        self.plain_http(&mut writer)?;
        self.jobs(&mut writer)?;
        self.alerts.encode(&mut writer)?;
        self.events.encode(&mut writer)?;
        self.process(&mut writer)
    }
}

impl Scrape {
    pub(super) fn classes(&self) -> impl Iterator<Item = (&'static str, &ClassStats)> {
        self.snapshot
            .classes
            .names()
            .zip(&self.snapshot.stats.classes)
    }

    /// Returns each class with its leg and its counters.
    pub(super) fn legs(&self) -> impl Iterator<Item = (&'static str, &'static str, &ClassStats)> {
        let classes = &self.snapshot.classes;
        let legs = (0..=u8::MAX).map(|nth| classes.leg(Class(nth)));
        let all = self.classes().zip(legs);
        all.map(|((class, counts), leg)| (class, leg, counts))
    }

    fn connections(&self, writer: &mut MetricsWriter<'_, '_>) -> fmt::Result {
        let (snapshot, stats) = (&self.snapshot, &self.snapshot.stats);
        let help = "Open WebSockets, by class and state";
        writer.family("pulsegate_connections", help, MetricType::Gauge, |family| {
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
        let help = "Open WebSockets that are throttled because they send too much, by class";
        writer.family(
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
        let help = "Time that input of throttled connections has waited, summed over all \
                    connections, by class";
        writer.counters("pulsegate_throttled_seconds", help, |family| {
            for (class, counts) in self.classes() {
                let labels = [("class", class)];
                let waited = counts.throttled_time.as_secs_f64();
                let mut metric = family.0.encode_family(&labels)?;
                metric.encode_counter(&waited, NO_EXEMPLAR)?;
            }
            Ok(())
        })?;
        writer.gauge(
            "pulsegate_connections_opening",
            "Connections, accepted or dialled, that are not WebSockets yet: their request or its \
             answer is not complete",
            stats.opening() as i64,
        )?;
        writer.gauge(
            "pulsegate_connections_max",
            "The most connections at one time (MAX_CONNECTIONS)",
            snapshot.max_connections as i64,
        )?;
        writer.gauge(
            "pulsegate_sessions",
            "Users with a connection, or with a lost connection that may still return",
            snapshot.sessions as i64,
        )?;
        writer.gauge(
            "pulsegate_blocked_identities",
            "Identities that an operator has blocked",
            snapshot.blocked as i64,
        )?;
        writer.gauge(
            "pulsegate_user_agents",
            "Different user agents of the open connections",
            snapshot.user_agents as i64,
        )?;
        writer.counter(
            "pulsegate_user_agents_overflowed",
            "Connections whose user agent was counted as other, because 4096 different ones were \
             open",
            snapshot.user_agents_overflowed,
        )?;
        writer.gauge(
            "pulsegate_histories",
            "Connections for which a history of recent events is kept",
            snapshot.histories as i64,
        )?;
        writer.counter(
            "pulsegate_connections_accepted",
            "Connections accepted from the listener",
            stats.accepted,
        )?;
        let help = "WebSockets opened, by class";
        writer.counters("pulsegate_connections_opened", help, |family| {
            for (class, counts) in self.classes() {
                family.count(&[("class", class)], counts.opened)?;
            }
            Ok(())
        })?;
        let help = "WebSockets ended, by class and cause";
        writer.counters("pulsegate_connections_closed", help, |family| {
            for (class, counts) in self.classes() {
                for cause in stats.causes.all() {
                    let labels = [("class", class), ("cause", cause.name())];
                    family.count(&labels, counts.closed[cause.index()])?;
                }
            }
            Ok(())
        })?;
        let help = "Accepted connections that ended before they were WebSockets, by cause";
        writer.counters("pulsegate_connections_rejected", help, |family| {
            for cause in stats.causes.all() {
                let n = stats.rejected[cause.index()];
                family.count(&[("cause", cause.name())], n)?;
            }
            Ok(())
        })?;
        let help = "WebSockets ended by the peer's close frame, by class and kind of its code";
        writer.counters("pulsegate_peer_closes", help, |family| {
            for (class, counts) in self.classes() {
                for (code, n) in PeerCode::ALL.into_iter().zip(counts.peer_codes) {
                    family.count(&[("class", class), ("code", code.name())], n)?;
                }
            }
            Ok(())
        })
    }

    fn heartbeats(&self, writer: &mut MetricsWriter<'_, '_>) -> fmt::Result {
        let stats = &self.snapshot.stats;
        type Count = fn(&ClassStats) -> u64;
        let counters: [(&str, &str, Count); 5] = [
            (
                "pulsegate_heartbeats_sent",
                "Heartbeat pings written to the kernel, by class and leg",
                |class| class.pings,
            ),
            (
                "pulsegate_heartbeats_answered",
                "Heartbeat pings that were answered by a pong, by class and leg",
                |class| class.pongs,
            ),
            (
                "pulsegate_pongs_mangled",
                "Pongs with a wrong payload while the pong of a heartbeat was expected, by class \
                 and leg",
                |class| class.pongs_mangled,
            ),
            (
                "pulsegate_heartbeats_unanswered",
                "Heartbeat pings after which nothing was received until the next was due, by \
                 class and leg",
                |class| class.unanswered,
            ),
            (
                "pulsegate_heartbeats_late",
                "Heartbeat pings that were unanswered for longer than answers of that peer \
                 usually take, by class and leg",
                |class| class.late,
            ),
        ];
        for (name, help, of) in counters {
            writer.counters(name, help, |family| {
                for (class, leg, counts) in self.legs() {
                    family.count(&[("class", class), ("leg", leg)], of(counts))?;
                }
                Ok(())
            })?;
        }
        let rtts = self
            .legs()
            .map(|(class, leg, counts)| ([("class", class), ("leg", leg)], &counts.rtt));
        writer.histograms(
            "pulsegate_heartbeat_rtt_seconds",
            "Round-trip times of heartbeats, by class and leg",
            rtts,
        )?;
        writer.counter(
            "pulsegate_work_units",
            "Work of the event loop on input of peers and operators, in units of about a \
             microsecond",
            stats.work_units,
        )?;
        writer.gauge(
            "pulsegate_turn_units_max",
            "The most work units on input of all peers in one turn of the loop since the start",
            i64::from(stats.turn_units_max),
        )?;
        writer.histogram(
            "pulsegate_stale_close_delay_seconds",
            "Delay of closes of stale connections by STALE_CLOSES_PER_SECOND",
            &stats.stale_delay,
        )
    }

    fn traffic(&self, writer: &mut MetricsWriter<'_, '_>) -> fmt::Result {
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
                "Bytes received, with all framing",
                stats.bytes_in,
            ),
            (
                "pulsegate_sent_bytes",
                "Bytes sent, with all framing",
                stats.bytes_out,
            ),
        ] {
            writer.counter(name, help, n)?;
        }
        writer.gauge(
            "pulsegate_pending_bytes",
            "Bytes that wait to be sent",
            stats.pending_bytes as i64,
        )?;
        writer.gauge(
            "pulsegate_held_bytes",
            "Bytes held for received messages and frames that are not complete",
            stats.held_bytes as i64,
        )?;
        writer.gauge(
            "pulsegate_host_bytes",
            "Bytes held by the relay: kept frames, subscriptions, state of lost connections",
            stats.host_bytes as i64,
        )
    }

    fn the_loop(&self, writer: &mut MetricsWriter<'_, '_>) -> fmt::Result {
        let (snapshot, stats) = (&self.snapshot, &self.snapshot.stats);
        writer.histogram(
            "pulsegate_timer_lateness_seconds",
            "Time from when a deadline was due until the loop handled it",
            &stats.lateness,
        )?;
        writer.histogram(
            "pulsegate_turn_duration_seconds",
            "Duration of a turn of the event loop, without the wait for events",
            &stats.turn_time,
        )?;
        writer.counter(
            "pulsegate_loop_turns",
            "Turns of the event loop",
            stats.turns,
        )?;
        writer.counter(
            "pulsegate_loop_stalls",
            "Stalls of the event loop that were so long that deadlines were moved",
            stats.stalls,
        )?;
        writer.counter(
            "pulsegate_loop_stalled_seconds",
            "Total time of stalls of the event loop",
            stats.stalled.as_secs_f64(),
        )?;
        writer.gauge(
            "pulsegate_accepting",
            "1 if new connections are accepted, 0 if they wait or are refused",
            i64::from(!stats.accept_paused),
        )?;
        writer.counter(
            "pulsegate_accept_pauses",
            "How often accepting connections was paused or restricted",
            stats.accept_pauses,
        )?;
        writer.gauge(
            "pulsegate_draining",
            "1 if the gateway is draining before it ends",
            i64::from(snapshot.draining),
        )?;
        writer.counter(
            "pulsegate_log_lines_dropped",
            "Log lines dropped because the reader of the log was too slow",
            snapshot.log_dropped,
        )?;
        let help = "The version of this gateway, as a label; the value is always 1";
        writer.family("pulsegate_build_info", help, MetricType::Gauge, |family| {
            let labels = [("version", env!("CARGO_PKG_VERSION"))];
            family.encode_family(&labels)?.encode_gauge(&1i64)
        })
    }
}
