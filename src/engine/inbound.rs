//! Bytes that came in: request heads, frames, and what is skipped.

use crate::cause::{Cause, Code};
use crate::engine::conn::{Conn, Decoder, End, Mark, Middle, Opening, Phase, Until};
use crate::engine::drain::Drain;
use crate::engine::handler::{Handler, Message, Pong, Preamble, Verdict};
use crate::engine::http::{self, HEAD_MAX, Head, Reply, Request};
use crate::engine::scan::{Scanner, heartbeat_pong, may_be_self_contained, self_contained_prefix};
use crate::engine::wire::Wire;
use crate::engine::{Engine, Upgrade};
use crate::id::ConnId;
use crate::sabotage::{self, Bug};
use crate::time::Micros;
use std::io::ErrorKind;
use tungstenite::Bytes;
use tungstenite::error::Error as WsError;
use tungstenite::protocol::{Role, WebSocketConfig, WebSocketContext};

/// What a context reads at once. Its default of 128 KiB is zeroed for each message and allocated for each context.
const READ_BUFFER: usize = 1_024;

/// How far ahead, at most, room is made for a frame that comes in pieces.
const GATHER_STEP: usize = 16 * 1024;

/// A message that takes no more than this is let in however full the loop is: it is gone again at once.
const SMALL: u64 = 4 * 1024;

/// How a context came through a stretch of bytes.
enum Drive {
    /// All of them are used up, and the connection is as open as before.
    Drained,
    /// The connection is not open any more; the context is of no use to anybody.
    Over,
}

impl<H: Handler> Engine<H> {
    pub(super) fn inbound(&mut self, id: ConnId, bytes: &[u8], now: Micros) {
        match self.core.table.get(id).map(|c| &c.phase) {
            Some(Phase::Opening(_)) => self.head(id, bytes, now),
            Some(Phase::Open(_)) => self.frames(id, bytes, now),
            Some(Phase::Closing(_)) => self.skipped(id, bytes),
            Some(Phase::Dead(_)) | None => {}
        }
    }

    /// Counts what was read.
    pub(super) fn count_in(&mut self, id: ConnId, bytes: usize) {
        self.core.stats.bytes_in += bytes as u64;
        if let Some(conn) = self.core.table.get_mut(id) {
            conn.traffic.bytes_in += bytes as u64;
        }
    }

    // ---- the request ----

    fn head(&mut self, id: ConnId, bytes: &[u8], now: Micros) {
        self.heard(id, now);
        let Some(conn) = self.core.table.get_mut(id) else {
            return;
        };
        let peer_addr = conn.peer_addr();
        let Phase::Opening(opening) = &mut conn.phase else {
            return;
        };
        let mut gathered = Vec::new();
        let mut data = bytes;
        let mut known = 0;
        let mut peer_addr = peer_addr;
        if let Some(opening) = opening {
            opening.bytes.reserve_exact(bytes.len());
            opening.bytes.extend_from_slice(bytes);
            if opening.deferred.is_some() {
                if opening.bytes.len() > HEAD_MAX {
                    let reply =
                        Reply::error(400, "more than 8192 bytes before the request was answered");
                    self.core.reply(id, &reply, false, Cause::BadRequest, now);
                }
                return;
            }
            known = opening.bytes.len() - bytes.len();
            gathered = std::mem::take(&mut opening.bytes);
            data = &gathered;
        }
        if !conn.marks.has(Mark::Introduced) {
            match self.handler.on_preamble(peer_addr, data) {
                Preamble::Partial if data.len() < HEAD_MAX => {
                    let bytes = data.to_vec();
                    *opening = Some(Box::new(Opening {
                        bytes,
                        deferred: None,
                    }));
                    return;
                }
                Preamble::Partial => {
                    let reply = Reply::error(400, "a preamble above 8192 bytes");
                    self.core.reply(id, &reply, false, Cause::BadRequest, now);
                    return;
                }
                Preamble::Invalid(why) => {
                    let reply = Reply::error(400, why);
                    self.core.reply(id, &reply, false, Cause::BadRequest, now);
                    return;
                }
                Preamble::None => {}
                Preamble::Whole { len, client } => {
                    data = &data[len.min(data.len())..];
                    known = 0;
                    // Who sends no more than this has asked for nothing: it is a proxy's check.
                    *opening = None;
                    peer_addr = client.unwrap_or(peer_addr);
                    conn.set_peer_addr(peer_addr);
                }
            }
            conn.marks.set(Mark::Introduced);
            if data.is_empty() {
                return;
            }
        }
        let Phase::Opening(opening) = &mut conn.phase else {
            return;
        };
        match http::parse(data, known, peer_addr) {
            // The usual case, a head that came whole, is parsed where it was read.
            Head::Complete(request, len) => self.request(id, request, &data[len..], now),
            Head::Refused(reply, is_head) => {
                self.core.reply(id, &reply, is_head, Cause::BadRequest, now)
            }
            Head::Partial => {
                if gathered.len() != data.len() {
                    gathered = data.to_vec();
                }
                *opening = Some(Box::new(Opening {
                    bytes: gathered,
                    deferred: None,
                }));
            }
        }
    }

