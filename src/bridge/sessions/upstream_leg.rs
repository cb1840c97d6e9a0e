//! What the upstream of a session sends, and when it is not read.

use super::live_session::{ClientPlace, UpstreamPlace};
use super::session_due::Due;
use super::session_key::SessionKey;
use super::session_table::{LastClose, SessionLeg};
use super::waiting_clients::WaitingClient;
use crate::base::cause::{Cause, EndCode};
use crate::base::id::{Class, ConnId};
use crate::base::sabotage::{self, Bug};
use crate::base::time::Micros;
use crate::bridge::bridge::Bridge;
use crate::bridge::pair_ends::{Leg, partner_close};
use crate::engine::{Ending, Io, Message, PairEnd, Reply};
use crate::host::{HoldEnd, OpenRefusal, code_of};
use crate::pulse::{LedgerEntry, SessionEnd};

/// The time after which it is looked again whether there is room.
const ROOM_STEP: Micros = Micros::from_secs(1);

/// How long the upstream of a client that is away may be kept waiting.
const FULL_TIME: Micros = Micros::from_secs(15);

impl Bridge {
    /// Keeps a message of the upstream for the client, and sends it if the client is there.
    pub(super) fn upstream_message(&mut self, io: &mut Io<'_>, key: SessionKey, message: Message) {
        if !matches!(message, Message::Text(_) | Message::Binary(_)) {
            return;
        }
        let Some(session) = self.sessions.live.get_mut(&key) else {
            return;
        };
        // The limit of the session's beginning: the settings may allow longer ones since.
        let (len, most) = (message.len(), session.pulse.sent().message_bytes_max());
        let taken = match len <= most {
            true => session.pulse.queue(LedgerEntry::Message(message)).is_ok(),
            false => false,
        };
        if !taken && sabotage::on(Bug::FullDropped) {
            return;
        }
        if !taken {
            if let Some(upstream) = session.upstream() {
                let why = format!("a message of {len} bytes, at most {most} are allowed");
                io.close_for(upstream, Cause::TOO_BIG, Cause::TOO_BIG.close_code(), &why);
            }
            return;
        }
        self.charge_session(io, key);
        self.send_more(io, key);
        self.control_upstream(io, key);
    }

    /// Reads from the upstream while there is room for what it sends, and not otherwise: nothing is
    /// dropped.
    pub(super) fn control_upstream(&mut self, io: &mut Io<'_>, key: SessionKey) {
        let is_heavy = self.is_heavy(key);
        let Some(session) = self.sessions.live.get_mut(&key) else {
            return;
        };
        let is_held = session.hold().is_some();
        // The last eighth is for messages that have arrived in part: at the limit itself their
        // connections are closed, and their sessions with them.
        let is_short = io.is_memory_short() || is_heavy;
        let is_ignored = sabotage::on(Bug::RoomIgnored) || sabotage::on(Bug::FullDropped);
        let stops = (is_short || !session.pulse.sent().has_room()) && !is_ignored;
        let UpstreamPlace::Open { id, is_paused } = &mut session.upstream else {
            return;
        };
        let was_paused = std::mem::replace(is_paused, stops);
        let id = *id;
        match (was_paused, stops) {
            (false, true) => io.pause_reading(id),
            (true, false) => io.resume_reading(id),
            _ => {}
        }
        if stops && is_short {
            self.plan(io, key, Due::Room, io.now() + ROOM_STEP);
        }
        if stops && is_held {
            self.plan(io, key, Due::Full, io.now() + FULL_TIME);
        } else {
            self.sessions.disarm(key, Due::Full);
        }
    }

    /// Ends the hold of a session whose upstream was not read for long enough.
    pub(super) fn end_full(&mut self, io: &mut Io<'_>, key: SessionKey) {
        let session = self.sessions.live.get(&key);
        let is_paused = session.is_some_and(|session| {
            matches!(
                session.upstream,
                UpstreamPlace::Open {
                    is_paused: true,
                    ..
                }
            )
        });
        if is_paused {
            self.end_hold(io, key, HoldEnd::Full);
        }
    }

    /// Handles the end of a connection to the upstream. Returns whether it was the leg of a
    /// session.
    pub(in crate::bridge) fn session_upstream_ended(
        &mut self,
        io: &mut Io<'_>,
        id: ConnId,
        end: &Ending,
    ) -> bool {
        if self.sessions.last_closes.remove(&id).is_some() {
            return true;
        }
        let Some(SessionLeg::Upstream(key)) = self.sessions.legs.get(&id).copied() else {
            return false;
        };
        self.sessions.legs.remove(&id);
        let Some(session) = self.sessions.live.get_mut(&key) else {
            return true;
        };
        session.upstream = UpstreamPlace::Closed { id };
        match code_of(io, id, end) {
            EndCode::Close(code) if end.cause == Cause::PEER_CLOSED => {
                let ended = SessionEnd::new(code, &end.reason);
                session.ended = Some(ended.clone());
                // An end always fits.
                let _ = session.pulse.queue(LedgerEntry::End(ended));
                self.charge_session(io, key);
                self.send_more(io, key);
                if sabotage::on(Bug::EndOvertakes) {
                    self.close_ended(io, key);
                }
            }
            _ => self.lose_session(io, key, end),
        }
        true
    }

    /// Ends a session whose upstream was lost: nothing is promised beyond that. The client still
    /// gets what its connection has taken, if it is there.
    fn lose_session(&mut self, io: &mut Io<'_>, key: SessionKey, end: &Ending) {
        let Some(session) = self.sessions.live.get(&key) else {
            return;
        };
        if session.hold().is_some() {
            return self.end_hold(io, key, HoldEnd::UpstreamLost);
        }
        let pair_end = PairEnd {
            cause: end.cause,
            class: end.class.unwrap_or(Class(0)),
            reason: end.reason.clone(),
        };
        let (code, reason) = partner_close(Leg::Upstream, &pair_end);
        let first = (end.cause, self.upstream_class());
        let Some(session) = self.remove_session(io, key, first) else {
            return;
        };
        match session.place {
            ClientPlace::Attached(leg) if leg.is_open => {
                io.resume_reading(leg.id);
                io.close_for(leg.id, Cause::PARTNER_ENDED, code, &reason);
            }
            // Its WebSocket is about to open.
            ClientPlace::Attached(leg) => {
                let reply = Reply::error(502, &reason);
                let refusal = OpenRefusal::of(&reply, Cause::PARTNER_ENDED);
                self.sessions
                    .waiting
                    .set(leg.id, WaitingClient::Refused(refusal));
            }
            ClientPlace::Held(_) => {}
        }
    }

    /// Closes the connection to the upstream of a session that is over, once the upstream has taken
    /// what the client sent.
    pub(super) fn close_upstream(&mut self, io: &mut Io<'_>, id: ConnId, code: u16, reason: &str) {
        let last = LastClose {
            code,
            reason: reason.into(),
        };
        io.resume_reading(id);
        self.sessions.last_closes.insert(id, last);
        if io.pending(id) == 0 {
            self.close_finished(io, id);
        }
    }

    /// Closes the connection to an upstream whose client has left, and which has taken everything.
    pub(super) fn close_finished(&mut self, io: &mut Io<'_>, id: ConnId) {
        if let Some(last) = self.sessions.last_closes.remove(&id) {
            io.close_for(id, Cause::PARTNER_ENDED, last.code, &last.reason);
        }
    }
}
