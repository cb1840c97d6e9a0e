//! Opening a connection: preamble, request head, verdict, upgrade.

use super::conn::{Conn, Opening, Phase};
use super::engine::Engine;
use super::flags::Flag;
use super::handler::Handler;
use super::retry::{self, retry_after_s};
use super::verdict::{Upgrade, Verdict};
use super::work::REQUEST_UNITS;
use crate::base::cause::Cause;
use crate::base::id::ConnId;
use crate::base::sabotage::{self, Bug};
use crate::base::time::Micros;
use crate::health::LifeSign;
use crate::transport::Preamble;
use crate::wire::http::{self, ParsedHead, Reply, ReplyForm, Request};

/// The most bytes of a preamble, and of what a peer sends before its request is answered.
const EARLY_MAX: usize = 8 * 1024;

impl<H: Handler> Engine<H> {
    pub(super) fn process_head(&mut self, id: ConnId, bytes: &[u8], now: Micros) {
        self.mark_heard(id, LifeSign::Data, now);
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
        let mut is_encrypted = conn.flags.has(Flag::Encrypted);
        if let Some(opening) = opening {
            opening.bytes.reserve_exact(bytes.len());
            opening.bytes.extend_from_slice(bytes);
            if opening.deferred.is_some() {
                if opening.bytes.len() > EARLY_MAX {
                    self.refuse_early(id, now);
                } else if !self.core.update_held_head(id) {
                    self.close_no_head_room(id, now);
                }
                return;
            }
            known = opening.bytes.len() - bytes.len();
            gathered = std::mem::take(&mut opening.bytes);
            data = &gathered;
        }
        if !conn.flags.has(Flag::PreambleRead) {
            match self.handler.on_preamble(peer_addr, data) {
                Preamble::Partial if data.len() < EARLY_MAX => {
                    let bytes = data.to_vec();
                    return self.keep_head(id, bytes, None, None, now);
                }
                Preamble::Invalid(why) => {
                    let reply = Reply::error(400, why);
                    self.core
                        .reply(id, &reply, ReplyForm::Whole, Cause::BAD_REQUEST, now);
                    return;
                }
                Preamble::None => {}
                Preamble::Whole {
                    len,
                    client,
                    encrypted,
                } if len <= EARLY_MAX => {
                    data = &data[len.min(data.len())..];
                    known = 0;
                    // A connection that sends only a preamble has made no request: it is a proxy's
                    // health check.
                    only_preamble = true;
                    peer_addr = client.unwrap_or(peer_addr);
                    conn.set_peer_addr(peer_addr);
                    if client.is_some() {
                        conn.flags.set(Flag::Proxied);
                    }
                    if encrypted {
                        is_encrypted = true;
                        conn.flags.set(Flag::Encrypted);
                    }
                }
                Preamble::Partial | Preamble::Whole { .. } => {
                    let reply = Reply::error(400, "a preamble above 8192 bytes");
                    self.core
                        .reply(id, &reply, ReplyForm::Whole, Cause::BAD_REQUEST, now);
                    return;
                }
            }
            conn.flags.set(Flag::PreambleRead);
            if only_preamble {
                self.core.leave_opening(id);
            }
            if data.is_empty() {
                return;
            }
        }
        let most = self.core.config.max_head_bytes;
        match http::parse(data, known, most, peer_addr, is_encrypted) {
            // The usual case: a head that arrived whole is parsed in place.
            ParsedHead::Complete(request, len) => {
                if !self.hand_over(id, &request, data) {
                    self.process_request(id, request, &data[len..], now);
                }
            }
            ParsedHead::Refused(reply, form) => {
                self.core.reply(id, &reply, form, Cause::BAD_REQUEST, now)
            }
            ParsedHead::Partial => {
                if gathered.len() != data.len() {
                    gathered = data.to_vec();
                }
                self.keep_head(id, gathered, None, None, now);
            }
        }
    }

    /// Keeps the received part of a request, or the bytes behind a request whose verdict is
    /// deferred.
    fn keep_head(
        &mut self,
        id: ConnId,
        bytes: Vec<u8>,
        deferred: Option<Box<Request>>,
        verdict_due: Option<Micros>,
        now: Micros,
    ) {
        self.core.leave_opening(id);
        let deferred = deferred.map(|mut request| {
            request.keep_for_answer();
            request
        });
        if let Some(conn) = self.core.table.get_mut(id) {
            conn.phase = Phase::Opening(Some(Box::new(Opening {
                bytes,
                deferred,
                verdict_due,
                held: 0,
            })));
        }
        if !self.core.update_held_head(id) {
            self.close_no_head_room(id, now);
        }
    }

    fn close_no_head_room(&mut self, id: ConnId, now: Micros) {
        let reply =
            Reply::error(503, "no memory for the request").with_retry_after(retry_after_s(id));
        self.core
            .reply(id, &reply, ReplyForm::Whole, Cause::BUFFERS_FULL, now);
    }

