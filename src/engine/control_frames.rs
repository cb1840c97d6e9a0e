//! Incoming control frames, and protocol events that end a connection.

use super::conn::{Conn, Phase};
use super::ending::EndingDraft;
use super::engine::Engine;
use super::handler::Handler;
use super::message::Message;
use super::view::CloseStage;
use crate::base::cause::{Cause, EndCode};
use crate::base::id::ConnId;
use crate::base::sabotage::{self, Bug};
use crate::base::time::Micros;
use crate::health::{Health, HeartbeatForm, LifeSign};
use crate::wire::control_decoder::ControlFrame;
use crate::wire::frame::{Header, Role};
use crate::wire::{Bytes, WsError};

impl<H: Handler> Engine<H> {
    /// Reads one control frame and acts on it. Returns whether the connection is still open.
    pub(super) fn process_control(
        &mut self,
        id: ConnId,
        frame: &[u8],
        header: &Header,
        now: Micros,
    ) -> bool {
        let mut output = std::mem::take(&mut self.core.scratch);
        let role = self.core.table.get(id).map_or(Role::Server, Conn::role);
        let decoder = match role {
            Role::Server => &mut self.core.decoder,
            Role::Client => &mut self.core.client_decoder,
        };
        match decoder.control(frame, header, &mut output) {
            Ok(ControlFrame::Pong(payload)) => self.process_pong(id, &payload, now),
            Ok(ControlFrame::Ping) => self.core.answer_ping(id, &output, now),
            Ok(ControlFrame::Close { code, reason }) => {
                self.peer_closed(id, code, &reason, &output, now);
            }
            Err(e) => self.close_broken(id, &e, now),
        }
        if !sabotage::on(Bug::PongToAnother) {
            output.clear();
        }
        self.core.scratch = output;
        self.core.table.get(id).is_some_and(Conn::is_open)
    }

    /// Hands a message to the host. The first message that leaves the connection open introduces
    /// the peer, unless the host says that it does not. Returns whether the connection is still
    /// open.
    pub(super) fn deliver(&mut self, id: ConnId, message: Message, now: Micros) -> bool {
        let deaf = sabotage::on(Bug::DeliverAfterClose);
        let open = |c: &&mut Conn| c.is_open() || deaf;
        let Some(conn) = self.core.table.get_mut(id).filter(open) else {
            return false;
        };
        conn.traffic.message_in();
        self.core.stats.messages_in += 1;
        self.core.stays_unidentified = None;
        self.call(now, |handler, io| handler.on_message(io, id, message));
        if !self.core.table.get(id).is_some_and(Conn::is_open) {
            return false;
        }
        if self.core.stays_unidentified != Some(id) {
            self.core.identify(id);
        }
        true
    }

    pub(super) fn process_pong(&mut self, id: ConnId, payload: &[u8], now: Micros) {
        let Some(conn) = self.core.table.get_mut(id) else {
            return;
        };
        let is_pinged = conn.health.form() == HeartbeatForm::Ping;
        let awaits_pong = is_pinged && conn.health.is_awaiting_pong();
        if awaits_pong && !Health::is_valid_pong(payload) {
            self.core.stats.classes[usize::from(conn.class.0)].pongs_mangled += 1;
            self.call(now, |handler, io| handler.on_mangled_pong(io, id, payload));
            return;
        }
        let is_answer = conn.health.is_answer(payload);
        let rtt = conn.health.on_pong(payload, now);
        let gap = rtt.map_or(Micros::ZERO, |rtt| conn.idle_gap(now - rtt));
        if is_answer {
            self.mark_heard(id, LifeSign::Pong, now);
        }
        if let Some(rtt) = rtt
            && let Some(pong) = self.core.count_pong(id, rtt, gap, now)
        {
            self.call(now, |handler, io| handler.on_pong(io, id, pong));
        }
    }

    /// Handles a close frame from the peer; `answer` is the encoded close frame to send back.
    fn peer_closed(&mut self, id: ConnId, code: u16, reason: &str, answer: &[u8], now: Micros) {
        let blocked = self.core.table.get(id).is_some_and(Conn::is_blocked);
        let Some(scan) = self.core.leave_open(id) else {
            return;
        };
        // Earlier messages go out first. A peer that does not read now will not read them later.
        let answer = Bytes::copy_from_slice(answer);
        let mut unsent = 0;
        self.core.queue(id, |out| {
            if blocked {
                unsent = out.discard_unsent();
            }
            out.push_close(answer);
        });
        let mut end = EndingDraft::of(Cause::PEER_CLOSED);
        end.code = EndCode::Close(code);
        end.reason = reason.into();
        end.clean = true;
        end.unsent = unsent;
        self.core
            .enter_closing(id, end, CloseStage::Flush, scan, now);
    }

    /// Closes the connection because a text message is not UTF-8. Returns `false`: it is no longer
    /// open.
    pub(super) fn close_not_utf8(&mut self, id: ConnId, now: Micros) -> bool {
        let cause = Cause::INVALID_DATA;
        let reason = "text that is not UTF-8";
        self.core
            .send_close(id, cause, cause.close_code(), reason, now);
        false
    }

    /// Closes the connection for a fault that tungstenite found. tungstenite sends no close frame
    /// for it, so this does.
    pub(super) fn close_broken(&mut self, id: ConnId, error: &WsError, now: Micros) {
        let (cause, reason) = fault_of(error);
        self.core
            .send_close(id, cause, cause.close_code(), &reason, now);
    }

    /// Searches the input of a closing connection for the peer's close frame.
    pub(super) fn skip_input(&mut self, id: ConnId, bytes: &[u8]) {
        let Some(conn) = self.core.table.get_mut(id) else {
            return;
        };
        let Phase::Closing(closing) = &mut conn.phase else {
            return;
        };
        if closing.stage == CloseStage::PeerClose && closing.finder.advance(bytes).is_break() {
            self.core.confirm_close(id);
        }
    }
}

/// Returns the cause and the reason of the close after an error in a peer's frames.
pub(super) fn fault_of(error: &WsError) -> (Cause, String) {
    match error {
        WsError::Protocol(e) => (Cause::PROTOCOL, e.to_string()),
        WsError::Capacity(e) => (Cause::TOO_BIG, e.to_string()),
        WsError::Utf8(_) => (Cause::INVALID_DATA, "text that is not UTF-8".to_owned()),
        other => (Cause::INTERNAL, format!("unexpected: {}", kind_of(other))),
    }
}

/// Returns the kind of an error without any data of the peer that it may carry.
fn kind_of(error: &WsError) -> &'static str {
    match error {
        WsError::AlreadyClosed => "already closed",
        WsError::Io(_) => "in-memory I/O",
        WsError::WriteBufferFull(_) => "write buffer full",
        _ => "error",
    }
}
