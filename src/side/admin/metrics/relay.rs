//! The metrics of the relay.

use super::scrape::Scrape;
use super::writer::MetricsWriter;
use crate::gateway::{DropReason, RELAY_CLASSES};
use prometheus_client::metrics::MetricType;
use std::fmt;

impl Scrape {
    pub(super) fn relay(&self, writer: &mut MetricsWriter<'_, '_>) -> fmt::Result {
        self.places(writer)?;
        self.frames(writer)
    }

    fn places(&self, writer: &mut MetricsWriter<'_, '_>) -> fmt::Result {
        let relay = &self.snapshot.relay;
        let help = "Connections that joined a session, by class and how: first, resume after a \
                    loss, or takeover from an older connection";
        writer.counters("pulsegate_places_taken", help, |family| {
            for (how, counts) in [
                ("first", relay.firsts),
                ("resume", relay.resumes),
                ("takeover", relay.takeovers),
            ] {
                for (class, n) in names().zip(counts) {
                    family.count(&[("class", class), ("how", how)], n)?;
                }
            }
            Ok(())
        })?;
        writer.histogram(
            "pulsegate_resume_absence_seconds",
            "Time from the loss of a peer's connection until it reconnected",
            &relay.absence,
        )?;
        let help = "Peers whose connection was lost and that may still resume, by class";
        writer.family(
            "pulsegate_places_absent",
            help,
            MetricType::Gauge,
            |family| {
                for (class, n) in names().zip(relay.absent) {
                    let labels = [("class", class)];
                    family.encode_family(&labels)?.encode_gauge(&(n as i64))?;
                }
                Ok(())
            },
        )?;
        for (name, help, counts) in [
            (
                "pulsegate_places_given_up",
                "Peers whose connection was lost and that did not resume in time, by class",
                relay.expired_slots,
            ),
            (
                "pulsegate_false_deaths",
                "Peers that were closed as stale and reconnected within a second, by class",
                relay.false_deaths,
            ),
            (
                "pulsegate_flapping_refusals",
                "Connections refused because their identity reconnects too often, by class",
                relay.flapping,
            ),
        ] {
            writer.counters(name, help, |family| {
                for (class, n) in names().zip(counts) {
                    family.count(&[("class", class)], n)?;
                }
                Ok(())
            })?;
        }
        let help = "Webhook requests to apps: start by a user, revival after a loss, stop";
        writer.counters("pulsegate_app_requests", help, |family| {
            for (kind, n) in [
                ("start", relay.starts),
                ("revival", relay.revivals),
                ("stop", relay.stops),
            ] {
                family.count(&[("kind", kind)], n)?;
            }
            Ok(())
        })
    }

    fn frames(&self, writer: &mut MetricsWriter<'_, '_>) -> fmt::Result {
        let relay = &self.snapshot.relay;
        let help = "Frames forwarded, by the class of the receiver";
        writer.counters("pulsegate_frames_relayed", help, |family| {
            for (class, n) in names().zip(relay.relayed) {
                family.count(&[("class", class)], n)?;
            }
            Ok(())
        })?;
        for (name, help, n) in [
            (
                "pulsegate_frames_unrouted",
                "Frames without a receiver: no subscriber, no glasses",
                relay.unrouted,
            ),
            (
                "pulsegate_frames_forbidden",
                "Frames of a type that the app may not send to glasses",
                relay.forbidden,
            ),
            (
                "pulsegate_frames_malformed",
                "Text frames that were not valid JSON messages of the protocol",
                relay.malformed,
            ),
            (
                "pulsegate_frames_replayed",
                "Frames that were kept for a lost peer and sent when it reconnected",
                relay.replayed,
            ),
            (
                "pulsegate_frames_doubtful",
                "Frames that were written to a connection before its loss, and not confirmed by a \
                 later pong",
                relay.doubtful,
            ),
        ] {
            writer.counter(name, help, n)?;
        }
        let help = "Frames that were dropped, by reason";
        writer.counters("pulsegate_frames_dropped", help, |family| {
            for (reason, n) in DropReason::ALL.into_iter().zip(relay.dropped) {
                family.count(&[("reason", reason.name())], n)?;
            }
            Ok(())
        })?;
        writer.gauge(
            "pulsegate_frames_kept",
            "Frames that are kept: not confirmed yet, or waiting for a lost peer",
            relay.kept as i64,
        )?;
        writer.gauge(
            "pulsegate_frames_kept_bytes",
            "Bytes of the frames that are kept",
            relay.kept_bytes as i64,
        )
    }
}

/// Returns the names of the relay's classes, ordered by number.
fn names() -> impl Iterator<Item = &'static str> {
    RELAY_CLASSES.iter().map(|info| info.name)
}