    /// Refuses a peer that has sent too much behind a request whose verdict is deferred.
    fn refuse_early(&mut self, id: ConnId, now: Micros) {
        let reply = Reply::error(
            400,
            "the client sent more than 8192 bytes before its request was answered",
        );
        self.core
            .reply(id, &reply, ReplyForm::Whole, Cause::BAD_REQUEST, now);
    }

    fn process_request(&mut self, id: ConnId, request: Box<Request>, tail: &[u8], now: Micros) {
        self.core.spend(REQUEST_UNITS);
        let form = request.reply_form();
        if let Some(reply) = request.refusal(self.handler.accepts_options(request.path())) {
            self.core.reply(id, &reply, form, Cause::BAD_REQUEST, now);
            return;
        }
        let no_room = self
            .core
            .table
            .get(id)
            .is_some_and(|c| c.flags.has(Flag::Refused));
        let check = self.call(now, |handler, io| handler.on_health_check(io, id, &request));
        if let Some(reply) = check {
            self.core.reply(id, &reply, form, Cause::ANSWERED, now);
        } else if self.core.drain.is_shutting_down() {
            self.call(now, |handler, io| handler.on_unserved(io, id, &request));
            let reply = Reply::error(503, "service restart").with_retry_after(retry_after_s(id));
            self.core.reply(id, &reply, form, Cause::DRAINING, now);
        } else if no_room {
            self.call(now, |handler, io| handler.on_unserved(io, id, &request));
            self.core.reply(
                id,
                &retry::capacity_reply(id),
                form,
                Cause::AT_CAPACITY,
                now,
            );
        } else {
            let verdict = self.call(now, |handler, io| handler.on_request(io, id, &request));
            self.apply_verdict(id, request, tail, verdict, now);
            self.update_half_open(id);
        }
    }

    /// Applies the host's verdict on a deferred request.
    pub(super) fn apply_answer(&mut self, id: ConnId, verdict: Verdict, now: Micros) {
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
        self.apply_verdict(id, request, &tail, verdict, now);
        self.update_half_open(id);
    }

    fn apply_verdict(
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
        if !matches!(verdict, Verdict::Reply { .. }) {
            conn.flags.set(Flag::NeedsOnClose);
        }
        if !matches!(conn.phase, Phase::Opening(_)) {
            // The host closed the connection while the verdict was deferred.
            return;
        }
        match verdict {
            Verdict::Upgrade(upgrade) => {
                self.upgrade(id, &request, tail, upgrade, now);
            }
            Verdict::Reply { reply, cause } => {
                let cause = self.core.stats.causes.resolve(cause);
                self.core
                    .reply(id, &reply, request.reply_form(), cause, now);
            }
            Verdict::Defer | Verdict::DeferFor(_) if tail.len() > EARLY_MAX => {
                self.refuse_early(id, now);
            }
            Verdict::Defer => self.keep_head(id, tail.to_vec(), Some(request), None, now),
            Verdict::DeferFor(time) => {
                let due = Some(now + time);
                self.keep_head(id, tail.to_vec(), Some(request), due, now);
                self.core.arm(id);
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
            let reply = Reply::error(
                500,
                "the host's verdict on the request cannot be carried out",
            );
            self.core
                .reply(id, &reply, request.reply_form(), Cause::INTERNAL, now);
            return;
        }
        let switched =
            http::switching_protocols(request, upgrade.protocol.as_deref(), &upgrade.headers);
        let response = match switched {
            Ok(response) => response,
            Err(reply) => {
                self.core
                    .reply(id, &reply, request.reply_form(), Cause::BAD_REQUEST, now);
                return;
            }
        };
        let which = match upgrade.policy.map(|p| self.core.policies.adopt(p)) {
            None => self.core.policies.newest(),
            Some(Some(own)) => own,
            Some(None) => {
                let reply = Reply::error(503, "65436 different policies are in use");
                self.core
                    .reply(id, &reply, request.reply_form(), Cause::AT_CAPACITY, now);
                return;
            }
        };
        self.core.leave_opening(id);
        let Some(conn) = self.core.table.get_mut(id) else {
            return;
        };
        conn.class = upgrade.class;
        conn.policy = which;
        if !self.core.open(id, now) {
            return;
        }
        if upgrade.identified {
            self.core.identify(id);
        }
        self.core.queue_control(id, &response);
        self.call(now, |handler, io| handler.on_open(io, id));
        let is_linked = |c: &Conn| c.flags.has(Flag::Linked);
        if tail.is_empty() {
        } else if self.core.table.get(id).is_some_and(is_linked) {
            // The partner may not be open yet.
            if !sabotage::on(Bug::EarlyFramesLost) {
                self.keep_leftover(id, tail, now);
            }
        } else {
            self.process_bytes(id, tail, now);
        }
    }
}
