//! Sending heartbeats: pings, and texts of the host.

use super::conn::Conn;
use super::engine::Engine;
use super::entropy::Entropy;
use super::flags::Flag;
use super::handler::Handler;
use super::out::WriteVectored;
use super::outbound::{FlushOutcome, QueueState};
use crate::base::id::ConnId;
use crate::base::sabotage::{self, Bug};
use crate::base::time::Micros;
use crate::wire::frame::Role;
use crate::wire::heartbeat::Ping;
use crate::wire::heartbeat_text::TextFrame;
use std::io::{self, ErrorKind};

impl<H: Handler> Engine<H> {
    /// Sends a ping. Returns the result of the flush if nothing is left to write.
    #[inline]
    pub(super) fn send_ping(
        &mut self,
        id: ConnId,
        now: Micros,
        socket: WriteVectored<'_>,
    ) -> Option<FlushOutcome> {
        let ping = |conn: &Conn, entropy: &mut Entropy| {
            let is_masked = conn.role() == Role::Client && !sabotage::on(Bug::MasksMixed);
            let mask = is_masked.then(|| entropy.take());
            Ping::new(conn.health.ping_payload(), mask)
        };
        self.write_heartbeat(id, ping, false, now, socket)
    }

    /// Writes a heartbeat, or queues it behind the frame in progress and before every other frame.
    /// `is_late`: it has waited, so its interval starts only now. Returns the result of the flush
    /// if nothing is left to write.
    // Generic over the frame, so that a ping has code of its own, which costs no call and no second
    // look-up of the connection.
    #[inline]
    fn write_heartbeat<F: AsRef<[u8]>>(
        &mut self,
        id: ConnId,
        frame: impl FnOnce(&Conn, &mut Entropy) -> F,
        is_late: bool,
        now: Micros,
        socket: WriteVectored<'_>,
    ) -> Option<FlushOutcome> {
        let conn = self.core.table.get_mut(id)?;
        let frame = frame(conn, &mut self.core.entropy);
        let frame = frame.as_ref();
        if conn.flags.has(Flag::ReportsPongs) {
            let unsent = conn.out.as_ref().map_or(0, |out| out.unsent());
            let before = conn.traffic.messages_out.saturating_sub(unsent);
            self.core.receipts.note(id, before);
        }
        if conn.out.is_some() {
            self.core.change_out(id, |out| out.push_ping(frame));
            return None;
        }
        match socket(&[io::IoSlice::new(frame)]) {
            Ok(n) if n == frame.len() => {
                self.record_sent(id, n, Some(0), is_late, now);
                return Some(self.finish_flush(id, false, now));
            }
            Ok(n) => {
                self.core.stats.bytes_out += n as u64;
                conn.traffic.bytes_out += n as u64;
                self.core.change_out(id, |out| out.push_ping(&frame[n..]));
            }
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                self.core.change_out(id, |out| out.push_ping(frame));
            }
            Err(e) => {
                self.on_write_error(id, &e);
                return Some(FlushOutcome::Done);
            }
        }
        None
    }

    /// Flushes a connection for which a heartbeat in the form of a text is due. The text waits for
    /// the end of a message in fragments: only control frames may stand between those (RFC 6455
    /// §5.4).
    #[inline(never)]
    pub(super) fn flush_with_text(
        &mut self,
        id: ConnId,
        now: Micros,
        socket: WriteVectored<'_>,
    ) -> FlushOutcome {
        let Some(conn) = self.core.table.get_mut(id) else {
            return FlushOutcome::Done;
        };
        let queue = QueueState::of(conn);
        if !conn.holds_text() {
            conn.flags.take(Flag::PingDue);
            return self.send_text(id, queue, now, socket);
        }
        if conn.out.is_none() {
            conn.flags.take(Flag::Dirty);
            return FlushOutcome::Done;
        }
        if self.core.flush_left == 0 {
            self.core.table.flush_later(id);
            return FlushOutcome::Later;
        }
        conn.flags.take(Flag::Dirty);
        let outcome = self.flush_queue(id, queue, now, socket);
        let conn = self.core.table.get(id);
        if conn.is_some_and(|c| c.flags.has(Flag::PingDue) && !c.holds_text()) {
            self.core.table.repeat_ping_due(id);
        }
        outcome
    }

    /// Sends a text of the host as a heartbeat, and what waits.
    fn send_text(
        &mut self,
        id: ConnId,
        mut queue: QueueState,
        now: Micros,
        socket: WriteVectored<'_>,
    ) -> FlushOutcome {
        let Some(conn) = self.core.table.get(id) else {
            return FlushOutcome::Done;
        };
        let number = conn.health.heartbeat_number();
        let policy = self.core.policy_of(conn);
        queue.is_late |= conn.health.has_waited(policy, now);
        let text = self.call(now, |handler, io| handler.heartbeat_text(io, id, number));
        self.settle(now);
        // The host may have closed it.
        if !self.core.table.get(id).is_some_and(|c| c.is_open()) {
            return self.flush(id, now, socket);
        }
        let frame = TextFrame::new(&text, self.core.mask_for(id));
        match self.write_heartbeat(id, |_, _| &frame, queue.is_late, now, &mut *socket) {
            Some(outcome) => outcome,
            None => self.flush_queue(id, queue, now, socket),
        }
    }
}
