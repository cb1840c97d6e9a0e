//! Closing linked pairs: a close frame of one peer goes to the other, and the answer comes back.
//!
//! The connection that was sent a close frame stays open for its peer's input until the answer has
//! come ([`LegClosing`]). Its partner, whose peer sent the first one, waits in
//! [`CloseStage::Partner`] and still takes frames.

use super::close::HAS_NO_ANSWER;
use super::core::Core;
use crate::base::cause::{Cause, EndCode, cut_reason};
use crate::base::id::ConnId;
use crate::base::sabotage::{self, Bug};
use crate::base::time::Micros;
use crate::engine::conn::{Closing, Conn, Phase};
use crate::engine::ending::EndingDraft;
use crate::engine::flags::Flag;
use crate::engine::leg_input::LegClosing;
use crate::engine::link::PairEnd;
use crate::engine::view::CloseStage;
use crate::wire::{Bytes, encoder};

impl Core {
    /// Queues a close frame for a linked connection whose peer's input is still forwarded. `end`
    /// is how the connection ends when its peer has answered.
    pub(crate) fn close_and_forward(
        &mut self,
        id: ConnId,
        frame: Bytes,
        end: EndingDraft,
        now: Micros,
    ) {
        let Some(conn) = self.table.get_mut(id) else {
            return;
        };
        let timeout = self.policies.of(conn.class, conn.policy).close_timeout;
        conn.flags.set(Flag::CloseSent);
        conn.flags.take(Flag::PingDue);
        self.drop_wanted_close(id);
        if let Some(input) = self.forward_input(id) {
            input.is_stopped = false;
            input.closing = Some(Box::new(LegClosing {
                end,
                since: now,
                timeout,
                due: now + timeout,
            }));
        }
        self.queue(id, |out| out.push_close(frame));
        self.arm(id);
        // The peer's answer must be read, whether or not its partner is behind.
        self.set_paused(id, Flag::LinkPaused, false, now);
    }

    /// Ends a linked connection that was sent a close frame and can give no answer any more: its
    /// peer has broken a rule, or there is no memory for its input.
    pub(crate) fn end_without_answer(&mut self, id: ConnId, now: Micros) {
        let closing = self.forward_input(id).and_then(|f| f.closing.take());
        let Some((closing, scan)) = closing.zip(self.leave_open(id)) else {
            return;
        };
        self.enter_closing(id, closing.end, CloseStage::PeerFin, scan, now);
        self.note_leg_ended(id);
    }

    /// Makes sure that a close frame may follow what is queued. A frame whose end has not arrived
    /// is removed. Returns how many messages were removed; `None` if a byte of that frame was sent,
    /// so that no close frame can follow.
    pub(crate) fn reach_boundary(&mut self, id: ConnId) -> Option<u32> {
        let conn = self.table.get(id)?;
        if !conn.flags.has(Flag::MidFrame) {
            return Some(0);
        }
        if conn.is_mid_frame() {
            return None;
        }
        let mut unsent = 0;
        self.change_out(id, |out| unsent = out.discard_partial());
        if let Some(conn) = self.table.get_mut(id) {
            conn.flags.take(Flag::MidFrame);
        }
        Some(unsent)
    }

    /// Closes a linked connection whose peer has sent a frame that is not allowed. The partner is
    /// closed first: what its peer has sent until it answers may be answers to earlier frames, and
    /// goes out before the close frame, as it would on a direct connection.
    pub(crate) fn close_offender(&mut self, id: ConnId, cause: Cause, reason: &str, now: Micros) {
        let takes = |c: &Conn| c.is_open() && !c.flags.has(Flag::CloseSent);
        let partner = self.partner_of(id).and_then(|p| self.table.get(p));
        if !self.table.get(id).is_some_and(takes) || !partner.is_some_and(takes) {
            return self.send_close(id, cause, cause.close_code(), reason, now);
        }
        let mut end = EndingDraft::of(cause);
        end.code = EndCode::Close(cause.close_code());
        end.reason = cut_reason(reason).into();
        if let Some(scan) = self.leave_open(id) {
            self.enter_closing(id, end, CloseStage::Partner, scan, now);
        }
        self.note_leg_ended(id);
    }