    fn request(&mut self, id: ConnId, request: Box<Request>, tail: &[u8], now: Micros) {
        let is_head = request.is_head();
        let no_room = self
            .core
            .table
            .get(id)
            .is_some_and(|c| c.marks.has(Mark::Refused));
        if request.path() == "/healthz" {
            let draining = self.core.is_draining();
            let (status, text) = if draining {
                (503, "draining")
            } else {
                (200, "ok")
            };
            let reply = Reply {
                status,
                headers: Vec::new(),
                body: format!("{{\"status\":\"{text}\"}}"),
            };
            self.core.reply(id, &reply, is_head, Cause::Answered, now);
        } else if no_room {
            self.core
                .reply(id, &http::no_room(id), is_head, Cause::AtCapacity, now);
        } else if let Drain::Closing { .. } = self.core.drain {
            let reply = Reply::error(503, "service restart").retry_after(http::retry_after_s(id));
            self.core.reply(id, &reply, is_head, Cause::Draining, now);
        } else {
            let verdict = self.call(now, |handler, io| handler.on_request(io, id, &request));
            self.verdict(id, request, tail, verdict, now);
            self.recount_place(id);
        }
    }

    /// The host has made up its mind about a request that it had deferred.
    pub(super) fn answer(&mut self, id: ConnId, verdict: Verdict, now: Micros) {
        let Some(conn) = self.core.table.get_mut(id) else {
            return;
        };
        let Phase::Opening(Some(opening)) = &mut conn.phase else {
            return;
        };
        let Some(request) = opening.deferred.take() else {
            return;
        };
        let tail = std::mem::take(&mut opening.bytes);
        self.verdict(id, request, &tail, verdict, now);
        self.recount_place(id);
    }

    fn verdict(
        &mut self,
        id: ConnId,
        request: Box<Request>,
        tail: &[u8],
        verdict: Verdict,
        now: Micros,
    ) {
        let Some(conn) = self.core.table.get_mut(id) else {
            return;
        };
        if !matches!(verdict, Verdict::Reply(_)) {
            conn.marks.set(Mark::Owed);
        }
        if !matches!(conn.phase, Phase::Opening(_)) {
            // The host closed it while it made up its mind.
            return;
        }
        match verdict {
            Verdict::Upgrade(upgrade) => {
                self.upgrade(id, &request, tail, upgrade, now);
            }
            Verdict::Reply(reply) => {
                let cause = Cause::of_status(reply.status);
                self.core.reply(id, &reply, request.is_head(), cause, now);
            }
            Verdict::Defer => {
                let opening = Opening {
                    bytes: tail.to_vec(),
                    deferred: Some(request),
                };
                conn.phase = Phase::Opening(Some(Box::new(opening)));
            }
        }
    }

    fn upgrade(
        &mut self,
        id: ConnId,
        request: &Request,
        tail: &[u8],
        upgrade: Upgrade,
        now: Micros,
    ) {
        let known = usize::from(upgrade.class.0) < self.core.config.classes.len();
        if !known || upgrade.policy.is_some_and(|p| p.validate().is_err()) {
            let reply = Reply::error(500, "the host's verdict is not one that can be carried out");
            self.core
                .reply(id, &reply, request.is_head(), Cause::Internal, now);
            return;
        }
        let switched =
            http::switching_protocols(request, upgrade.protocol.as_deref(), &upgrade.headers);
        let response = match switched {
            Ok(response) => response,
            Err(reply) => {
                self.core
                    .reply(id, &reply, request.is_head(), Cause::BadRequest, now);
                return;
            }
        };
        let which = match upgrade.policy.map(|p| self.core.policies.adopt(p)) {
            None => self.core.policies.newest(),
            Some(Some(own)) => own,
            Some(None) => {
                let reply = Reply::error(503, "65534 different policies are in use");
                self.core
                    .reply(id, &reply, request.is_head(), Cause::AtCapacity, now);
                return;
            }
        };
        let policy = *self.core.policies.of(upgrade.class, which);
        let health = self.core.new_health(id, &policy, now);
        let Some(conn) = self.core.table.get_mut(id) else {
            return;
        };
        conn.class = upgrade.class;
        conn.policy = which;
        conn.health = health;
        conn.since = now;
        conn.phase = Phase::Open(None);
        conn.marks.set(Mark::Counted);
        if upgrade.introduced {
            conn.marks.set(Mark::Spoke);
        }
        let class = &mut self.core.stats.classes[usize::from(upgrade.class.0)];
        class.opened += 1;
        class.live += 1;
        self.core.queue_control(id, &response);
        self.core.arm(id);
        self.call(now, |handler, io| handler.on_open(io, id));
        if !tail.is_empty() {
            self.inbound(id, tail, now);
        }
    }

