//! Bytes that came in: request heads, frames, and what is skipped.

use crate::cause::{Cause, Code};
use crate::engine::chunks::JOINED_AT_ONCE;
use crate::engine::conn::{Conn, End, Gathering, Mark, Middle, Opening, Phase, Until};
use crate::engine::core::SMALL;
use crate::engine::drain::Drain;
use crate::engine::engine::Engine;
use crate::engine::handler::Handler;
use crate::engine::http::{self, Head, Reply, Request};
use crate::engine::incoming::{Incoming, NotUtf8};
use crate::engine::message::{Message, Pong};
use crate::engine::scan::{Header, Kind};
use crate::engine::verdict::{Preamble, Upgrade, Verdict};
use crate::engine::wire::Wire;
use crate::engine::work::REQUEST_UNITS;
use crate::health::Health;
use crate::id::ConnId;
use crate::sabotage::{self, Bug};
use crate::time::Micros;
use tungstenite::Bytes;
use tungstenite::error::Error as WsError;
use tungstenite::protocol::{Role, WebSocketConfig, WebSocketContext};

/// What a context reads at once: a control frame. Its default of 128 KiB is zeroed for each message.
const READ_BUFFER: usize = 14 + 125;

/// The most bytes of a frame that are gathered in one step. Checking text for UTF-8 costs up to 16 instructions a byte.
const GATHER_STEP: usize = 8 * 1024;

/// Progress inside one frame counts as heard in steps of this many bytes: pongs cannot come between the bytes of a large
/// frame on a slow link, but a byte a minute must not keep a peer alive.
const PROGRESS_STEP: u32 = 4_096;

/// The most bytes of a preamble, and of what a peer sends before its request is answered.
const EARLY_MAX: usize = 8 * 1024;

/// What has become of a piece of input.
enum Step {
    /// Consumed this many bytes; the connection is open.
    Took(usize),
    /// Consumed this many bytes; the connection is not open any more.
    Over(usize),
}

/// The code in the payload of a close frame; 1005 if there is none (RFC 6455 §7.1.5).
fn close_code(payload: &[u8], mask: [u8; 4]) -> u16 {
    match payload {
        [a, b, ..] => u16::from_be_bytes([a ^ mask[0], b ^ mask[1]]),
        _ => 1005,
    }
}

