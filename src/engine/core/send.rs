//! Sending: queueing messages for a peer, and removing them again.

use super::core::{Core, UNSENT_SMALL};
use crate::base::cause::Cause;
use crate::base::id::ConnId;
use crate::base::time::Micros;
use crate::engine::conn::{Conn, Phase};
use crate::engine::flags::Flag;
use crate::engine::message::{Message, SendError, SendOutcome};
use crate::engine::out::Out;
use crate::engine::prepared::Outgoing;

impl Core {
    pub(crate) fn send(&mut self, id: ConnId, message: Message, now: Micros) -> SendOutcome {
        match Outgoing::of(&message) {
            Ok(outgoing) => self.send_frame(id, outgoing, now),
            Err(refused) => refused,
        }
    }

    pub(crate) fn send_many(
        &mut self,
        ids: impl IntoIterator<Item = ConnId>,
        message: &Message,
        now: Micros,
    ) -> usize {
        let Ok(outgoing) = Outgoing::of(message) else {
            return 0;
        };
        let sent = ids
            .into_iter()
            .map(|id| self.send_frame(id, outgoing.clone(), now));
        sent.filter(|sent| !matches!(sent, SendOutcome::Refused(_)))
            .count()
    }

    pub(crate) fn send_frame(
        &mut self,
        id: ConnId,
        outgoing: Outgoing,
        now: Micros,
    ) -> SendOutcome {
        let Some(conn) = self.table.get(id) else {
            return SendOutcome::Refused(SendError::Gone);
        };
        match conn.phase {
            Phase::Open(_) => {}
            Phase::Closing(_) => return SendOutcome::Refused(SendError::Closing),
            Phase::Opening(_) | Phase::Dialing(_) | Phase::Dead(_) => {
                return SendOutcome::Refused(SendError::Gone);
            }
        }
        let is_close = matches!(outgoing, Outgoing::Close(..));
        if conn.flags.has(Flag::Linked) && !is_close {
            return SendOutcome::Refused(SendError::Linked);
        }
        let outgoing = match self.mask_for(id) {
            Some(mask) => outgoing.masked(mask),
            None => outgoing,
        };
        let Some(conn) = self.table.get(id) else {
            return SendOutcome::Refused(SendError::Gone);
        };
        let len = match &outgoing {
            Outgoing::Data(frame) => frame.len(),
            Outgoing::Control(frame) => frame.len(),
            Outgoing::Close(code, reason) => {
                self.close(id, Cause::KICKED, *code, reason, now);
                return SendOutcome::Flowing;
            }
        };
        let pending = conn.pending() + len;
        // The flush detects a slow peer; more than twice the limit is refused at once.
        if pending > 2 * self.config.max_pending_bytes {
            self.close_slow_consumer(id, now);
            return SendOutcome::Refused(SendError::OverLimit);
        }
        if pending > UNSENT_SMALL && self.is_full() {
            self.close_out_of_memory(id, pending, now);
            return SendOutcome::Refused(SendError::OverLimit);
        }
        let blocked = conn.is_blocked();
        if pending > self.config.max_pending_bytes
            && let Some(conn) = self.table.get_mut(id)
        {
            conn.flags.set(Flag::OverLimit);
        }
        self.spend(1);
        match outgoing {
            Outgoing::Data(frame) => {
                self.stats.messages_out += 1;
                let (is_whole, is_last) = frame.is_whole();
                if let Some(conn) = self.table.get_mut(id) {
                    conn.traffic.message_out();
                    conn.health.set_mid_message(!is_last);
                }
                self.queue(id, |out| {
                    out.push_frame(frame);
                    if !is_whole {
                        out.note_fragment();
                    }
                });
            }
            Outgoing::Control(frame) => self.queue(id, |out| out.push_control(&frame)),
            Outgoing::Close(..) => {}
        }
        if blocked {
            SendOutcome::Pending
        } else {
            SendOutcome::Flowing
        }
    }