    // ---- frames ----

    fn frames(&mut self, id: ConnId, mut data: &[u8], now: Micros) {
        let Some(conn) = self.core.table.get_mut(id) else {
            return;
        };
        if let Phase::Open(None) = conn.phase {
            let parks = self.core.parks();
            if let Some(payload) = heartbeat_pong(data).filter(|_| parks) {
                self.heard(id, now);
                self.pong(id, &payload, now);
                return;
            }
            let whole = if parks {
                self_contained_prefix(data)
            } else {
                0
            };
            if whole > 0 {
                self.heard(id, now);
                if let Drive::Over = self.drive_spare(id, &data[..whole], now) {
                    return self.inbound(id, &data[whole..], now);
                }
                data = &data[whole..];
            }
            if data.is_empty() {
                return;
            }
            let decoder = if parks && self.is_gathered(data) {
                Decoder::Gathering(Vec::new())
            } else {
                Decoder::Own(self.context())
            };
            let middle = Middle {
                decoder,
                scanner: Scanner::default(),
                frame_since: None,
                held: 0,
            };
            let Some(conn) = self.core.table.get_mut(id).filter(|c| c.is_open()) else {
                // The host closed it when it heard that it is healthy again.
                return self.inbound(id, data, now);
            };
            conn.phase = Phase::Open(Some(Box::new(middle)));
        }
        self.middle(id, data, now);
    }

    /// Bytes for a connection that is in the middle of something.
    fn middle(&mut self, id: ConnId, data: &[u8], now: Micros) {
        let Some(middle) = self.middle_of(id) else {
            return;
        };
        let was_in_frame = middle.scanner.in_frame();
        let seen = middle.scanner.advance(data);
        if !middle.scanner.in_frame() {
            middle.frame_since = None;
        } else if seen.frames > 0 || !was_in_frame {
            middle.frame_since = Some(now);
        }
        if seen.heard() {
            self.heard(id, now);
        }
        if !self.account_for_held(id, now) {
            if seen.close.is_some() {
                self.peer_closed_too(id);
            }
            return;
        }
        let Some(middle) = self.middle_of(id) else {
            return;
        };
        let decoder = std::mem::replace(&mut middle.decoder, Decoder::AtWork);
        let decoder = match decoder {
            Decoder::Gathering(bytes) => self.gather(id, bytes, data, seen.close, now),
            Decoder::Own(context) => self.drive_own(context, id, data, seen.close, now),
            Decoder::AtWork => None,
        };
        let parks = self.core.parks();
        match (decoder, self.middle_of(id)) {
            (Some(_), Some(middle)) if middle.scanner.at_rest() && parks => self.park(id),
            (Some(decoder), Some(middle)) => {
                middle.decoder = decoder;
                self.core.arm(id);
            }
            (_, _) => {
                // Closed by the host, and the peer's close frame was among the bytes that nobody reads any more.
                if seen.close.is_some() {
                    self.peer_closed_too(id);
                }
            }
        }
    }

    /// Whether bytes that begin a frame are kept until the shared context can take it whole.
    fn is_gathered(&self, data: &[u8]) -> bool {
        may_be_self_contained(data, self.core.config.max_message_bytes as u64)
    }

