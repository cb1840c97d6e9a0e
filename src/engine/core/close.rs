//! Closing connections, refusing requests, and ending both.

use super::core::{Core, UNSENT_SMALL};
use crate::base::cause::{Cause, EndCode, cut_reason};
use crate::base::id::ConnId;
use crate::base::sabotage::{self, Bug};
use crate::base::time::Micros;
use crate::engine::conn::{Closing, Conn, Phase};
use crate::engine::ending::EndingDraft;
use crate::engine::flags::Flag;
use crate::engine::retry::retry_after_s;
use crate::engine::view::CloseStage;
use crate::health::{HealthState, Pace};
use crate::wire::encoder;
use crate::wire::frame::Role;
use crate::wire::http::{Reply, ReplyForm};
use crate::wire::scan::CloseFinder;

/// Causes after which no answer to our close frame is awaited. After a protocol error the stream
/// has no frames any more, only bytes; a stale peer will not answer.
pub(super) const HAS_NO_ANSWER: [Cause; 6] = [
    Cause::STALE,
    Cause::PROTOCOL,
    Cause::INVALID_DATA,
    Cause::TOO_BIG,
    Cause::BUFFERS_FULL,
    Cause::FRAME_TIMEOUT,
];

/// Freeing this many bytes counts as one unit of work.
const FREED_PER_UNIT: u64 = 16 * 1024;

/// What remains of a connection that is no longer open.
#[derive(Default)]
pub(crate) struct CloseScan {
    pub(crate) finder: CloseFinder,
    /// Whether the peer's close frame was in the input that was not processed.
    pub(crate) closed: bool,
}

impl Core {
    /// Closes an open connection, or refuses one that waits for its verdict.
    pub(crate) fn close(&mut self, id: ConnId, cause: Cause, code: u16, reason: &str, now: Micros) {
        let Some(conn) = self.table.get(id) else {
            return;
        };
        match conn.phase {
            Phase::Open(_) => {
                let code = if encoder::is_sendable(code) {
                    code
                } else {
                    1011
                };
                self.send_close(id, cause, code, reason, now);
            }
            Phase::Opening(_) => {
                let reply = if cause == Cause::DRAINING {
                    Reply::error(503, reason).with_retry_after(retry_after_s(id))
                } else {
                    Reply::error(403, reason)
                };
                self.reply(id, &reply, ReplyForm::Whole, cause, now);
            }
            Phase::Dialing(_) => {
                let mut end = EndingDraft::of(cause);
                end.reason = cut_reason(reason).into();
                self.mark_dead(id, end);
            }
            Phase::Closing(_) | Phase::Dead(_) => {}
        }
    }

    /// Closes a connection because the buffers are full and its unsent bytes are part of that.
    pub(crate) fn close_out_of_memory(&mut self, id: ConnId, bytes: usize, now: Micros) {
        let reason = format!("no room for {bytes} unsent bytes");
        let code = self.table.get(id).map_or(0, overload_code);
        self.send_close(id, Cause::BUFFERS_FULL, code, &reason, now);
    }

    pub(crate) fn close_slow_consumer(&mut self, id: ConnId, now: Micros) {
        let Some(conn) = self.table.get(id) else {
            return;
        };
        let waited = conn
            .out
            .as_ref()
            .and_then(|o| o.blocked_since())
            .map_or(Micros::ZERO, |since| now - since);
        let reason = format!("{} bytes unsent for {waited}", conn.pending());
        self.send_close(id, Cause::SLOW_CONSUMER, overload_code(conn), &reason, now);
    }

    /// Queues our close frame on an open connection. From here on the peer's input is skipped. The
    /// close of a linked connection may wait: see
    /// [`waits_for_boundary`](Core::waits_for_boundary).
    pub(crate) fn send_close(
        &mut self,
        id: ConnId,
        cause: Cause,
        code: u16,
        reason: &str,
        now: Micros,
    ) {
        let has_no_answer = HAS_NO_ANSWER.contains(&cause) || cause == Cause::SLOW_CONSUMER;
        if !has_no_answer && self.waits_for_boundary(id, cause) {
            return self.close_later(id, cause, code, reason, now);
        }
        self.send_close_now(id, cause, code, reason, now);
    }

