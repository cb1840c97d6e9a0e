//! Planned closes of linked connections. Nothing forces them to happen now, so they wait until all
//! that was read is forwarded, and both streams are between two frames.
//!
//! While a close waits ([`WantedClose`]), each stream goes on to the end of its frame in progress,
//! and then no frame is begun of which not all is there. So both streams are soon between two
//! frames, however fast the peers send. A connection with nothing more to forward is stopped: it is
//! not read, as one whose partner is behind, and so the loop does not look at it again.

use super::core::Core;
use crate::base::cause::{Cause, cut_reason};
use crate::base::id::ConnId;
use crate::base::sabotage::{self, Bug};
use crate::base::time::Micros;
use crate::engine::conn::{Conn, Phase};
use crate::engine::flags::Flag;
use crate::engine::leg_input::WantedClose;

/// The causes of planned closes, which nothing forces to happen now.
const PLANNED: [Cause; 3] = [Cause::DRAINING, Cause::KICKED, Cause::UNAUTHORIZED];

impl Core {
    /// Returns whether a close must wait, because the rest of a frame to one of two linked
    /// connections has not arrived, or because input of one was read and is not forwarded yet. Only
    /// a planned close waits for what the closed peer has sent: any other one says that this peer
    /// sends nothing more.
    pub(crate) fn waits_for_boundary(&self, id: ConnId, cause: Cause) -> bool {
        let conn = self.table.get(id).filter(|c| c.is_open());
        let partner = self.partner_of(id).and_then(|p| self.table.get(p));
        let Some((conn, partner)) = conn.zip(partner.filter(|c| c.is_open())) else {
            return false;
        };
        let is_planned = PLANNED.contains(&cause) && !conn.flags.has(Flag::CloseSent);
        let is_inside = |c: &Conn| c.flags.has(Flag::MidFrame);
        let is_left = |c: &Conn| is_left(c) && !sabotage::on(Bug::PlannedCloseOvertakes);
        is_inside(conn) || is_planned && (is_inside(partner) || is_left(conn) || is_left(partner))
    }

    /// Makes a close wait until it can follow what was read, at most for the close timeout.
    pub(crate) fn close_later(
        &mut self,
        id: ConnId,
        cause: Cause,
        code: u16,
        reason: &str,
        now: Micros,
    ) {
        let Some(conn) = self.table.get(id) else {
            return;
        };
        let timeout = self.policy_of(conn).close_timeout;
        if let Some(input) = self.forward_input(id)
            && input.wanted.is_none()
        {
            input.wanted = Some(Box::new(WantedClose {
                cause,
                code,
                reason: cut_reason(reason).into(),
                due: now + timeout,
            }));
            self.closes_waiting += 1;
            self.arm(id);
            self.forward_the_rest(id, now);
        }
    }

    /// Closes those of two linked connections whose closes have waited, if they need not wait any
    /// more. To be called when input of one of them was processed.
    #[inline]
    pub(crate) fn close_both_at_boundary(&mut self, id: ConnId, now: Micros) {
        if self.closes_waiting > 0 {
            self.close_waiting(id, now);
        }
    }

    #[cold]
    fn close_waiting(&mut self, id: ConnId, now: Micros) {
        self.close_at_boundary(id, now);
        if let Some(partner) = self.partner_of(id) {
            self.close_at_boundary(partner, now);
        }
    }

    /// Closes a connection whose close has waited, if it need not wait any more.
    fn close_at_boundary(&mut self, id: ConnId, now: Micros) {
        let input = self.table.get(id).and_then(Conn::forward_input);
        let wanted = input.and_then(|input| input.wanted.as_ref());
        let Some(cause) = wanted.map(|wanted| wanted.cause) else {
            return;
        };
        match self.waits_for_boundary(id, cause) {
            true => self.forward_the_rest(id, now),
            false => self.close_wanted(id, now),
        }
    }

    /// Closes a connection whose close has waited, whether or not it should wait longer.
    pub(crate) fn close_wanted(&mut self, id: ConnId, now: Micros) {
        let Some(wanted) = self.drop_wanted_close(id) else {
            return;
        };
        self.send_close_now(id, wanted.cause, wanted.code, &wanted.reason, now);
    }

    /// Drops a close that waits. Returns it if there was one.
    pub(crate) fn drop_wanted_close(&mut self, id: ConnId) -> Option<Box<WantedClose>> {
        let input = self.table.get(id).and_then(Conn::forward_input);
        input.filter(|input| input.wanted.is_some())?;
        let wanted = self.forward_input(id)?.wanted.take();
        self.closes_waiting -= 1;
        wanted
    }

    /// Returns whether a close of this connection or of its partner waits.
    #[inline]
    pub(crate) fn is_pair_closing(&self, id: ConnId, partner: ConnId) -> bool {
        self.closes_waiting > 0 && (self.is_close_waiting(id) || self.is_close_waiting(partner))
    }

    #[cold]
    fn is_close_waiting(&self, id: ConnId) -> bool {
        let input = self.table.get(id).and_then(Conn::forward_input);
        input.is_some_and(|input| input.wanted.is_some()) && !sabotage::on(Bug::PlannedCloseStarves)
    }

    /// Returns whether a close of a pair waits for nothing but input that was read and is not
    /// forwarded yet.
    pub(crate) fn forwards_the_rest(&self, id: ConnId, partner: ConnId) -> bool {
        let is_inside = |id: ConnId| {
            let conn = self.table.get(id);
            conn.is_none_or(|c| c.flags.has(Flag::MidFrame))
        };
        self.is_pair_closing(id, partner) && !is_inside(id) && !is_inside(partner)
    }

    /// If a close of a pair waits for nothing but input that was read, nothing more is read of
    /// either connection, and what was read goes on although the partner is behind.
    fn forward_the_rest(&mut self, id: ConnId, now: Micros) {
        let Some(partner) = self.partner_of(id) else {
            return;
        };
        if !self.forwards_the_rest(id, partner) {
            return;
        }
        for leg in [id, partner] {
            match self.table.get(leg).is_some_and(is_left) {
                true => self.set_paused(leg, Flag::LinkPaused, false, now),
                false => self.stop(leg, now),
            }
        }
    }

    /// Stops an open connection of a pair, because a close of the pair waits and nothing more of
    /// its input can be forwarded before.
    pub(crate) fn stop(&mut self, id: ConnId, now: Micros) {
        if let Some(input) = self.forward_input(id) {
            input.is_stopped = true;
            self.set_paused(id, Flag::LinkPaused, true, now);
        }
    }

    /// Reads again from a connection that was stopped for a close of its pair. Returns whether it
    /// was stopped.
    pub(crate) fn resume_stopped(&mut self, id: ConnId, now: Micros) -> bool {
        if !self.table.get(id).is_some_and(Conn::is_stopped) {
            return false;
        }
        if let Some(input) = self.forward_input(id) {
            input.is_stopped = false;
        }
        self.rest_forward_input(id);
        self.set_paused(id, Flag::LinkPaused, false, now);
        true
    }
}

/// Returns whether input of a linked connection was read and is not forwarded yet, although it can
/// be.
fn is_left(conn: &Conn) -> bool {
    let Phase::Open(Some(input)) = &conn.phase else {
        return false;
    };
    let is_here = input.has_leftover() || input.is_processing;
    is_here && !conn.is_stopped() && !conn.flags.has(Flag::Paused)
}