    /// More of a frame that waits to be whole: what it waits in from now on, `None` if the connection is not open any more.
    fn gather(
        &mut self,
        id: ConnId,
        mut bytes: Vec<u8>,
        data: &[u8],
        close: Option<u16>,
        now: Micros,
    ) -> Option<Decoder> {
        // To size at first; who sends in drops must not have it copied for each of them.
        let more = data.len().max(bytes.len().min(GATHER_STEP));
        if bytes.capacity() - bytes.len() < data.len() {
            bytes.reserve_exact(more);
        }
        bytes.extend_from_slice(data);
        let whole = self_contained_prefix(&bytes);
        if whole > 0 {
            if let Drive::Over = self.drive_spare(id, &bytes[..whole], now) {
                return None;
            }
            bytes = bytes[whole..].to_vec();
        }
        if bytes.is_empty() || self.is_gathered(&bytes) {
            return Some(Decoder::Gathering(bytes));
        }
        let context = self.context();
        self.drive_own(context, id, &bytes, close, now)
    }

    fn drive_own(
        &mut self,
        mut context: Box<WebSocketContext>,
        id: ConnId,
        data: &[u8],
        close: Option<u16>,
        now: Micros,
    ) -> Option<Decoder> {
        match self.drive(&mut context, id, data, close, now) {
            Drive::Drained => Some(Decoder::Own(context)),
            Drive::Over => None,
        }
    }

    /// Whole frames, read by the context that serves everybody.
    fn drive_spare(&mut self, id: ConnId, data: &[u8], now: Micros) -> Drive {
        let mut spare = self.core.spare.take().unwrap_or_else(|| self.context());
        let drive = self.drive(&mut spare, id, data, None, now);
        // It may have left-overs in it when it is over: the next one gets a new one.
        if let Drive::Drained = drive {
            self.core.spare = Some(spare);
        }
        drive
    }

    fn middle_of(&mut self, id: ConnId) -> Option<&mut Middle> {
        match &mut self.core.table.get_mut(id)?.phase {
            Phase::Open(Some(middle)) => Some(middle),
            _ => None,
        }
    }

    /// In the middle of nothing: gives the context and its buffers up.
    fn park(&mut self, id: ConnId) {
        let Some(conn) = self.core.table.get_mut(id) else {
            return;
        };
        if let Phase::Open(middle) = &mut conn.phase {
            let held = middle.take().map_or(0, |m| m.held);
            self.core.release_held(held);
        }
    }

    /// Counts what the context is about to hold. `false`: there is no room for it, and the connection is closing.
    fn account_for_held(&mut self, id: ConnId, now: Micros) -> bool {
        let most = self.core.config.max_message_bytes as u64;
        let Some(middle) = self.middle_of(id) else {
            return false;
        };
        let held = match middle.decoder {
            Decoder::Gathering(_) => middle.scanner.holding(most),
            // A context gives no memory back until it is dropped.
            Decoder::Own(_) | Decoder::AtWork => middle.scanner.holding(most).max(middle.held),
        };
        let before = std::mem::replace(&mut middle.held, held);
        self.core.stats.held_bytes += held;
        self.core.release_held(before);
        if held > before.max(SMALL) && self.core.is_full() {
            let reason = format!("no room for {held} bytes of a message");
            self.core.shut(
                id,
                Cause::BuffersFull,
                Cause::BuffersFull.close_code(),
                &reason,
                now,
            );
            return false;
        }
        true
    }

    /// Has a context read `data`, and the host hear what came of it.
    /// `close` is the code of the peer's close frame, if there is one in `data`.
    fn drive(
        &mut self,
        context: &mut WebSocketContext,
        id: ConnId,
        data: &[u8],
        close: Option<u16>,
        now: Micros,
    ) -> Drive {
        let mut input = data;
        let mut output = std::mem::take(&mut self.core.scratch);
        let mut peers_reason = String::new();
        let drive = loop {
            let mut wire = Wire {
                input,
                output: &mut output,
            };
            let result = context.read(&mut wire);
            input = wire.input;
            match result {
                Ok(message @ (Message::Text(_) | Message::Binary(_))) => {
                    let deaf = sabotage::on(Bug::DeliverAfterClose);
                    let open = |c: &&mut Conn| c.is_open() || deaf;
                    let Some(conn) = self.core.table.get_mut(id).filter(open) else {
                        break Drive::Over;
                    };
                    conn.marks.set(Mark::Spoke);
                    conn.traffic.message_in();
                    self.core.stats.messages_in += 1;
                    self.call(now, |handler, io| handler.on_message(io, id, message));
                    if !deaf && !self.core.table.get(id).is_some_and(|c| c.is_open()) {
                        break Drive::Over;
                    }
                }
                Ok(Message::Pong(payload)) => self.pong(id, &payload, now),
                // The context answers by itself: pings, and a close at the next read. Pongs up to then go their own way.
                Ok(Message::Close(frame)) => {
                    self.core.queue_control(id, &output);
                    output.clear();
                    peers_reason = frame.map_or_else(String::new, |f| f.reason.to_string());
                }
                Ok(Message::Ping(_) | Message::Frame(_)) => {}
                Err(WsError::Io(e)) if e.kind() == ErrorKind::WouldBlock => break Drive::Drained,
                Err(WsError::ConnectionClosed) => {
                    self.peer_closed(id, close.unwrap_or(1005), &peers_reason, &output, now);
                    output.clear();
                    break Drive::Over;
                }
                Err(e) => {
                    self.broken(id, &e, now);
                    break Drive::Over;
                }
            }
        };
        self.core.queue_control(id, &output);
        if !sabotage::on(Bug::PongToAnother) {
            output.clear();
        }
        self.core.scratch = output;
        drive
    }