    /// Queues our close frame on an open connection, or ends it inside a frame that its partner has
    /// not completed.
    pub(crate) fn send_close_now(
        &mut self,
        id: ConnId,
        cause: Cause,
        code: u16,
        reason: &str,
        now: Micros,
    ) {
        let Some(conn) = self.table.get(id).filter(|c| c.is_open()) else {
            return;
        };
        if conn.flags.has(Flag::CloseSent) {
            if HAS_NO_ANSWER.contains(&cause) {
                self.end_without_answer(id, now);
            }
            return;
        }
        let is_linked = conn.flags.has(Flag::Linked);
        let Some(removed) = self.reach_boundary(id) else {
            return self.cut(id, cause, reason, now);
        };
        if is_linked && self.close_for_partner(id, cause, code, reason, now) {
            return;
        }
        if self.config.cadence.is_some() {
            self.note_gap_death(id, cause, now);
        }
        let blocked = self.table.get(id).is_some_and(Conn::is_blocked);
        let Some(scan) = self.leave_open(id) else {
            return;
        };
        let reason = cut_reason(reason);
        let frame = encoder::close(code, reason, self.mask_for(id));
        let pending = self.table.get(id).map_or(0, Conn::pending);
        let mut unsent = removed;
        // Bytes that the peer has not taken would only delay the close.
        // Bytes queued in this turn may explain the close, so they are sent first.
        // What a partner has sent still goes out: it does not know that it is lost.
        let discard = blocked && !is_linked
            || [Cause::STALE, Cause::SLOW_CONSUMER, Cause::FRAME_TIMEOUT].contains(&cause)
            || cause == Cause::BUFFERS_FULL && pending > UNSENT_SMALL;
        self.queue(id, |out| {
            if discard {
                unsent += out.discard_unsent();
            }
            out.push_close(frame);
        });
        let stage = if HAS_NO_ANSWER.contains(&cause) {
            CloseStage::PeerFin
        } else {
            CloseStage::PeerClose
        };
        let mut end = EndingDraft::of(cause);
        end.code = EndCode::Close(code);
        end.reason = reason.into();
        end.unsent = unsent;
        self.enter_closing(id, end, stage, scan, now);
        if cause == Cause::STALE {
            self.table.report_soon(id);
        }
        self.note_leg_ended(id);
    }

    /// Closes a linked connection whose partner still takes what this peer sends, so that its input
    /// is forwarded until it answers. Returns whether it is one.
    fn close_for_partner(
        &mut self,
        id: ConnId,
        cause: Cause,
        code: u16,
        reason: &str,
        now: Micros,
    ) -> bool {
        let partner = self.partner_of(id);
        let awaits = partner.is_some_and(|p| self.awaits_partner(p));
        if !awaits || HAS_NO_ANSWER.contains(&cause) {
            return false;
        }
        let reason = cut_reason(reason);
        let frame = encoder::close(code, reason, self.mask_for(id));
        let mut end = EndingDraft::of(cause);
        end.code = EndCode::Close(code);
        end.reason = reason.into();
        self.close_and_forward(id, frame, end, now);
        true
    }

    /// Ends the sending side of a connection inside a frame: nothing but a FIN can follow.
    pub(crate) fn cut(&mut self, id: ConnId, cause: Cause, reason: &str, now: Micros) {
        if self.config.cadence.is_some() {
            self.note_gap_death(id, cause, now);
        }
        let Some(scan) = self.leave_open(id) else {
            return;
        };
        self.stats.cut_mid_frame += 1;
        self.discard_out(id);
        let mut end = EndingDraft::of(cause);
        end.reason = cut_reason(reason).into();
        self.enter_closing(id, end, CloseStage::PeerFin, scan, now);
        if cause == Cause::STALE {
            self.table.report_soon(id);
        }
        self.note_leg_ended(id);
    }

    /// Answers a request without upgrading it.
    pub(crate) fn reply(
        &mut self,
        id: ConnId,
        reply: &Reply,
        form: ReplyForm,
        cause: Cause,
        now: Micros,
    ) {
        let Some(conn) = self.table.get(id) else {
            return;
        };
        if !matches!(conn.phase, Phase::Opening(_)) {
            return;
        }
        self.leave_opening(id);
        let mut end = EndingDraft::of(cause);
        end.code = EndCode::Http(reply.status);
        end.reason = cut_reason(&reply.reason).into();
        self.queue_control(id, &reply.render(form));
        self.enter_closing(id, end, CloseStage::PeerFin, CloseScan::default(), now);
    }

    pub(crate) fn enter_closing(
        &mut self,
        id: ConnId,
        mut end: EndingDraft,
        stage: CloseStage,
        scan: CloseScan,
        now: Micros,
    ) {
        let Some(conn) = self.table.get_mut(id) else {
            return;
        };
        end.blocked = Some(conn.blocked_for(now));
        let timeout = self.policies.of(conn.class, conn.policy).close_timeout;
        conn.phase = Phase::Closing(Box::new(Closing {
            end,
            stage,
            finder: scan.finder,
            since: now,
            timeout,
            deadline: now + timeout,
            fin_sent: false,
            fin_received: false,
        }));
        conn.flags.take(Flag::PingDue);
        if conn.flags.has(Flag::Upgraded) {
            conn.flags.set(Flag::Closing);
            self.stats.classes[usize::from(conn.class.0)].closing += 1;
        }
        let was_paused = conn.is_paused();
        conn.flags.take(Flag::Paused);
        conn.flags.take(Flag::LinkPaused);
        if was_paused {
            self.poll_changes.push(id);
        }
        self.arm(id);
        self.table.mark_dirty(id);
        if scan.closed {
            self.confirm_close(id);
        }
    }

