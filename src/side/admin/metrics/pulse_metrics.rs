//! The metrics of sessions that outlive their connections.

use super::scrape::Scrape;
use super::writer::MetricsWriter;
use crate::gateway::{HoldEnd, NotHeld, ResetReason};
use prometheus_client::metrics::MetricType;
use std::fmt;

impl Scrape {
    pub(super) fn pulse(&self, writer: &mut MetricsWriter<'_, '_>) -> fmt::Result {
        let counts = &self.snapshot.pulse;
        let help = "Pulse sessions, by state: attached to a connection of the client, or held";
        writer.family(
            "pulsegate_pulse_sessions",
            help,
            MetricType::Gauge,
            |family| {
                for (state, count) in [("attached", counts.attached), ("held", counts.held)] {
                    let labels = [("state", state)];
                    family
                        .encode_family(&labels)?
                        .encode_gauge(&(count as i64))?;
                }
                Ok(())
            },
        )?;
        writer.gauge(
            "pulsegate_pulse_held_bytes",
            "Bytes kept for pulse sessions that wait for their clients, on the bridge \
             (HOLD_MAX_BYTES) and on the relay (MAX_BUFFERED_BYTES)",
            counts.held_bytes as i64,
        )?;
        writer.counter(
            "pulsegate_pulse_sessions_opened",
            "Pulse sessions that began",
            counts.opened,
        )?;
        let help = "Connections of pulse sessions that were lost, by whether the client had \
                    acknowledged everything";
        writer.counters("pulsegate_pulse_losses", help, |family| {
            let dirty = counts.losses_unacknowledged;
            family.count(&[("acknowledged", "true")], counts.losses - dirty)?;
            family.count(&[("acknowledged", "false")], dirty)
        })?;
        let help = "Holds of pulse sessions that ended, by how";
        writer.counters("pulsegate_pulse_holds_ended", help, |family| {
            for why in HoldEnd::ALL {
                family.count(&[("why", why.name())], counts.holds_ended[*why as usize])?;
            }
            Ok(())
        })?;
        let help = "Pulse sessions that were not held although their client was lost, by reason";
        writer.counters("pulsegate_pulse_not_held", help, |family| {
            for why in NotHeld::ALL {
                family.count(&[("why", why.name())], counts.not_held[*why as usize])?;
            }
            Ok(())
        })?;
        let help = "Pulse clients that got a new session instead of theirs, by reason";
        writer.counters("pulsegate_pulse_resets", help, |family| {
            for why in ResetReason::ALL {
                family.count(&[("why", why.name())], counts.resets[*why as usize])?;
            }
            Ok(())
        })?;
        writer.counter(
            "pulsegate_pulse_taken_over",
            "Connections of pulse sessions that looked open when their client resumed on another",
            counts.taken_over,
        )?;
        writer.counter(
            "pulsegate_pulse_sent_again",
            "Messages that were sent again to pulse clients after a resume",
            counts.sent_again,
        )?;
        writer.counter(
            "pulsegate_pulse_unacknowledged",
            "Messages that pulse clients had not acknowledged when their sessions ended",
            counts.unacknowledged,
        )?;
        writer.counter(
            "pulsegate_pulse_refused",
            "Pulse clients that were refused by a frame, so that a browser learns why",
            counts.refused,
        )?;
        let help = "Control frames of pulse clients that were ignored, because they came too often";
        writer.counters("pulsegate_pulse_frames_ignored", help, |family| {
            family.count(&[("kind", "state")], counts.states_ignored)
        })
    }
}
