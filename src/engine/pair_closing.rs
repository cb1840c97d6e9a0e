//! Close frames of linked peers, and the ends of pairs.

use super::conn::{Conn, Phase};
use super::ending::EndingDraft;
use super::engine::Engine;
use super::flags::Flag;
use super::handler::Handler;
use super::view::CloseStage;
use crate::base::cause::{Cause, EndCode, cut_reason};
use crate::base::id::{Class, ConnId};
use crate::base::sabotage::{self, Bug};
use crate::base::time::Micros;
use crate::wire::frame::{Header, Role};
use crate::wire::{Bytes, encoder, mask};

impl<H: Handler> Engine<H> {
    /// Handles a close frame of a linked peer. It is forwarded as it came, and not judged.
    pub(super) fn close_from_peer(
        &mut self,
        id: ConnId,
        frame: &[u8],
        header: &Header,
        now: Micros,
    ) {
        let mut payload = frame[header.len..].to_vec();
        mask::apply(&mut payload, header.mask(), 0);
        let frame = Bytes::copy_from_slice(frame);
        let mut end = EndingDraft::of(Cause::PEER_CLOSED);
        (end.code, end.reason) = close_content(&payload);
        let Some(partner) = self.core.partner_of(id) else {
            return self.answer_close(id, end, &payload, now);
        };
        if self.is_close_sent(id) {
            return self.answer_from_peer(id, partner, frame, end, &payload, now);
        }
        let takes = |c: &Conn| c.is_open() && c.takes_forwarded();
        if !self.core.table.get(partner).is_some_and(takes) {
            return self.answer_close(id, end, &payload, now);
        }
        let class = self.core.table.get(id).map_or(Class(0), |c| c.class);
        self.core.first_ends.insert(partner, (end.cause, class));
        let mut other = EndingDraft::of(Cause::PARTNER_ENDED);
        (other.code, other.reason) = (end.code, end.reason.clone());
        if let Some(scan) = self.core.leave_open(id) {
            self.core
                .enter_closing(id, end, CloseStage::Partner, scan, now);
        }
        self.core.close_and_forward(partner, frame, other, now);
    }

    fn is_close_sent(&self, id: ConnId) -> bool {
        let conn = self.core.table.get(id);
        conn.is_some_and(|c| c.flags.has(Flag::CloseSent))
    }

    /// Handles a close frame of a peer that was sent one: it is the answer, or both peers have
    /// closed at the same time.
    fn answer_from_peer(
        &mut self,
        id: ConnId,
        partner: ConnId,
        frame: Bytes,
        own: EndingDraft,
        payload: &[u8],
        now: Micros,
    ) {
        let awaits = self.core.awaits_partner(partner);
        if awaits && self.core.take_back_close(id) {
            // The peer has not seen the close of the other one. Each gets the answer to its own.
            self.core.answer_own_close(partner, now);
            return self.answer_close(id, own, payload, now);
        }
        let closing = self.core.forward_input(id).and_then(|f| f.closing.take());
        let mut end = closing.map_or(own, |closing| closing.end);
        end.clean = true;
        let Some(scan) = self.core.leave_open(id) else {
            return;
        };
        self.core
            .enter_closing(id, end, CloseStage::Flush, scan, now);
        if awaits && !sabotage::on(Bug::AnswerLost) {
            self.core.forward_answer(partner, frame, now);
        }
    }

    /// Answers a close frame with its own content.
    fn answer_close(&mut self, id: ConnId, mut end: EndingDraft, payload: &[u8], now: Micros) {
        let Some(removed) = self.core.reach_boundary(id) else {
            // The partner ended inside a frame.
            let reason = end.reason.clone();
            return self.core.cut(id, end.cause, &reason, now);
        };
        end.unsent = removed;
        let mask = self.core.mask_for(id);
        let Some(scan) = self.core.leave_open(id) else {
            return;
        };
        end.clean = true;
        let answer = encoder::close_with(payload, mask);
        self.core.queue(id, |out| out.push_close(answer));
        self.core
            .enter_closing(id, end, CloseStage::Flush, scan, now);
    }

