//! `/metrics`: what the loop counts, as OpenMetrics text if `Accept` asks for that, else in the older text format of Prometheus.
//!
//! Nothing is counted twice: a scrape asks the loop for one snapshot and writes it down, so all numbers of a scrape are of one
//! moment.

mod relay;
mod text;

use self::text::Format;
use super::alerts::SinkStats;
use super::logins::{Failure, LoginCounts};
use super::problem::Problem;
use super::process::{self, Figures};
use super::state_file::StateFileStats;
use super::webhooks::{WebhookResult, WebhookStats, WebhookType};
use super::{Control, ask};
use crate::cause::PeerCode;
use crate::engine::{ClassStats, Histogram};
use crate::gateway::{CLASS_NAMES, ConnState, Snapshot};
use crate::time::{Micros, UnixMillis};
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder};
use prometheus_client::encoding::{EncodeCounterValue, EncodeGaugeValue};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::registry::Registry;
use std::fmt;
use std::sync::Arc;

/// The histograms' bounds are powers of two of a microsecond, 16 µs to 67 s: at these the loop counts exactly.
const LEAST_POWER: u32 = 4;
const MOST_POWER: u32 = 26;

pub(super) fn router() -> Router<Arc<Control>> {
    Router::new().route("/metrics", get(metrics))
}

async fn metrics(
    State(control): State<Arc<Control>>,
    asked: HeaderMap,
) -> Result<Response, Problem> {
    let snapshot = ask::snapshot(&control.desk).await?;
    let scrape = Scrape {
        snapshot,
        webhooks: control.runner.webhooks(),
        state_file: control.runner.state_file(),
        errands_lost: control.runner.lost(),
        logins: control.logins.counts(),
        alerts: Alerts::of(&control),
        figures: process::figures(),
        started: control.started.wall,
    };
    let mut registry = Registry::default();
    registry.register_collector(Box::new(scrape));
    let mut text = String::with_capacity(32 * 1024);
    // Writing into a String does not fail.
    let _ = prometheus_client::encoding::text::encode(&mut text, &registry);
    let format = Format::asked(&asked);
    if format == Format::Classic {
        text = text::classic(&text);
    }
    let headers = [
        (header::CONTENT_TYPE, format.content_type()),
        (header::VARY, "accept, accept-encoding"),
    ];
    let compressed = text::wants_gzip(&asked).then(|| text::gzip(&text));
    Ok(match compressed.flatten() {
        Some(bytes) => (headers, [(header::CONTENT_ENCODING, "gzip")], bytes).into_response(),
        None => (headers, text).into_response(),
    })
}

/// All that a scrape says.
#[derive(Debug)]
struct Scrape {
    snapshot: Snapshot,
    webhooks: WebhookStats,
    state_file: StateFileStats,
    errands_lost: u64,
    logins: LoginCounts,
    alerts: Alerts,
    figures: Figures,
    started: UnixMillis,
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
    fn classes(&self) -> impl Iterator<Item = (&'static str, &ClassStats)> {
        CLASS_NAMES.into_iter().zip(&self.snapshot.stats.classes)
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
        let help = "Time that input has waited for its next share of a turn, over all connections, by class";
        page.counters("pulsegate_throttled_seconds", help, |family| {
            for (class, counts) in self.classes() {
                let labels = [("class", class)];
                let waited = seconds(counts.throttled_time);
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
            "Times that the loop was away for long enough to blame nobody",
            stats.stalls,
        )?;
        page.counter(
            "pulsegate_loop_stalled_seconds",
            "Time that the loop was away in stalls",
            seconds(stats.stalled),
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
            "Log lines lost because nobody read them in time",
            snapshot.log_dropped,
        )?;
        let help = "What runs here; always 1";
        page.family("pulsegate_build_info", help, MetricType::Gauge, |family| {
            let labels = [("version", env!("CARGO_PKG_VERSION"))];
            family.encode_family(&labels)?.encode_gauge(&1i64)
        })
    }

    /// What the errands thread does for the loop, counted here.
    fn errands(&self, page: &mut Page<'_, '_>) -> fmt::Result {
        let help = "Webhooks by what became of an attempt, or why there was none";
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
            "Webhooks under way now",
            self.webhooks.in_flight as i64,
        )?;
        page.gauge(
            "pulsegate_webhooks_waiting",
            "Webhooks that wait for their turn or their next attempt now",
            self.webhooks.waiting as i64,
        )?;
        page.gauge(
            "pulsegate_webhook_breakers_open",
            "Apps whose server is taken to be down now",
            self.webhooks.breakers_open as i64,
        )?;
        page.counter(
            "pulsegate_errands_lost",
            "Errands of the loop that the errands thread did not take in time",
            self.errands_lost,
        )?;
        let help = "Requests to ADMIN_ADDR that were refused for want of the token";
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
            "Times that the state file could not be written",
            self.state_file.errors,
        )?;
        let written = self.state_file.written.unwrap_or_default();
        page.gauge(
            "pulsegate_state_file_written_timestamp_seconds",
            "When the state file was written last, since the Unix epoch; 0 before the first time",
            written.0 as f64 / 1_000.0,
        )
    }