    /// Closes a connection in the stage [`CloseStage::Partner`] whose partner cannot answer: its
    /// peer gets its own close back, or the one for its fault.
    pub(crate) fn answer_own_close(&mut self, id: ConnId, now: Micros) {
        if !self.awaits_partner(id) {
            return;
        }
        let mask = self.mask_for(id);
        let removed = self.reach_boundary(id);
        let Some(conn) = self.table.get_mut(id) else {
            return;
        };
        let Phase::Closing(closing) = &mut conn.phase else {
            return;
        };
        leave_partner_stage(closing, now);
        let mut answer = None;
        closing.end.unsent += removed.unwrap_or_default();
        if let EndCode::Close(code) = closing.end.code {
            if removed.is_some() {
                answer = Some(encoder::close(code, &closing.end.reason, mask));
            } else if is_fault(closing) {
                // It was never sent.
                closing.end.code = EndCode::None;
            }
        }
        closing.end.clean &= answer.is_some();
        match answer {
            Some(answer) => self.queue(id, |out| out.push_close(answer)),
            None => self.table.mark_dirty(id),
        }
        if removed.is_none() {
            self.stats.cut_mid_frame += 1;
            self.discard_out(id);
        }
        self.arm(id);
    }

    /// Forwards the answer to a close: `frame` goes to the connection whose peer sent the first
    /// close, which then ends. A peer that was at fault gets the close for its fault instead.
    pub(crate) fn forward_answer(&mut self, to: ConnId, frame: Bytes, now: Micros) {
        let mask = self.mask_for(to);
        let Some(conn) = self.table.get_mut(to) else {
            return;
        };
        let Phase::Closing(closing) = &mut conn.phase else {
            return;
        };
        leave_partner_stage(closing, now);
        let frame = match closing.end.code {
            EndCode::Close(code) if is_fault(closing) => {
                encoder::close(code, &closing.end.reason, mask)
            }
            _ => frame,
        };
        self.queue(to, |out| out.push_close(frame));
        self.arm(to);
    }

    /// Removes a forwarded close that was not sent, because the peer has closed at the same time.
    /// Returns whether it was removed.
    pub(crate) fn take_back_close(&mut self, id: ConnId) -> bool {
        if sabotage::on(Bug::BothClosesAsOne) {
            return false;
        }
        let mut is_removed = false;
        if self.table.get(id).is_some_and(|c| c.out.is_some()) {
            self.change_out(id, |out| is_removed = out.take_back_close());
        }
        is_removed
    }

    /// Returns whether a connection waits for its partner's answer to a close.
    pub(crate) fn awaits_partner(&self, id: ConnId) -> bool {
        let conn = self.table.get(id);
        conn.is_some_and(
            |c| matches!(&c.phase, Phase::Closing(c) if c.stage == CloseStage::Partner),
        )
    }

    /// Notes that a linked connection is no longer open. Its partner must end, too.
    pub(crate) fn note_leg_ended(&mut self, id: ConnId) {
        if self
            .table
            .get(id)
            .is_some_and(|c| c.flags.has(Flag::Linked))
        {
            self.ended_legs.push(id);
        }
    }

    /// Returns whether the host must end a connection whose partner has ended.
    pub(crate) fn must_end(&self, partner: ConnId) -> bool {
        self.table
            .get(partner)
            .is_some_and(|c| c.is_unopened() || c.is_open() && !c.flags.has(Flag::CloseSent))
    }

    /// Returns why a connection that is no longer open ends.
    pub(crate) fn pair_end(&self, id: ConnId) -> Option<PairEnd> {
        let conn = self.table.get(id)?;
        let end = match &conn.phase {
            Phase::Closing(closing) => &closing.end,
            Phase::Dead(end) => end,
            Phase::Opening(_) | Phase::Dialing(_) | Phase::Open(_) => return None,
        };
        Some(PairEnd {
            cause: end.cause,
            class: conn.class,
            reason: end.reason.clone(),
        })
    }
}

/// Returns whether a connection is closed because its peer has sent a frame that is not allowed.
fn is_fault(closing: &Closing) -> bool {
    HAS_NO_ANSWER.contains(&closing.end.cause)
}

/// Ends the stage [`CloseStage::Partner`]: the last frames are queued now.
fn leave_partner_stage(closing: &mut Closing, now: Micros) {
    closing.stage = match is_fault(closing) && !closing.fin_received {
        true => CloseStage::PeerFin,
        false => CloseStage::Flush,
    };
    closing.end.clean = closing.end.cause == Cause::PEER_CLOSED;
    closing.deadline = now + closing.timeout;
}
