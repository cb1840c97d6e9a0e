//! Events for backends: the loop's events are written down once, kept for a time, read as a stream
//! and posted to `EVENTS_URL`.

mod event_body;
mod event_filter;
mod event_hub;
mod event_poster;
mod event_ring;
mod event_settings;
mod kept_event;
#[cfg(test)]
mod tests;

pub(super) use self::event_body::{EVENT_TYPES, event_id, missed_json, parse_event_id};
pub(super) use self::event_filter::EventFilter;
pub(super) use self::event_hub::{EventHub, EventTap, run as collect_events};
pub(super) use self::event_poster::{EventPoster, PosterStats};
pub(super) use self::event_ring::SliceLimits;
pub use self::event_settings::{EventOptions, EventSettings};