impl<H: Handler> Engine<H> {
    pub(super) fn inbound(&mut self, id: ConnId, bytes: &[u8], now: Micros) {
        match self.core.table.get(id).map(|c| &c.phase) {
            Some(Phase::Opening(_)) => self.head(id, bytes, now),
            Some(Phase::Open(_)) => {
                let used = self.frames(id, bytes, now);
                self.keep(id, &bytes[used..], now);
            }
            Some(Phase::Closing(_)) => {
                self.core.spend_frame(bytes.len());
                self.skipped(id, bytes);
            }
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
        let mut only_preamble = false;
        let mut peer_addr = peer_addr;
        if let Some(opening) = opening {
            opening.bytes.reserve_exact(bytes.len());
            opening.bytes.extend_from_slice(bytes);
            if opening.deferred.is_some() {
                if opening.bytes.len() > EARLY_MAX {
                    let reply =
                        Reply::error(400, "more than 8192 bytes before the request was answered");
                    self.core.reply(id, &reply, false, Cause::BadRequest, now);
                } else if !self.core.account_for_head(id) {
                    self.no_room_for_head(id, now);
                }
                return;
            }
            known = opening.bytes.len() - bytes.len();
            gathered = std::mem::take(&mut opening.bytes);
            data = &gathered;
        }
        if !conn.marks.has(Mark::Introduced) {
            match self.handler.on_preamble(peer_addr, data) {
                Preamble::Partial if data.len() < EARLY_MAX => {
                    let bytes = data.to_vec();
                    return self.keep_head(id, bytes, None, now);
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
                    only_preamble = true;
                    peer_addr = client.unwrap_or(peer_addr);
                    conn.set_peer_addr(peer_addr);
                    if client.is_some() {
                        conn.marks.set(Mark::Proxied);
                    }
                }
            }
            conn.marks.set(Mark::Introduced);
            if only_preamble {
                self.core.leave_opening(id);
            }
            if data.is_empty() {
                return;
            }
        }
        match http::parse(data, known, self.core.config.max_head_bytes, peer_addr) {
            // The usual case, a head that came whole, is parsed where it was read.
            Head::Complete(request, len) => self.request(id, request, &data[len..], now),
            Head::Refused(reply, is_head) => {
                self.core.reply(id, &reply, is_head, Cause::BadRequest, now)
            }
            Head::Partial => {
                if gathered.len() != data.len() {
                    gathered = data.to_vec();
                }
                self.keep_head(id, gathered, None, now);
            }
        }
    }

    /// Keeps what has come of a request, or behind one whose verdict is deferred.
    fn keep_head(
        &mut self,
        id: ConnId,
        bytes: Vec<u8>,
        deferred: Option<Box<Request>>,
        now: Micros,
    ) {
        self.core.leave_opening(id);
        if let Some(conn) = self.core.table.get_mut(id) {
            conn.phase = Phase::Opening(Some(Box::new(Opening {
                bytes,
                deferred,
                held: 0,
            })));
        }
        if !self.core.account_for_head(id) {
            self.no_room_for_head(id, now);
        }
    }

    fn no_room_for_head(&mut self, id: ConnId, now: Micros) {
        let reply =
            Reply::error(503, "no room for the request").retry_after(http::retry_after_s(id));
        self.core.reply(id, &reply, false, Cause::BuffersFull, now);
    }

    fn request(&mut self, id: ConnId, request: Box<Request>, tail: &[u8], now: Micros) {
        self.core.spend(REQUEST_UNITS);
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
        } else if let Drain::Closing { .. } = self.core.drain {
            let reply = Reply::error(503, "service restart").retry_after(http::retry_after_s(id));
            self.core.reply(id, &reply, is_head, Cause::Draining, now);
        } else if no_room {
            self.core
                .reply(id, &http::no_room(id), is_head, Cause::AtCapacity, now);
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
                self.keep_head(id, tail.to_vec(), Some(request), now);
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
        self.core.leave_opening(id);
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

    /// Works frames off while the connection's share lasts. Returns how many bytes that took.
    fn frames(&mut self, id: ConnId, data: &[u8], now: Micros) -> usize {
        let mut at = 0;
        while at < data.len() && self.core.may_go_on(id) {
            let units = self.core.work.spent();
            match self.frame(id, &data[at..], now) {
                Step::Took(bytes) => at += bytes,
                Step::Over(bytes) => {
                    self.skipped(id, &data[at + bytes..]);
                    at = data.len();
                }
            }
            let units = self.core.work.spent().saturating_sub(units);
            self.core.stats.frame_units_max = self.core.stats.frame_units_max.max(units);
        }
        at
    }

    /// Works one frame off, or as much of it as is here.
    fn frame(&mut self, id: ConnId, data: &[u8], now: Micros) -> Step {
        let Some(conn) = self.core.table.get(id).filter(|c| c.is_open()) else {
            return Step::Over(0);
        };
        if let Phase::Open(Some(middle)) = &conn.phase
            && middle.frame.is_some()
        {
            return self.gather(id, data, now);
        }
        let Some(header) = Header::parse(data) else {
            return self.begin_gathering(id, data, now);
        };
        let kind = match self.kind_of_frame(conn, &header) {
            Ok(kind) => kind,
            Err(e) => {
                self.core.spend(1);
                self.broken(id, &e, now);
                return Step::Over(0);
            }
        };
        let len = header.frame_len();
        if data.len() < len || len > GATHER_STEP {
            return self.begin_gathering(id, data, now);
        }
        self.core.spend_frame(header.len);
        self.heard(id, now);
        let frame = &data[..len];
        let (payload, mask) = (&frame[header.len..], header.mask());
        let open = match kind {
            Kind::Whole(opcode) => match Incoming::whole(opcode, payload, mask) {
                Ok((message, worth)) => {
                    self.core.work.spend_bytes(worth, &mut self.core.stats);
                    self.deliver(id, message, now)
                }
                Err(NotUtf8) => self.not_utf8(id, now),
            },
            Kind::First(_) | Kind::Middle | Kind::Last => {
                self.begin_message(id, kind);
                self.append(id, payload, mask, 0, now) && self.frame_ends(id, kind, now)
            }
            Kind::Control | Kind::Close => self.control(id, kind, frame, &header, now),
        };
        if open && self.rest(id, now) {
            Step::Took(len)
        } else {
            Step::Over(len)
        }
    }

    /// Judges a frame by its header.
    fn kind_of_frame(&self, conn: &Conn, header: &Header) -> Result<Kind, WsError> {
        let most = self.core.config.max_message_bytes;
        let first = self.core.policy_of(conn).first_message_bytes;
        let most = match first {
            Some(first) if conn.is_stranger() => first.min(most),
            Some(_) | None => most,
        };
        let in_message = match &conn.phase {
            Phase::Open(Some(middle)) => middle.message.as_ref().map(Incoming::len),
            _ => None,
        };
        header.judge(in_message, if header.is_data() { most } else { usize::MAX })
    }

    /// Begins to gather a frame of which only the beginning is here.
    fn begin_gathering(&mut self, id: ConnId, data: &[u8], now: Micros) -> Step {
        if let Some(middle) = self.middle_or_new(id) {
            middle.frame = Some(Gathering {
                head: [0; 14],
                have: 0,
                header: None,
                payload: 0,
                control: Vec::new(),
                credit: 0,
                since: now,
            });
        }
        self.gather(id, data, now)
    }

    /// Takes more of a frame whose beginning is here, at most 8 KiB.
    fn gather(&mut self, id: ConnId, data: &[u8], now: Micros) -> Step {
        let Some(frame) = self.middle_of(id).and_then(|m| m.frame.as_mut()) else {
            return Step::Over(0);
        };
        let mut used = 0;
        let mut fresh = None;
        while frame.header.is_none() && fresh.is_none() && used < data.len() {
            frame.head[usize::from(frame.have)] = data[used];
            frame.have += 1;
            used += 1;
            fresh = Header::parse(&frame.head[..usize::from(frame.have)]);
        }
        if let Some(header) = fresh
            && let Err(step) = self.begin_frame(id, header, used, now)
        {
            return step;
        }
        let mut whole = None;
        let mut open = true;
        let mut progress = sabotage::on(Bug::EveryByteIsHeard);
        if let Some(frame) = self.middle_of(id).and_then(|m| m.frame.as_mut())
            && let Some((header, kind)) = frame.header
        {
            let left = usize::try_from(header.payload - frame.payload).unwrap_or(usize::MAX);
            let bytes = &data[used..];
            let bytes = &bytes[..left.min(bytes.len()).min(GATHER_STEP)];
            let offset = frame.payload as usize;
            used += bytes.len();
            frame.payload += bytes.len() as u64;
            frame.credit += bytes.len() as u32;
            if frame.credit >= PROGRESS_STEP {
                frame.credit %= PROGRESS_STEP;
                progress = true;
            }
            whole = (frame.payload == header.payload).then_some((header, kind));
            match kind {
                Kind::Control | Kind::Close => frame.control.extend_from_slice(bytes),
                Kind::Whole(_) | Kind::First(_) | Kind::Middle | Kind::Last => {
                    open = self.append(id, bytes, header.mask(), offset, now);
                }
            }
        }
        self.core.spend(1);
        if open && (progress || whole.is_some()) {
            self.heard(id, now);
        }
        if let Some((header, kind)) = whole.filter(|_| open) {
            let frame = self.middle_of(id).and_then(|m| m.frame.take());
            open = frame.is_some_and(|frame| match kind {
                Kind::Control | Kind::Close => {
                    let bytes = [&frame.head[..header.len], &frame.control].concat();
                    self.control(id, kind, &bytes, &header, now)
                }
                Kind::Whole(_) | Kind::First(_) | Kind::Middle | Kind::Last => {
                    self.frame_ends(id, kind, now)
                }
            });
            open = open && self.rest(id, now);
        }
        if open && self.account_for_held(id, now) {
            Step::Took(used)
        } else {
            Step::Over(used)
        }
    }

    /// The header of the frame that is gathered is whole; `used` bytes were used for that.
    ///
    /// # Errors
    /// What the frame has come to if it may not be.
    fn begin_frame(
        &mut self,
        id: ConnId,
        header: Header,
        used: usize,
        now: Micros,
    ) -> Result<(), Step> {
        let Some(conn) = self.core.table.get(id) else {
            return Err(Step::Over(used));
        };
        match self.kind_of_frame(conn, &header) {
            Ok(kind) => {
                if let Some(frame) = self.middle_of(id).and_then(|m| m.frame.as_mut()) {
                    frame.header = Some((header, kind));
                }
                self.begin_message(id, kind);
                Ok(())
            }
            Err(e) => {
                self.core.spend(1);
                self.broken(id, &e, now);
                Err(Step::Over(used))
            }
        }
    }

    /// Begins a message if a frame of this kind does.
    fn begin_message(&mut self, id: ConnId, kind: Kind) {
        if let Some(opcode) = kind.begins()
            && let Some(middle) = self.middle_or_new(id)
        {
            middle.message = Some(Incoming::new(opcode));
        }
    }

    /// Appends payload to the message that arrives. Returns whether the connection is still open.
    fn append(
        &mut self,
        id: ConnId,
        payload: &[u8],
        mask: [u8; 4],
        offset: usize,
        now: Micros,
    ) -> bool {
        let message = self.middle_of(id).and_then(|m| m.message.as_mut());
        match message.map(|message| message.push(payload, mask, offset)) {
            Some(Ok(worth)) => {
                self.core.work.spend_bytes(worth, &mut self.core.stats);
                true
            }
            Some(Err(NotUtf8)) => self.not_utf8(id, now),
            None => false,
        }
    }

    /// A data frame is here whole, and part of its message. Returns whether the connection is still open.
    fn frame_ends(&mut self, id: ConnId, kind: Kind, now: Micros) -> bool {
        if let Kind::First(_) | Kind::Middle = kind {
            return self.account_for_held(id, now);
        }
        let message = self.middle_of(id).and_then(|m| m.message.as_ref());
        match message.map(Incoming::finish) {
            Some(Ok(())) => self.begin_to_join(id, now),
            Some(Err(NotUtf8)) => self.not_utf8(id, now),
            None => false,
        }
    }

    /// A message is here whole. Joining a large one is a step of its own. Returns whether the connection is still open.
    fn begin_to_join(&mut self, id: ConnId, now: Micros) -> bool {
        match self.middle_of(id) {
            Some(middle)
                if middle
                    .message
                    .as_ref()
                    .is_some_and(|m| m.len() > GATHER_STEP) =>
            {
                middle.joining = true;
                self.core.hold_back(id);
                self.account_for_held(id, now)
            }
            Some(_) => self.join(id, now),
            None => false,
        }
    }

    /// Joins a message that is here whole, or the next 128 KiB of it, and hands it to the host. Returns whether the connection is still
    /// open.
    fn join(&mut self, id: ConnId, now: Micros) -> bool {
        let Some(middle) = self.middle_of(id) else {
            return false;
        };
        let Some(incoming) = &mut middle.message else {
            return true;
        };
        let joined = incoming.join();
        let bytes = incoming.len().min(JOINED_AT_ONCE);
        middle.joining = joined.is_none();
        if joined.is_some() {
            middle.message = None;
        }
        self.core.work.spend_bytes(bytes, &mut self.core.stats);
        match joined {
            Some(message) => self.deliver(id, message, now),
            None => {
                self.core.hold_back(id);
                self.account_for_held(id, now)
            }
        }
    }

    /// Does the next step of what the last message needs: joins more of it, or calls the host that has not finished with it.
    #[inline(never)]
    pub(super) fn go_on(&mut self, id: ConnId, now: Micros) {
        let Some(middle) = self.middle_of(id) else {
            return;
        };
        let open = if middle.joining {
            self.join(id, now)
        } else {
            middle.unfinished = None;
            if !sabotage::on(Bug::UnfinishedForgotten) {
                self.call(now, |handler, io| handler.on_continue(io, id));
            }
            true
        };
        if open {
            self.rest(id, now);
        }
    }

    // ---- what waits ----

    /// Keeps bytes that the connection's share did not cover.
    fn keep(&mut self, id: ConnId, rest: &[u8], now: Micros) {
        if rest.is_empty() || sabotage::on(Bug::LeftoverLost) {
            return;
        }
        if !self.core.table.get(id).is_some_and(Conn::is_open) {
            return self.skipped(id, rest);
        }
        if let Some(middle) = self.middle_or_new(id) {
            middle.leftover.reserve_exact(rest.len());
            middle.leftover.extend_from_slice(rest);
        }
        self.core.hold_back(id);
        if self.account_for_held(id, now) {
            self.core.throttle(id, now);
        }
    }

    /// Works off what was kept.
    pub(super) fn leftover(&mut self, id: ConnId, now: Micros) {
        let Some(middle) = self.middle_of(id) else {
            return;
        };
        middle.at_work = true;
        let bytes = std::mem::take(&mut middle.leftover);
        let mut at = std::mem::take(&mut middle.looked_at);
        at += self.frames(id, &bytes[at..], now);
        match self.middle_of(id) {
            Some(middle) => {
                middle.at_work = false;
                if at < bytes.len() {
                    (middle.leftover, middle.looked_at) = (bytes, at);
                }
            }
            None => self.skipped(id, &bytes[at..]),
        }
        self.rest(id, now);
    }

    /// Parks the connection if it is in the middle of nothing, else counts what it holds. Returns whether it is still open.
    pub(super) fn rest(&mut self, id: ConnId, now: Micros) -> bool {
        let Some(conn) = self.core.table.get_mut(id) else {
            return false;
        };
        let is_paused = conn.marks.has(Mark::Paused);
        let Phase::Open(middle) = &mut conn.phase else {
            return false;
        };
        let Some(inner) = middle else {
            return true;
        };
        let failed = inner.failed.filter(|_| !inner.is_held() || is_paused);
        if !inner.is_held()
            && let Some(waited) = self.core.unthrottle(id, now)
            && waited > Micros::ZERO
        {
            self.call(now, |handler, io| handler.on_throttled(io, id, waited));
        }
        if let Some(cause) = failed {
            self.on_failed(id, cause);
            return false;
        }
        let Some(Phase::Open(middle)) = self.core.table.get_mut(id).map(|c| &mut c.phase) else {
            return false;
        };
        if middle.as_ref().is_some_and(|m| m.at_rest()) {
            let held = middle.take().map_or(0, |m| m.held);
            self.core.release_held(id, held);
            return true;
        }
        self.account_for_held(id, now)
    }

    fn middle_of(&mut self, id: ConnId) -> Option<&mut Middle> {
        match &mut self.core.table.get_mut(id)?.phase {
            Phase::Open(Some(middle)) => Some(middle),
            _ => None,
        }
    }

    /// What an open connection is in the middle of, from now on if it was at rest.
    pub(super) fn middle_or_new(&mut self, id: ConnId) -> Option<&mut Middle> {
        match &mut self.core.table.get_mut(id)?.phase {
            Phase::Open(middle) => Some(middle.get_or_insert_default()),
            _ => None,
        }
    }

    /// Counts what a connection holds. Returns whether there is room for it; if not, it is closing.
    pub(super) fn account_for_held(&mut self, id: ConnId, now: Micros) -> bool {
        let Some(middle) = self.middle_of(id) else {
            return self.core.table.get(id).is_some_and(Conn::is_open);
        };
        let held = middle.allocated();
        let before = std::mem::replace(&mut middle.held, held);
        if held < middle.grown || held >= middle.grown + PROGRESS_STEP as u64 {
            (middle.grown, middle.grown_at) = (held, now);
        }
        self.core.hold(id, held);
        self.core.release_held(id, before);
        self.core.arm(id);
        if held > before.max(SMALL) && self.core.is_full_for(id) {
            let reason = format!("no room for {held} bytes of a message");
            let code = Cause::BuffersFull.close_code();
            self.core.shut(id, Cause::BuffersFull, code, &reason, now);
            return false;
        }
        true
    }

    /// Decodes one control frame with the shared context and acts on it. Returns whether the connection is still open.
    fn control(
        &mut self,
        id: ConnId,
        kind: Kind,
        frame: &[u8],
        header: &Header,
        now: Micros,
    ) -> bool {
        let code = close_code(&frame[header.len..], header.mask());
        let spare = self.core.spare.take();
        let mut context = spare.unwrap_or_else(|| self.context());
        let mut output = std::mem::take(&mut self.core.scratch);
        let result = context.read(&mut Wire {
            input: frame,
            output: &mut output,
        });
        let mut answer = Wire {
            input: &[],
            output: &mut output,
        };
        let reusable = match result {
            Ok(Message::Pong(payload)) => {
                self.pong(id, &payload, now);
                true
            }
            Ok(Message::Ping(_)) => {
                // The context answers by itself; the wire takes everything.
                let _ = context.flush(&mut answer);
                self.core.answer_ping(id, &output, now);
                true
            }
            Ok(Message::Close(close)) => {
                // It reports that the connection is closed, which we know.
                let _ = context.flush(&mut answer);
                let reason = close.map_or_else(String::new, |f| f.reason.to_string());
                self.peer_closed(id, code, &reason, &output, now);
                false
            }
            Ok(Message::Text(_) | Message::Binary(_) | Message::Frame(_)) => {
                debug_assert!(false, "{kind:?} is no data frame");
                false
            }
            Err(e) => {
                self.broken(id, &e, now);
                false
            }
        };
        if !sabotage::on(Bug::PongToAnother) {
            output.clear();
        }
        self.core.scratch = output;
        // One that has failed may have left-overs in it.
        if reusable {
            self.core.spare = Some(context);
        }
        self.core.table.get(id).is_some_and(Conn::is_open)
    }

    /// Hands a message to the host. The first one that leaves the connection open introduces the peer. Returns whether the connection is
    /// still open.
    fn deliver(&mut self, id: ConnId, message: Message, now: Micros) -> bool {
        let deaf = sabotage::on(Bug::DeliverAfterClose);
        let open = |c: &&mut Conn| c.is_open() || deaf;
        let Some(conn) = self.core.table.get_mut(id).filter(open) else {
            return false;
        };
        conn.traffic.message_in();
        self.core.stats.messages_in += 1;
        self.call(now, |handler, io| handler.on_message(io, id, message));
        let Some(conn) = self.core.table.get_mut(id).filter(|c| c.is_open()) else {
            return false;
        };
        if !conn.marks.has(Mark::Spoke) {
            let held = match &conn.phase {
                Phase::Open(Some(middle)) => middle.held,
                _ => 0,
            };
            conn.marks.set(Mark::Spoke);
            self.core.stats.stranger_bytes -= held;
        }
        true
    }

    fn pong(&mut self, id: ConnId, payload: &[u8], now: Micros) {
        let Some(conn) = self.core.table.get_mut(id) else {
            return;
        };
        if conn.health.awaits_pong() && !Health::is_echo(payload) {
            self.core.stats.pongs_mangled += 1;
            self.call(now, |handler, io| handler.on_mangled_pong(io, id, payload));
            return;
        }
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
        let Some(left) = self.core.leave_open(id) else {
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
        self.core.enter_closing(id, end, Until::Flushed, left, now);
    }

    /// A text is not UTF-8. Returns that the connection is not open any more.
    fn not_utf8(&mut self, id: ConnId, now: Micros) -> bool {
        let cause = Cause::InvalidData;
        let reason = "text that is not UTF-8";
        self.core.shut(id, cause, cause.close_code(), reason, now);
        false
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

    /// Looks through bytes of a peer whose connection is closing for its close frame.
    fn skipped(&mut self, id: ConnId, bytes: &[u8]) {
        let Some(conn) = self.core.table.get_mut(id) else {
            return;
        };
        let Phase::Closing(closing) = &mut conn.phase else {
            return;
        };
        if closing.until == Until::PeerCloses && closing.finder.advance(bytes).is_break() {
            self.core.peer_closed_too(id);
        }
    }

    // ---- contexts ----

    fn context(&self) -> Box<WebSocketContext> {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(0);
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
