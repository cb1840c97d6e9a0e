//! Pairs that the bridge ends by plan: those of upstreams that were removed or drained, and those
//! that reach their planned age.

use super::age_limits::PlannedEnd;
use super::bridge::Bridge;
use super::leaving_walk::{LeavingWalk, close_pair, leaving_reason};
use crate::base::cause::Cause;
use crate::base::id::ConnId;
use crate::base::time::Micros;
use crate::engine::{Io, TimerId};
use crate::host::SpreadClose;

/// The reason in the close frames of old pairs.
pub(super) const OLD: &str = "planned age reached";

/// The reason in the close frame of a client whose token has expired.
pub(super) const EXPIRED: &str = "the token has expired";

/// A policy is violated (RFC 6455 §7.4.1): the code for a client whose token has expired.
pub(super) const POLICY: u16 = 1008;

/// The time over which pairs are closed that were opened during the drain of their upstream.
pub(super) const LAST_SPREAD: Micros = Micros::from_secs(1);

/// The most pairs that are closed for their age in one step.
const CLOSES: usize = 256;

/// The time from one step to the next, if more pairs are due.
const STEP: Micros = Micros::from_millis(10);

/// The most walks at one time.
const WALKS: usize = 16;

impl Bridge {
    /// Closes the pairs of upstreams that were removed or drained just now, evenly over `spread`.
    /// Earlier ones keep their time.
    pub(super) fn close_leaving(&mut self, io: &mut Io<'_>, spread: Micros) {
        // Each walk costs work, so a further one takes the place of the last.
        if self.leaving.len() >= WALKS
            && let Some(mut last) = self.leaving.pop()
        {
            last.walk.stop(io);
            for endpoint in self.endpoints.iter_mut() {
                if endpoint.leaving == Some(last.number) {
                    endpoint.leaving = None;
                }
            }
        }
        self.walks = self.walks.wrapping_add(1);
        let number = self.walks;
        let pairs = self.endpoints.begin_leaving(number);
        if pairs > 0 {
            let mut walk = LeavingWalk::new(number, SpreadClose::new(io.now(), spread, pairs));
            self.step_walk(io, &mut walk);
            self.leaving.push(walk);
        }
    }

    /// Closes the pairs that clients of drained upstreams have opened during the drain.
    pub(super) fn begin_last_walk(&mut self, io: &mut Io<'_>) {
        let now = io.now();
        for endpoint in self.endpoints.iter_mut() {
            if endpoint.is_drained && !endpoint.keeps_own(now) {
                endpoint.leaving = None;
            }
        }
        self.close_leaving(io, LAST_SPREAD);
    }

    /// Closes the pairs that are due in the walk with this timer. Returns whether there is one.
    pub(super) fn close_due(&mut self, io: &mut Io<'_>, timer: TimerId) -> bool {
        let mut walks = self.leaving.iter();
        let Some(at) = walks.position(|leaving| leaving.walk.owns(timer)) else {
            return false;
        };
        let mut walk = self.leaving.remove(at);
        self.step_walk(io, &mut walk);
        if walk.walk.is_running() {
            self.leaving.insert(at, walk);
        }
        true
    }

    /// Closes what is due in a walk: pairs, and sessions by their legs to upstreams.
    fn step_walk(&mut self, io: &mut Io<'_>, leaving: &mut LeavingWalk) {
        let number = leaving.number;
        leaving.walk.step(io, |io, id, view| {
            let reason = leaving_reason(&self.endpoints, number, (id, view), io.now());
            if let Some(reason) = reason
                && !close_pair(io, id, reason)
            {
                self.end_session_of(io, id, reason);
            }
            reason.is_some()
        });
    }

    /// Plans the end of a pair by its leg to the upstream, if its route has a planned age.
    pub(super) fn plan_end(&mut self, io: &mut Io<'_>, leg: ConnId, age: Option<Micros>) {
        let Some(age) = age else { return };
        self.ages.add(leg, age, io.now());
        self.set_age_timer(io);
    }

    /// Plans the end of a pair for the time at which the client's token expires.
    pub(super) fn plan_expiry(&mut self, io: &mut Io<'_>, leg: ConnId, expires: Option<Micros>) {
        let Some(expires) = expires else { return };
        self.ages.plan(leg, expires, PlannedEnd::Expiry);
        self.set_age_timer(io);
    }

    /// Closes the pairs that have reached their planned age, or whose tokens have expired.
    pub(super) fn close_old(&mut self, io: &mut Io<'_>) {
        self.age_timer = None;
        for _ in 0..CLOSES {
            match self.ages.take_due(io.now()) {
                Some((leg, PlannedEnd::Age)) => {
                    if !close_pair(io, leg, OLD) {
                        self.end_session_of(io, leg, OLD);
                    }
                }
                Some((leg, PlannedEnd::Expiry)) => close_expired(io, leg),
                None => break,
            }
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

/// Ends a pair whose client's token has expired, by its leg to the upstream.
fn close_expired(io: &mut Io<'_>, leg: ConnId) {
    if let Some(client) = io.partner(leg) {
        io.close_for(client, Cause::UNAUTHORIZED, POLICY, EXPIRED);
    }
}
