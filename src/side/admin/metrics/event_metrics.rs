//! The metrics about events for backends.

use super::writer::MetricsWriter;
use crate::side::admin::admin_state::AdminState;
use crate::side::events::{EVENT_TYPES, PosterStats};
use std::fmt;

/// The metrics about events for backends.
#[derive(Debug)]
pub(super) struct EventMetrics {
    counts: [u64; EVENT_TYPES.len()],
    kept: usize,
    lost: u64,
    readers: usize,
    missed: u64,
    poster: PosterStats,
}

impl EventMetrics {
    pub(super) fn of(admin: &AdminState) -> Self {
        let (streams, hub) = (&admin.events, admin.events.hub());
        // What the loop has made by now counts.
        hub.collect();
        EventMetrics {
            counts: hub.counts(),
            kept: hub.kept(),
            lost: hub.lost(),
            readers: streams.readers(),
            missed: streams.missed(),
            poster: admin.poster.stats(),
        }
    }

    pub(super) fn encode(&self, writer: &mut MetricsWriter<'_, '_>) -> fmt::Result {
        let help = "Events about connections and sessions, by type";
        writer.counters("pulsegate_events", help, |family| {
            for (name, count) in EVENT_TYPES.iter().zip(self.counts) {
                family.count(&[("type", name)], count)?;
            }
            Ok(())
        })?;
        let help = "Events that were lost: before they were kept (queue), before they were posted \
                    (url), or before a reader took them (stream, summed over all readers)";
        writer.counters("pulsegate_events_lost", help, |family| {
            family.count(&[("sink", "queue")], self.lost)?;
            family.count(&[("sink", "url")], self.poster.lost)?;
            family.count(&[("sink", "stream")], self.missed)
        })?;
        writer.gauge(
            "pulsegate_events_kept",
            "Events that are kept for readers that come back",
            self.kept as i64,
        )?;
        writer.gauge(
            "pulsegate_events_waiting",
            "Events that wait to be posted to EVENTS_URL",
            self.poster.waiting as i64,
        )?;
        writer.gauge(
            "pulsegate_event_readers",
            "Readers of /api/v1/events",
            self.readers as i64,
        )?;
        let help = "Requests to EVENTS_URL, by result";
        writer.counters("pulsegate_event_posts", help, |family| {
            family.count(&[("result", "answered")], self.poster.answered)?;
            family.count(&[("result", "failed")], self.poster.failed)
        })
    }
}
