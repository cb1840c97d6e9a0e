//! Dialled connections: the connect, the request, the answer.

use super::conn::Phase;
use super::dial::{DialAddress, ResponseVerdict};
use super::ending::EndingDraft;
use super::engine::Engine;
use super::handler::Handler;
use super::handshake_out::DialStage;
use super::work::REQUEST_UNITS;
use crate::base::cause::{Cause, EndCode, cut_reason};
use crate::base::id::ConnId;
use crate::base::sabotage::{self, Bug};
use crate::base::time::Micros;
use crate::wire::http::{BodyReader, BodyStep, ParsedResponse, Response, parse_response};
use std::io::{self, ErrorKind};

/// The longest head of a response, in bytes.
const HEAD_MAX: usize = 16 * 1024;

/// The most connects begun in one turn, so that a burst of them does not delay other connections.
const DIALS_PER_TURN: usize = 256;

impl<H: Handler> Engine<H> {
    /// Appends up to 256 pending connects to `into`. The rest follow next turn. The driver connects
    /// without blocking, and calls [`on_connected`](Engine::on_connected),
    /// [`on_connect_error`](Engine::on_connect_error),
    /// [`on_connect_denied`](Engine::on_connect_denied) or
    /// [`on_connect_busy`](Engine::on_connect_busy).
    pub fn take_dials(&mut self, into: &mut Vec<(ConnId, DialAddress)>) {
        let some = self.core.dials.len().min(DIALS_PER_TURN);
        into.extend(self.core.dials.drain(..some));
    }

    /// Returns whether the connect of a dialled connection is not complete yet.
    pub fn is_connecting(&self, id: ConnId) -> bool {
        self.core
            .table
            .get(id)
            .is_some_and(|c| matches!(&c.phase, Phase::Dialing(d) if d.stage == DialStage::Connect))
    }

    /// Returns whether a dialled connection exists and is not open yet.
    fn is_dialing(&self, id: ConnId) -> bool {
        let conn = self.core.table.get(id);
        conn.is_some_and(|c| matches!(c.phase, Phase::Dialing(_)))
    }

    /// Handles a connect that is complete: the request is sent.
    pub fn on_connected(&mut self, id: ConnId, now: Micros) {
        let Some(conn) = self.core.table.get_mut(id) else {
            return;
        };
        let Phase::Dialing(dialing) = &mut conn.phase else {
            return;
        };
        if dialing.stage != DialStage::Connect {
            return;
        }
        dialing.stage = DialStage::Answer;
        dialing.due = now + dialing.answer_timeout;
        let request = std::mem::take(&mut dialing.request);
        self.core.update_held_head(id);
        self.core.arm(id);
        self.core.queue_control(id, &request);
    }

    /// Handles a connect for which the server has no room now: the queue of a Unix socket is full.
    /// [`take_dials`](Engine::take_dials) names it again after 10 ms, until its connect timeout.
    pub fn on_connect_busy(&mut self, id: ConnId, address: DialAddress, now: Micros) {
        self.core.dial_again(id, address, now);
    }

    /// Handles a connect for which there is no descriptor, or no local port.
    pub fn on_connect_denied(&mut self, id: ConnId, error: &io::Error, now: Micros) {
        self.end_dial(id, Cause::AT_CAPACITY, &error.to_string(), now);
    }

    /// Handles a connect that failed.
    pub fn on_connect_error(&mut self, id: ConnId, error: &io::Error, now: Micros) {
        let is_timeout = error.kind() == ErrorKind::TimedOut;
        let cause = match is_timeout {
            true => Cause::CONNECT_TIMEOUT,
            false => Cause::CONNECT_FAILED,
        };
        self.end_dial(id, cause, &error.to_string(), now);
    }

    /// Ends a connection that was dialled and is not open.
    pub(super) fn end_dial(&mut self, id: ConnId, cause: Cause, reason: &str, now: Micros) {
        if !self.is_dialing(id) {
            return;
        }
        let mut end = EndingDraft::of(cause);
        end.reason = cut_reason(reason).into();
        self.core.mark_dead(id, end);
        self.settle(now);
    }

