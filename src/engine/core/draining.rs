//! The drain: closing all connections in order.

use super::core::Core;
use crate::base::cause::Cause;
use crate::base::id::ConnId;
use crate::base::spread::Spread;
use crate::base::time::Micros;
use crate::engine::conn::{Conn, Phase};
use crate::engine::drain::DrainState;
use crate::engine::flags::Flag;
use crate::engine::timers::TimerPurpose;
use crate::engine::wheel::TICK;

/// The slots processed and the connections closed in one step of a drain; there is a step with each
/// tick.
const SLOTS_PER_STEP: u32 = 8 * 1_024;
const CLOSES_PER_STEP: u32 = 512;

/// The reason in the close frame.
const REASON: &str = "service restart";

impl Core {
    /// Starts a drain. If one is in progress, shortens the rest of its delay and spread to these
    /// values.
    pub(crate) fn announce_drain(&mut self, delay: Micros, spread: Micros, now: Micros) {
        match &mut self.drain {
            DrainState::Off => self.drain_after(now + delay, spread, now),
            DrainState::Announced {
                until,
                spread: before,
                timer,
            } => {
                let (until, timer) = ((*until).min(now + delay), *timer);
                let spread = spread.min(*before);
                self.timers.cancel(timer);
                self.drain_after(until, spread, now);
            }
            DrainState::FinalAccept { spread: before, .. } => *before = spread.min(*before),
            DrainState::Closing {
                spread: before,
                done,
                ..
            } => {
                if now + spread < before.end() {
                    // The cursor continues, but faster.
                    let open = self.table.ids().filter(|(_, conn)| conn.is_open());
                    *before = Spread {
                        started: now,
                        span: spread,
                        total: (open.count() as u64).saturating_sub(self.stats.pairs),
                    };
                    *done = 0;
                }
            }
            // There is nothing left to shorten.
            DrainState::Stopped => {}
        }
    }

    fn drain_after(&mut self, until: Micros, spread: Micros, now: Micros) {
        let timer = self.start_timer(TimerPurpose::Drain, until, now);
        self.drain = DrainState::Announced {
            until,
            spread,
            timer,
        };
    }

    /// Returns the remaining times of a drain: until accepting stops, and from then until the last
    /// close.
    pub(crate) fn drain_left(&self, now: Micros) -> Option<(Micros, Micros)> {
        match self.drain {
            DrainState::Off => None,
            DrainState::Announced { until, spread, .. } => Some((until - now, spread)),
            DrainState::FinalAccept { since, spread } => Some((Micros::ZERO, since + spread - now)),
            DrainState::Closing { spread, .. } => Some((Micros::ZERO, spread.end() - now)),
            DrainState::Stopped => Some((Micros::ZERO, Micros::ZERO)),
        }
    }

    /// Returns the latest time at which the drain closes this connection, if it will.
    pub(crate) fn drain_deadline(&self, id: ConnId) -> Option<Micros> {
        let is_open = match self.table.get(id)?.phase {
            Phase::Open(_) => true,
            Phase::Opening(_) | Phase::Dialing(_) => false,
            Phase::Closing(_) | Phase::Dead(_) => return None,
        };
        match self.drain {
            DrainState::Off => None,
            DrainState::Announced { until, spread, .. } => Some(until + spread),
            DrainState::FinalAccept { since, spread } => Some(since + spread),
            DrainState::Closing {
                spread,
                done,
                cursor,
            } => {
                // It is closed after all connections before it.
                let ahead = id.slot_u32().checked_sub(cursor).filter(|_| is_open);
                let turn = ahead.map(|slots| done + u64::from(slots) + 1);
                Some(turn.map_or(spread.end(), |turn| spread.due_at(turn)))
            }
            DrainState::Stopped => Some(Micros::ZERO),
        }
    }

    /// Advances the drain when its timer has expired.
    pub(crate) fn advance_drain(&mut self, now: Micros) {
        match self.drain {
            DrainState::Announced { spread, .. } => {
                self.drain = DrainState::FinalAccept { since: now, spread };
            }
            DrainState::Closing { .. } => self.drain_step(now),
            DrainState::Off | DrainState::FinalAccept { .. } | DrainState::Stopped => {}
        }
    }

    /// Ends the last accept: the accept queue is empty, and no connection is admitted any more.
    pub(crate) fn finish_accepting(&mut self, now: Micros) {
        if let DrainState::FinalAccept { spread, .. } = self.drain {
            self.drain = DrainState::Closing {
                spread: Spread {
                    started: now,
                    span: spread,
                    total: (self.table.len() as u64).saturating_sub(self.stats.pairs),
                },
                done: 0,
                cursor: 0,
            };
            self.drain_step(now);
        }
    }

    /// Closes the connections that are due: after a tenth of the spread, a tenth of all.
    fn drain_step(&mut self, now: Micros) {
        let DrainState::Closing {
            spread,
            mut done,
            mut cursor,
        } = self.drain
        else {
            return;
        };
        let (over, quota) = (spread.is_over(now), spread.due(now));
        let (mut slots, mut closes) = (SLOTS_PER_STEP, CLOSES_PER_STEP);
        while done < quota && slots > 0 && closes > 0 {
            if cursor >= self.table.bound() {
                // Those that wait to be closed would be found again.
                if !over || !self.drained.is_empty() {
                    break;
                }
                // Connections that finished their handshake behind the cursor are closed now, too.
                cursor = 0;
            }
            let id = self.table.id_in_slot(cursor);
            (cursor, slots) = (cursor + 1, slots - 1);
            if id.is_some_and(|id| self.drain_one(id, over, now)) {
                (done, closes) = (done + 1, closes - 1);
            }
        }
        self.drain = DrainState::Closing {
            spread,
            done,
            cursor,
        };
        if self.table.len() > 0 {
            self.start_timer(TimerPurpose::Drain, now + TICK, now);
        }
    }

    /// Closes one connection of the drain. Unfinished handshakes may continue until the spread is
    /// over.
    fn drain_one(&mut self, id: ConnId, over: bool, now: Micros) -> bool {
        let closable = self.table.get(id).is_some_and(|c| match c.phase {
            Phase::Open(_) => true,
            Phase::Opening(_) | Phase::Dialing(_) => over,
            Phase::Closing(_) | Phase::Dead(_) => false,
        });
        if closable && self.follows_its_client(id) {
            return false;
        }
        match self.table.get(id).is_some_and(Conn::is_open) {
            true => self.drained.push(id),
            false if closable => self.close_drained(id, now),
            false => {}
        }
        closable
    }

    /// Closes a connection of the drain.
    pub(crate) fn close_drained(&mut self, id: ConnId, now: Micros) {
        let cause = Cause::DRAINING;
        self.close(id, cause, cause.close_code(), REASON, now);
    }

    /// Returns whether this is the dialled connection of a pair. A drain closes the client, and the
    /// pair then ends as one.
    fn follows_its_client(&self, id: ConnId) -> bool {
        let is_dialed = |c: &Conn| c.flags.has(Flag::Dialed) && c.flags.has(Flag::Linked);
        self.table.get(id).is_some_and(is_dialed) && self.partner_of(id).is_some()
    }
}