    /// Named as Prometheus's own client libraries name them.
    fn process(&self, page: &mut Page<'_, '_>) -> fmt::Result {
        let figures = &self.figures;
        if let Some(cpu) = figures.cpu_seconds {
            page.counter("process_cpu_seconds", "Time on a CPU, user and system", cpu)?;
        }
        for (name, help, value) in [
            (
                "process_open_fds",
                "Open file descriptors",
                figures.open_fds,
            ),
            (
                "process_max_fds",
                "File descriptors that there may be",
                figures.max_fds,
            ),
            (
                "process_resident_memory_bytes",
                "Memory in RAM",
                figures.resident_memory_bytes,
            ),
            (
                "process_virtual_memory_bytes",
                "Address space",
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
            "When the process started, since the Unix epoch",
            self.started.0 as f64 / 1_000.0,
        )
    }
}

/// What is told of trouble.
#[derive(Debug)]
struct Alerts {
    firing: Vec<(&'static str, u64)>,
    refused: u64,
    sink: SinkStats,
}

impl Alerts {
    fn of(control: &Control) -> Self {
        Alerts {
            firing: control.alerts.firing(),
            refused: control.alerts.refused(),
            sink: control.alerts.sink().0,
        }
    }

    fn encode(&self, page: &mut Page<'_, '_>) -> fmt::Result {
        let help = "Alerts that fire now, by rule";
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
        let help = "Requests to ALERT_WEBHOOK_URL by what became of them";
        page.counters("pulsegate_alert_posts", help, |family| {
            family.count(&[("result", "answered")], self.sink.delivered)?;
            family.count(&[("result", "failed")], self.sink.failed)
        })?;
        page.counter(
            "pulsegate_alerts_lost",
            "Alerts that were not told because there were too many",
            self.refused + self.sink.lost,
        )
    }
}

/// A page of metrics as it is written.
struct Page<'a, 'e>(&'a mut DescriptorEncoder<'e>);

/// One metric with labels.
struct Family<'a, 'e>(&'a mut MetricEncoder<'e>);

/// What stands beside a value; we have none.
const NO_EXEMPLAR: Option<&Exemplar<[(&str, &str); 0], u64>> = None;

impl Page<'_, '_> {
    fn family(
        &mut self,
        name: &str,
        help: &str,
        kind: MetricType,
        write: impl FnOnce(&mut MetricEncoder<'_>) -> fmt::Result,
    ) -> fmt::Result {
        write(&mut self.0.encode_descriptor(name, help, None, kind)?)
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl EncodeGaugeValue) -> fmt::Result {
        self.family(name, help, MetricType::Gauge, |metric| {
            metric.encode_gauge(&value)
        })
    }

    /// The name goes without `_total`, which is added.
    fn counter(&mut self, name: &str, help: &str, value: impl EncodeCounterValue) -> fmt::Result {
        self.family(name, help, MetricType::Counter, |metric| {
            metric.encode_counter(&value, NO_EXEMPLAR)
        })
    }

    fn counters(
        &mut self,
        name: &str,
        help: &str,
        write: impl FnOnce(&mut Family<'_, '_>) -> fmt::Result,
    ) -> fmt::Result {
        self.family(name, help, MetricType::Counter, |metric| {
            write(&mut Family(metric))
        })
    }

    fn histogram(&mut self, name: &str, help: &str, counts: &Histogram) -> fmt::Result {
        let mut below = 0;
        let mut buckets: Vec<(f64, u64)> = (LEAST_POWER..=MOST_POWER)
            .map(|power| {
                let up_to = counts.below_power(power);
                let within = up_to - std::mem::replace(&mut below, up_to);
                (seconds(Micros(1 << power)), within)
            })
            .collect();
        let count = counts.count();
        buckets.push((f64::MAX, count - below));
        self.family(name, help, MetricType::Histogram, |metric| {
            let sum = seconds(Micros(counts.sum()));
            metric.encode_histogram::<[(&str, &str); 0]>(sum, count, &buckets, None)
        })
    }
}

impl Family<'_, '_> {
    fn count<const N: usize>(&mut self, labels: &[(&str, &str); N], value: u64) -> fmt::Result {
        let mut metric = self.0.encode_family(labels)?;
        metric.encode_counter(&value, NO_EXEMPLAR)
    }
}

fn seconds(span: Micros) -> f64 {
    span.0 as f64 / 1e6
}