    /// Completes the closing handshake: the peer answered our close frame, or sent its own at the
    /// same time.
    pub(crate) fn confirm_close(&mut self, id: ConnId) {
        let Some(conn) = self.table.get_mut(id) else {
            return;
        };
        // A client waits for the server to close TCP first: the flush sees to it.
        let nothing_waits = conn.out.is_none() && conn.role() == Role::Server;
        let Phase::Closing(closing) = &mut conn.phase else {
            return;
        };
        if closing.stage != CloseStage::PeerClose {
            return;
        }
        closing.stage = CloseStage::Flush;
        closing.end.clean = true;
        if nothing_waits {
            let end = closing.end.clone();
            self.mark_dead(id, end);
        } else {
            self.table.mark_dirty(id);
        }
    }

    /// Takes the work in progress of an open connection. Returns `None` if it is not open.
    pub(crate) fn leave_open(&mut self, id: ConnId) -> Option<CloseScan> {
        let conn = self.table.get_mut(id)?;
        let Phase::Open(input) = &mut conn.phase else {
            return None;
        };
        let input = input.take();
        conn.flags.take(Flag::StaleQueued);
        self.foresight
            .cohorts
            .leave_pace(conn.cohort, conn.policy.pace());
        conn.policy = conn.policy.at_pace(Pace::Configured);
        let class = &mut self.stats.classes[usize::from(conn.class.0)];
        if conn.flags.take(Flag::LinkPaused) {
            class.paused.change(false, self.turn_now);
            conn.flags.set(Flag::Paused);
        }
        class.suspects -= u64::from(conn.health.state() == HealthState::Suspect);
        conn.note_left(class);
        if !sabotage::on(Bug::MemberStaysCounted) {
            self.foresight.cohorts.leave(conn.cohort);
        }
        let mut scan = CloseScan::default();
        if let Some(input) = input {
            class.throttled -= u64::from(input.throttled_since.is_some());
            if let Some(frame) = &input.frame {
                let head = &frame.head[..usize::from(frame.have)];
                scan.finder = CloseFinder::inside(head, frame.payload);
            }
            if let Some(forward) = &input.forward {
                self.closes_waiting -= u32::from(forward.wanted.is_some());
                scan.finder = CloseFinder::within(&forward.gathered, forward.state.left);
            }
            if input.unfinished.is_some() {
                self.left_unfinished.push(id);
            }
            let rest = &input.leftover[input.processed..];
            scan.closed = scan.finder.advance(rest).is_break();
            self.release_held(id, input.held);
            // Freeing memory takes time, too.
            self.spend(u32::try_from(input.held / FREED_PER_UNIT).unwrap_or(u32::MAX));
        }
        Some(scan)
    }

    /// Puts a connection that seems stale on the list for a final check at its socket.
    pub(crate) fn queue_final_check(&mut self, id: ConnId) {
        if let Some(conn) = self.table.get_mut(id)
            && !conn.flags.has(Flag::FinalCheck)
        {
            conn.flags.set(Flag::FinalCheck);
            self.final_checks.push_back(id);
        }
    }

    /// Discards the received part of a request or of a response.
    pub(crate) fn leave_opening(&mut self, id: ConnId) {
        let held = match self.table.get_mut(id).map(|c| &mut c.phase) {
            Some(Phase::Opening(opening)) => opening.take().map_or(0, |opening| opening.held),
            Some(Phase::Dialing(dialing)) => std::mem::take(&mut dialing.held),
            Some(Phase::Open(_) | Phase::Closing(_) | Phase::Dead(_)) | None => 0,
        };
        if held > 0 {
            self.release_held(id, held);
        }
    }

    /// Ends a connection in this turn, in any phase.
    pub(crate) fn mark_dead(&mut self, id: ConnId, end: EndingDraft) {
        let is_first = self
            .table
            .get(id)
            .is_some_and(|c| !matches!(c.phase, Phase::Closing(_) | Phase::Dead(_)));
        self.leave_opening(id);
        if self.config.cadence.is_some() {
            self.note_gap_death(id, end.cause, self.turn_now);
        }
        self.leave_open(id);
        self.table.mark_dead(id, end);
        if is_first {
            self.note_leg_ended(id);
        }
    }
}

/// Returns the close code for a peer that takes too little, or holds too much. 1013 asks a client
/// to come back later; a server is told that its client goes away.
pub(crate) fn overload_code(conn: &Conn) -> u16 {
    const GOING_AWAY: u16 = 1001;
    match conn.role() {
        Role::Server => Cause::SLOW_CONSUMER.close_code(),
        Role::Client => GOING_AWAY,
    }
}