    /// Awaits the answer to a close frame that was forwarded to this peer, although its partner has
    /// ended: the peer took the frame late. Returns whether there was such a frame.
    pub(super) fn await_close_alone(&mut self, id: ConnId, now: Micros) -> bool {
        let input = self.core.table.get(id).and_then(Conn::forward_input);
        if input.is_none_or(|input| input.closing.is_none()) {
            return false;
        }
        let closing = self.core.forward_input(id).and_then(|f| f.closing.take());
        let (Some(closing), Some(scan)) = (closing, self.core.leave_open(id)) else {
            return false;
        };
        let stage = CloseStage::PeerClose;
        self.core.enter_closing(id, closing.end, stage, scan, now);
        if let Some(conn) = self.core.table.get_mut(id)
            && let Phase::Closing(alone) = &mut conn.phase
        {
            (alone.since, alone.deadline) = (closing.since, closing.due);
            self.core.arm(id);
        }
        true
    }

    /// Handles the end of the stream of a linked, open peer. Returns whether that is all: a client
    /// may still take what the server sends, until the close timeout.
    pub(super) fn half_close(&mut self, id: ConnId, now: Micros) -> bool {
        let Some(partner) = self.core.partner_of(id) else {
            return false;
        };
        let is_client = |c: &Conn| c.role() == Role::Server && !c.flags.has(Flag::CloseSent);
        let takes = |c: &Conn| c.is_open() && !c.flags.has(Flag::CloseSent);
        if !self.core.table.get(id).is_some_and(is_client)
            || !self.core.table.get(partner).is_some_and(takes)
        {
            return false;
        }
        let end = EndingDraft::of(Cause::PEER_EOF);
        if let Some(scan) = self.core.leave_open(id) {
            self.core
                .enter_closing(id, end, CloseStage::Partner, scan, now);
        }
        if !sabotage::on(Bug::HalfCloseUnheard) {
            self.core.note_leg_ended(id);
        }
        true
    }

    /// Ends the partners of linked connections that have ended: a partner whose own close waits for
    /// an answer gets one, and the host closes every other one.
    pub(super) fn end_partners(&mut self, now: Micros) {
        while let Some(id) = self.core.ended_legs.pop() {
            let Some(partner) = self.core.partner_of(id) else {
                continue;
            };
            if self.core.awaits_partner(partner) {
                self.core.answer_own_close(partner, now);
            } else if self.core.must_end(partner)
                && let Some(end) = self.core.pair_end(id)
            {
                let (id, partner) = match sabotage::on(Bug::WrongLegBlamed) {
                    true => (partner, id),
                    false => (id, partner),
                };
                self.core.first_ends.insert(partner, (end.cause, end.class));
                self.call(now, |handler, io| {
                    handler.on_pair_end(io, id, partner, &end)
                });
            }
            if self.core.resume_stopped(partner, now) {
                self.park(partner, now);
            }
        }
    }

    /// Handles the deadline of an open, linked connection that was sent a close frame, or whose
    /// close waits for the end of a frame. Returns whether it has one.
    pub(super) fn check_leg_close(&mut self, id: ConnId, now: Micros) -> bool {
        let Some(conn) = self.core.table.get(id) else {
            return false;
        };
        let Phase::Open(Some(input)) = &conn.phase else {
            return false;
        };
        let Some(forward) = &input.forward else {
            return false;
        };
        if let Some(closing) = &forward.closing {
            if closing.due <= now {
                let end = closing.end.clone();
                self.core.mark_dead(id, end);
            } else {
                self.core.arm(id);
            }
            return true;
        }
        if forward.wanted.as_ref().is_some_and(|w| w.due <= now) {
            self.core.close_wanted(id, now);
            return true;
        }
        false
    }
}

/// Returns the code and the reason in the payload of a close frame.
fn close_content(payload: &[u8]) -> (EndCode, Box<str>) {
    const NO_CODE: u16 = 1005;
    match payload {
        [a, b, reason @ ..] => {
            let reason = String::from_utf8_lossy(reason);
            let code = u16::from_be_bytes([*a, *b]);
            (EndCode::Close(code), cut_reason(&reason).into())
        }
        _ => (EndCode::Close(NO_CODE), "".into()),
    }
}