    /// Queues the answer to a ping. A peer that sends pings without reading the answers is a slow
    /// consumer. The limit is lower for a peer that has not identified itself.
    pub(crate) fn answer_ping(&mut self, id: ConnId, pong: &[u8], now: Micros) {
        let most = match self.table.get(id).is_some_and(Conn::is_unidentified) {
            true => UNSENT_SMALL,
            false => 2 * self.config.max_pending_bytes,
        };
        let pending = self.table.get(id).map_or(0, Conn::pending) + pong.len();
        if pending > most {
            self.close_slow_consumer(id, now);
        } else {
            self.queue_control(id, pong);
        }
    }

    pub(crate) fn queue_control(&mut self, id: ConnId, frames: &[u8]) {
        if !frames.is_empty() {
            self.queue(id, |out| out.push_control(frames));
        }
    }

    /// Changes the send queue and schedules a flush.
    pub(crate) fn queue(&mut self, id: ConnId, change: impl FnOnce(&mut Out)) {
        self.change_out(id, change);
        self.table.mark_dirty(id);
    }

    /// Changes the send queue and updates the counters.
    pub(crate) fn change_out(&mut self, id: ConnId, change: impl FnOnce(&mut Out)) {
        let is_new = |c: &&mut Conn| c.out.is_none() && c.flags.has(Flag::MidFrame);
        let is_mid_frame = self.table.get_mut(id).as_ref().is_some_and(is_new);
        let left = match self.partner_of(id).filter(|_| is_mid_frame) {
            Some(partner) => self.frame_left(partner),
            None => 0,
        };
        if let Some(conn) = self.table.get_mut(id) {
            let before = conn.charged() as u64;
            let out = conn.out.get_or_insert_default();
            if left > 0 {
                out.begin_mid_frame(left);
            }
            change(out);
            self.stats.pending_bytes = self.stats.pending_bytes + out.charged() as u64 - before;
        }
    }

    /// Discards all unsent bytes because the socket takes no more.
    pub(crate) fn discard_out(&mut self, id: ConnId) {
        if let Some(conn) = self.table.get_mut(id) {
            self.stats.pending_bytes -= conn.charged() as u64;
            conn.out = None;
        }
    }

    /// Extends the deadline of a closing connection that took `bytes` and is still behind: by one
    /// close timeout, up to ten in all.
    pub(crate) fn extend_close(&mut self, id: ConnId, bytes: usize, now: Micros) {
        if let Some(conn) = self.table.get_mut(id)
            && let Phase::Closing(closing) = &mut conn.phase
            && bytes > 0
        {
            let most = closing.since + Micros(10 * closing.timeout.0);
            closing.deadline = most.min(now + closing.timeout);
        }
        if let Some(conn) = self.table.get_mut(id)
            && let Phase::Open(Some(input)) = &mut conn.phase
            && let Some(forward) = &mut input.forward
            && let Some(closing) = &mut forward.closing
            && bytes > 0
        {
            let most = closing.since + Micros(10 * closing.timeout.0);
            closing.due = most.min(now + closing.timeout);
        }
    }

    /// Removes every message of which no byte was sent. Returns how many.
    pub(crate) fn discard_unsent(&mut self, id: ConnId) -> u32 {
        let mut unsent = 0;
        if self.table.get(id).is_some_and(|c| c.out.is_some()) {
            self.change_out(id, |out| unsent = out.discard_unsent());
            // A heartbeat may have waited for the end of a message that was removed.
            if self
                .table
                .get(id)
                .is_some_and(|c| c.flags.has(Flag::PingDue))
            {
                self.table.mark_dirty(id);
            }
        }
        // Messages removed when the close began are returned to the first call.
        if let Some(conn) = self.table.get_mut(id)
            && let Phase::Closing(closing) = &mut conn.phase
        {
            unsent += std::mem::take(&mut closing.end.unsent);
        }
        unsent
    }
}
