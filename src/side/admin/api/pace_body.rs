//! Why a connection has its heartbeat interval, where intervals adapt.

use crate::engine::PaceView;
use crate::health::{GapBucket, Pace};
use serde::Serialize;
use utoipa::ToSchema;

/// Why the heartbeat interval of a connection is what it is.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Pace)]
pub(super) struct PaceBody {
    /// `configured`: as the settings say. `safe`: longer, by what the connections of its network
    /// survive. `exploring`: the connection tries a gap that is not known to be safe. `at_risk`:
    /// short, because a heartbeat was late.
    #[schema(example = "safe")]
    reason: &'static str,
    /// What keeps the interval from growing: `settings`, `network`, `unknown` (nothing is known of
    /// the network yet), `steps` (it grows at each fourth heartbeat if none of the latest three was
    /// late). Null while it explores or is at risk.
    #[schema(example = "network")]
    limited_by: Option<&'static str>,
    /// The interval of its class.
    configured_ms: u64,
    /// The longest interval that HEARTBEAT_MAX_MS and DETECT_WITHIN_MS allow.
    longest_ms: u64,
    /// The longest idle gap that is safe in its network: fewer than one of 100 connections die
    /// because of it. Null until that is known.
    safe_gap_ms: Option<u64>,
    /// The longer gap that some connections of its network try. Null if none do.
    explored_gap_ms: Option<u64>,
}

impl PaceBody {
    /// Returns what is shown of this view, and adds a sentence about it.
    pub(super) fn of(view: &PaceView, text: &mut Vec<String>) -> Self {
        let limited_by = limit(view);
        text.push(sentence(view, limited_by));
        PaceBody {
            reason: match view.pace {
                Pace::Configured => "configured",
                Pace::Safe(_) => "safe",
                Pace::Exploring(_) => "exploring",
                Pace::AtRisk(_) => "at_risk",
            },
            limited_by,
            configured_ms: view.configured.as_millis(),
            longest_ms: view.longest.as_millis(),
            safe_gap_ms: view.learned.safe.map(|gap| gap.as_millis()),
            explored_gap_ms: view.learned.exploring.map(|gap| gap.as_millis()),
        }
    }
}

fn limit(view: &PaceView) -> Option<&'static str> {
    let interval = match view.pace {
        Pace::Configured | Pace::Safe(_) => view.pace.interval(view.configured),
        Pace::Exploring(_) | Pace::AtRisk(_) => return None,
    };
    let mut longer = GapBucket::all().filter(|gap| Pace::Safe(*gap).interval(interval) > interval);
    let Some(next) = longer.next() else {
        return Some("settings");
    };
    Some(match view.learned.safe {
        _ if Pace::Safe(next).interval(interval) > view.longest => "settings",
        None => "unknown",
        Some(safe) if safe < next.edge() => "network",
        Some(_) => "steps",
    })
}

fn sentence(view: &PaceView, limited_by: Option<&'static str>) -> String {
    let (interval, longest) = (
        view.pace.interval(view.configured),
        view.longest.as_millis(),
    );
    let interval = interval.as_millis();
    let safe = view.learned.safe.unwrap_or_default().as_millis();
    match (view.pace, limited_by) {
        (Pace::AtRisk(_), _) => format!(
            "one of its latest two heartbeats was late, so its interval is {interval} ms, for at \
             most two minutes without an answer"
        ),
        (Pace::Exploring(_), _) => format!(
            "its interval is {interval} ms to find out whether its network forgets idle \
             connections that early; {safe} ms are known to be safe"
        ),
        (_, Some("network")) => format!(
            "its interval is {interval} ms and no longer, because idle gaps of {safe} ms are the \
             longest that are known to be safe in its network"
        ),
        (_, Some("unknown")) => format!(
            "its interval is {interval} ms and no longer, because nothing is known of its network \
             yet"
        ),
        (_, Some("settings")) => format!(
            "its interval is {interval} ms, and HEARTBEAT_MAX_MS and DETECT_WITHIN_MS allow at \
             most {longest} ms"
        ),
        _ => format!(
            "its interval is {interval} ms, and grows at each fourth heartbeat if none of the \
             latest three was late"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::Micros;
    use crate::engine::CadenceView;

    fn limited(pace: Pace, safe: Option<usize>, longest: u64) -> Option<&'static str> {
        let edge = |index| GapBucket::from_index(index).expect("16 buckets").edge();
        let learned = CadenceView {
            safe: safe.map(edge),
            ..CadenceView::default()
        };
        let view = PaceView {
            pace,
            configured: Micros::from_secs(15),
            longest: Micros::from_secs(longest),
            learned,
        };
        let mut text = Vec::new();
        let limit = PaceBody::of(&view, &mut text).limited_by;
        assert_eq!(text.len(), 1);
        limit
    }

    #[test]
    fn what_keeps_an_interval_from_growing() {
        let bucket = |index| GapBucket::from_index(index).expect("16 buckets");
        for (pace, safe, longest, limit) in [
            (Pace::Configured, None, 15, Some("settings")),
            (Pace::Configured, None, 100, Some("unknown")),
            (Pace::Configured, Some(0), 100, Some("network")),
            (Pace::Configured, Some(3), 100, Some("steps")),
            (Pace::Safe(bucket(2)), Some(2), 100, Some("network")),
            (Pace::Safe(bucket(2)), Some(3), 100, Some("steps")),
            (Pace::Safe(bucket(2)), Some(3), 30, Some("settings")),
            (Pace::Safe(bucket(15)), Some(15), 3_600, Some("settings")),
            (Pace::Exploring(bucket(3)), Some(2), 100, None),
            (Pace::AtRisk(None), Some(2), 100, None),
        ] {
            assert_eq!(
                limited(pace, safe, longest),
                limit,
                "{pace:?} {safe:?} {longest}"
            );
        }
    }
}