    /// Handles bytes of the server's answer.
    pub(super) fn process_answer(&mut self, id: ConnId, bytes: &[u8], now: Micros) {
        let Some(conn) = self.core.table.get_mut(id) else {
            return;
        };
        let Phase::Dialing(dialing) = &mut conn.phase else {
            return;
        };
        if dialing.refusal.is_some() {
            return self.process_body(id, bytes, now);
        }
        let known = dialing.bytes.len();
        let mut gathered = std::mem::take(&mut dialing.bytes);
        let data = if known == 0 {
            bytes
        } else {
            gathered.extend_from_slice(bytes);
            &gathered
        };
        let key = dialing.key.clone();
        match parse_response(data, known, HEAD_MAX) {
            ParsedResponse::Complete(response, len) => {
                self.core.spend(REQUEST_UNITS);
                let tail = data[len..].to_vec();
                if response.status() != 101 {
                    return self.begin_refusal(id, response, &tail, now);
                }
                if let Err(fault) = response.check_upgrade(&key) {
                    return self.end_dial(id, Cause::BAD_ANSWER, &fault.to_string(), now);
                }
                let verdict = self.call(now, |handler, io| handler.on_response(io, id, &response));
                match verdict {
                    // The host has closed it in this call.
                    _ if !self.is_dialing(id) => {}
                    ResponseVerdict::Open => self.open_dialed(id, tail, now),
                    ResponseVerdict::Refuse(why) => {
                        self.end_dial(id, Cause::BAD_ANSWER, &why, now);
                    }
                }
            }
            ParsedResponse::Partial => {
                if known == 0 {
                    gathered = bytes.to_vec();
                }
                if let Some(conn) = self.core.table.get_mut(id)
                    && let Phase::Dialing(dialing) = &mut conn.phase
                {
                    dialing.bytes = gathered;
                }
                self.count_answer(id, now);
            }
            ParsedResponse::Invalid(fault) => {
                self.end_dial(id, Cause::BAD_ANSWER, &fault.to_string(), now);
            }
        }
    }

    /// Handles a response that does not open a WebSocket: its body is read.
    fn begin_refusal(&mut self, id: ConnId, response: Box<Response>, tail: &[u8], now: Micros) {
        match BodyReader::new(&response) {
            Ok(body) => {
                if let Some(conn) = self.core.table.get_mut(id)
                    && let Phase::Dialing(dialing) = &mut conn.phase
                {
                    dialing.refusal = Some((response, body));
                }
                self.process_body(id, tail, now);
            }
            Err(fault) => self.end_dial(id, Cause::BAD_ANSWER, &fault.to_string(), now),
        }
    }

    fn process_body(&mut self, id: ConnId, bytes: &[u8], now: Micros) {
        let Some(conn) = self.core.table.get_mut(id) else {
            return;
        };
        let Phase::Dialing(dialing) = &mut conn.phase else {
            return;
        };
        let Some((_, body)) = &mut dialing.refusal else {
            return;
        };
        self.core
            .work
            .spend_bytes(bytes.len(), &mut self.core.stats);
        match body.push(bytes) {
            Ok(BodyStep::More) => self.count_answer(id, now),
            Ok(BodyStep::Complete) => self.finish_refusal(id, now),
            Err(fault) => self.end_dial(id, Cause::BAD_ANSWER, &fault.to_string(), now),
        }
    }

    /// Handles the end of the server's stream before the answer was complete.
    pub(super) fn end_answer(&mut self, id: ConnId, now: Micros) {
        let Some(conn) = self.core.table.get_mut(id) else {
            return;
        };
        let Phase::Dialing(dialing) = &mut conn.phase else {
            return;
        };
        let is_whole = match &mut dialing.refusal {
            Some((_, body)) => body.finish_at_eof().is_ok(),
            None => false,
        };
        if is_whole {
            self.finish_refusal(id, now);
        } else {
            let why = "the server ended the stream before its answer was complete";
            self.end_dial(id, Cause::PEER_EOF, why, now);
        }
    }

    /// Hands a complete response that opens no WebSocket to the host, and ends the connection.
    fn finish_refusal(&mut self, id: ConnId, now: Micros) {
        let Some(conn) = self.core.table.get_mut(id) else {
            return;
        };
        let Phase::Dialing(dialing) = &mut conn.phase else {
            return;
        };
        let Some((mut response, body)) = dialing.refusal.take() else {
            return;
        };
        let (body, is_cut) = body.into_body();
        response.set_body(body, is_cut);
        self.call(now, |handler, io| handler.on_response(io, id, &response));
        let status = response.status();
        let mut end = EndingDraft::of(Cause::NOT_UPGRADED);
        end.code = EndCode::Http(status);
        end.reason = format!("the server answered {status}").into();
        self.core.mark_dead(id, end);
    }

    /// Counts the received part of an answer.
    fn count_answer(&mut self, id: ConnId, now: Micros) {
        if !self.core.update_held_head(id) {
            let why = "no memory for the answer";
            self.end_dial(id, Cause::BUFFERS_FULL, why, now);
        }
    }

    /// Opens a dialled connection. The bytes behind the answer are frames; they are processed in
    /// the next turn, when the partner of a linked connection is open, too.
    fn open_dialed(&mut self, id: ConnId, tail: Vec<u8>, now: Micros) {
        self.core.leave_opening(id);
        if !self.core.open(id, now) {
            return;
        }
        self.call(now, |handler, io| handler.on_open(io, id));
        if !tail.is_empty() && !sabotage::on(Bug::TailLost) {
            self.keep_leftover(id, &tail, now);
        }
        // Its partner may have been open before, with input for it.
        self.core.resume_partner(id, now);
    }
}
