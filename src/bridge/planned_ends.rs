//! Pairs that the bridge ends by plan: those of upstreams that were removed or drained, and those
//! that reach their planned age.

use super::bridge::Bridge;
use super::upstreams::Listing;
use crate::base::cause::Cause;
use crate::base::id::ConnId;
use crate::base::time::Micros;
use crate::engine::{Io, PhaseView};
use crate::host::SpreadClose;

/// The reasons in the close frames.
const REMOVED: &str = "upstream removed";
const DRAINED: &str = "upstream drained";
const OLD: &str = "planned age reached";

/// The most pairs that are closed for their age in one step.
const CLOSES: usize = 256;

/// The time from one step to the next, if more pairs are due.
const STEP: Micros = Micros::from_millis(10);

impl Bridge {
    /// Closes the pairs of upstreams that were removed or drained, evenly over `spread`.
    pub(super) fn close_leaving(&mut self, io: &mut Io<'_>, spread: Micros) {
        if let Some(mut before) = self.leaving.take() {
            before.stop(io);
        }
        let pairs = self.endpoints.pairs_to_leave();
        if pairs > 0 {
            self.leaving = Some(SpreadClose::new(io.now(), spread, pairs));
            self.close_due(io);
        }
    }

    /// Closes the pairs of such upstreams that are due.
    pub(super) fn close_due(&mut self, io: &mut Io<'_>) {
        let endpoints = &self.endpoints;
        let Some(walk) = &mut self.leaving else {
            return;
        };
        walk.step(io, |io, id, view| {
            let endpoint = endpoints.of_leg(id).and_then(|at| endpoints.get(at));
            let left = endpoint.filter(|e| e.is_left() && view.phase == PhaseView::Open);
            if let Some(endpoint) = left {
                let reason = match endpoint.listing {
                    Listing::Removed => REMOVED,
                    Listing::Listed | Listing::Vanished => DRAINED,
                };
                close_pair(io, id, reason);
            }
            left.is_some()
        });
    }

    /// Plans the end of a pair by its leg to the upstream, if its route has a planned age.
    pub(super) fn plan_end(&mut self, io: &mut Io<'_>, leg: ConnId, age: Option<Micros>) {
        let Some(age) = age else { return };
        self.ages.add(leg, age, io.now());
        self.set_age_timer(io);
    }

    /// Closes the pairs that have reached their planned age.
    pub(super) fn close_old(&mut self, io: &mut Io<'_>) {
        self.age_timer = None;
        for _ in 0..CLOSES {
            let Some(leg) = self.ages.take_due(io.now()) else {
                break;
            };
            close_pair(io, leg, OLD);
        }
        self.set_age_timer(io);
    }

    /// Sets the timer for the next planned end. An end that is planned for an earlier time than the
    /// timer's is late by less than a second.
    fn set_age_timer(&mut self, io: &mut Io<'_>) {
        const LATE_MOST: Micros = Micros::from_secs(1);
        if self.age_timer.is_none()
            && let Some(next) = self.ages.next()
        {
            let wait = (next - io.now()).max(STEP).min(LATE_MOST);
            self.age_timer = Some(io.start_timer(wait));
        }
    }
}

/// Ends a pair by its leg to the upstream. The client's leg is closed, and the upstream is told so.
fn close_pair(io: &mut Io<'_>, leg: ConnId, reason: &str) {
    if let Some(client) = io.partner(leg) {
        let cause = Cause::DRAINING;
        io.close_for(client, cause, cause.close_code(), reason);
    }
}