    fn pong(&mut self, id: ConnId, payload: &[u8], now: Micros) {
        let Some(conn) = self.core.table.get_mut(id) else {
            return;
        };
        if let Some(rtt) = conn.health.pong(payload, now) {
            self.core.stats.pongs += 1;
            self.core.stats.rtt.record(rtt.0);
            if conn.marks.has(Mark::Watched) {
                let received = self.core.receipts.read(id);
                let pong = Pong { rtt, received };
                self.call(now, |handler, io| handler.on_pong(io, id, pong));
            }
        }
    }

    // ---- endings ----

    /// The peer sent a close frame; the context has written the answer.
    fn peer_closed(&mut self, id: ConnId, code: u16, reason: &str, answer: &[u8], now: Micros) {
        let blocked = self.core.table.get(id).is_some_and(Conn::is_blocked);
        let Some(scanner) = self.core.leave_open(id) else {
            return;
        };
        // What was sent before goes out before. Only a peer that does not read will not read it now.
        let answer = Bytes::copy_from_slice(answer);
        let mut unsent = 0;
        self.core.queue(id, |out| {
            if blocked {
                unsent = out.discard_unsent();
            }
            out.push_close(answer);
        });
        let mut end = End::of(Cause::PeerClosed(code));
        end.code = Code::Close(code);
        end.reason = reason.into();
        end.clean = true;
        end.unsent = unsent;
        self.core
            .enter_closing(id, end, Until::Flushed, scanner, now);
    }

    /// tungstenite has found a fault. It sends no close frame for it; we do.
    fn broken(&mut self, id: ConnId, error: &WsError, now: Micros) {
        let (cause, reason) = match error {
            WsError::Protocol(e) => (Cause::Protocol, e.to_string()),
            WsError::Capacity(e) => (Cause::TooBig, e.to_string()),
            WsError::Utf8(_) => (Cause::InvalidData, "text that is not UTF-8".to_owned()),
            other => (Cause::Internal, format!("unexpected: {}", kind_of(other))),
        };
        self.core.shut(id, cause, cause.close_code(), &reason, now);
    }

    /// Bytes of a peer whose connection is closing.
    fn skipped(&mut self, id: ConnId, bytes: &[u8]) {
        let Some(conn) = self.core.table.get_mut(id) else {
            return;
        };
        let Phase::Closing(closing) = &mut conn.phase else {
            return;
        };
        if closing.until == Until::PeerCloses && closing.scanner.advance(bytes).close.is_some() {
            self.peer_closed_too(id);
        }
    }

    /// The peer answered our close frame, or sent its own meanwhile: the closing handshake is complete.
    fn peer_closed_too(&mut self, id: ConnId) {
        let Some(conn) = self.core.table.get_mut(id) else {
            return;
        };
        let nothing_waits = conn.out.is_none();
        let Phase::Closing(closing) = &mut conn.phase else {
            return;
        };
        if closing.until != Until::PeerCloses {
            return;
        }
        closing.until = Until::Flushed;
        closing.end.clean = true;
        if nothing_waits {
            let end = closing.end.clone();
            self.core.bury(id, end);
        }
    }

    // ---- contexts ----

    fn context(&self) -> Box<WebSocketContext> {
        let most = Some(self.core.config.max_message_bytes);
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(0)
            .max_message_size(most)
            .max_frame_size(most);
        Box::new(WebSocketContext::new(Role::Server, Some(config)))
    }
}

/// An error without the peer's data that it may carry.
fn kind_of(error: &WsError) -> &'static str {
    match error {
        WsError::AlreadyClosed => "already closed",
        WsError::Io(_) => "in-memory I/O",
        WsError::WriteBufferFull(_) => "write buffer full",
        _ => "error",
    }
}
