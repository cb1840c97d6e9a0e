//! The metrics of the relay.

use super::page::Page;
use super::scrape::Scrape;
use crate::gateway::{DropReason, RELAY_CLASSES};
use prometheus_client::metrics::MetricType;
use std::fmt;

impl Scrape {
    pub(super) fn relay(&self, page: &mut Page<'_, '_>) -> fmt::Result {
        self.places(page)?;
        self.frames(page)
    }

    fn places(&self, page: &mut Page<'_, '_>) -> fmt::Result {
        let relay = &self.snapshot.relay;
        let help = "Places of sessions that were taken, by class and whether for the first time, \
                    after a loss, or from an older connection";
        page.counters("pulsegate_places_taken", help, |family| {
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
        page.histogram(
            "pulsegate_resume_absence_seconds",
            "How long peers had been lost that came back",
            &relay.absence,
        )?;
        let help = "Places that are lost and waited for now, by class";
        page.family(
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
                "Places that were waited for in vain, by class",
                relay.expired_places,
            ),
            (
                "pulsegate_false_deaths",
                "Peers that were declared stale and came back within a second, by class",
                relay.false_deaths,
            ),
            (
                "pulsegate_flapping_refusals",
                "Newcomers that were refused because their identity comes back too often, by class",
                relay.flapping,
            ),
        ] {
            page.counters(name, help, |family| {
                for (class, n) in names().zip(counts) {
                    family.count(&[("class", class)], n)?;
                }
                Ok(())
            })?;
        }
        let help =
            "Requests to the servers of apps: started by a user, asked back after a loss, stopped";
        page.counters("pulsegate_app_requests", help, |family| {
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

    fn frames(&self, page: &mut Page<'_, '_>) -> fmt::Result {
        let relay = &self.snapshot.relay;
        let help = "Frames sent on, by the class of the receiver";
        page.counters("pulsegate_frames_relayed", help, |family| {
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
                "Frames of apps that they may not send to glasses",
                relay.forbidden,
            ),
            (
                "pulsegate_frames_malformed",
                "Frames that were no JSON of the contract",
                relay.malformed,
            ),
            (
                "pulsegate_frames_replayed",
                "Frames that had waited and were sent to a peer that came back",
                relay.replayed,
            ),
            (
                "pulsegate_frames_doubtful",
                "Frames that were written before a loss and not confirmed by a heartbeat",
                relay.doubtful,
            ),
        ] {
            page.counter(name, help, n)?;
        }
        let help = "Frames that were dropped, by reason";
        page.counters("pulsegate_frames_dropped", help, |family| {
            for (reason, n) in DropReason::ALL.into_iter().zip(relay.dropped) {
                family.count(&[("reason", reason.name())], n)?;
            }
            Ok(())
        })?;
        page.gauge(
            "pulsegate_frames_kept",
            "Frames kept now: unconfirmed, or waiting for a peer",
            relay.kept as i64,
        )?;
        page.gauge(
            "pulsegate_frames_kept_bytes",
            "Bytes of the frames kept now",
            relay.kept_bytes as i64,
        )
    }
}

/// Returns the names of the relay's classes, ordered by number.
fn names() -> impl Iterator<Item = &'static str> {
    RELAY_CLASSES.iter().map(|info| info.name)
}
