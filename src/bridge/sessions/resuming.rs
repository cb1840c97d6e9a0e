//! A client that wants its session back.

use super::live_session::ClientPlace;
use super::session_due::Due;
use super::session_key::SessionKey;
use super::session_owner::SessionOwner;
use super::session_table::SessionLeg;
use super::waiting_clients::{ResumingClient, WaitingClient};
use crate::base::cause::Cause;
use crate::base::id::ConnId;
use crate::base::sabotage::{self, Bug};
use crate::base::time::Micros;
use crate::bridge::bridge::Bridge;
use crate::engine::{Io, Message};
use crate::host::{
    AckWatch, ClientLeg, HoldEnd, LogIdentity, OpenRefusal, ResetReason, control_units,
    ends_session,
};
use crate::pulse::{Bye, ClientFrame, PulseText, ResumeToken, bye_frame};

/// The close code of a connection whose session has another one.
const REPLACED: u16 = 4_003;

/// A protocol error (RFC 6455 §7.4.1).
const PROTOCOL_ERROR: u16 = 1002;

impl Bridge {
    /// Handles the first message of a client that wants its session back. If the session is not
    /// here, a new one begins.
    pub(super) fn first_frame(&mut self, io: &mut Io<'_>, client: ResumingClient, first: &Message) {
        io.release(client.charged);
        let id = client.pending.client;
        let text = match first {
            Message::Text(text) => text.as_str(),
            _ => "",
        };
        let frame = match PulseText::of(text) {
            PulseText::Control(json) => {
                io.spend(control_units(json));
                ClientFrame::parse(json).ok()
            }
            PulseText::Application(_) => None,
        };
        let Some(ClientFrame::Resume { token, rx }) = frame else {
            let why = "the first message does not name a session to resume";
            return io.close_for(id, Cause::PROTOCOL, PROTOCOL_ERROR, why);
        };
        match self.find_session(io, &client, token) {
            Ok((key, token)) => match self.resume(io, key, &client, token, rx) {
                Ok(()) => self.asked.remove(id),
                Err(why) => self.begin_anew(io, client, why),
            },
            Err(why) => self.begin_anew(io, client, why),
        }
    }

    fn find_session(
        &self,
        io: &Io<'_>,
        client: &ResumingClient,
        token: Option<ResumeToken>,
    ) -> Result<(SessionKey, ResumeToken), ResetReason> {
        let token = token.ok_or(ResetReason::NoToken)?;
        let key = self.sessions.tokens.find(token);
        let key = key.ok_or(ResetReason::Unknown)?;
        let session = self.sessions.live.get(&key).ok_or(ResetReason::Unknown)?;
        let is_owner = |owner: &SessionOwner| session.owner.admits(owner);
        if !client.pending.session.as_deref().is_some_and(is_owner) {
            return Err(ResetReason::Foreign);
        }
        match io.now() - session.began > self.sessions.limits.session_max {
            true => Err(ResetReason::TooOld),
            false => Ok((key, token)),
        }
    }

    /// Gives a session the new connection of its client.
    fn resume(
        &mut self,
        io: &mut Io<'_>,
        key: SessionKey,
        client: &ResumingClient,
        token: ResumeToken,
        rx: u64,
    ) -> Result<(), ResetReason> {
        let id = client.pending.client;
        let Some(session) = self.sessions.live.get_mut(&key) else {
            return Err(ResetReason::Unknown);
        };
        if !session.pulse.tokens().admits(token) {
            return Err(ResetReason::Unknown);
        }
        if !session.pulse.may_resume(rx) {
            return Err(ResetReason::Mismatch);
        }
        let mut replaced = None;
        if let ClientPlace::Attached(old) = session.place {
            // A client that was kicked, or has left, does not keep its session by being quick.
            if let Some((cause, code)) = io.end_of(old.id)
                && ends_session(cause, code)
                && !sabotage::on(Bug::FinalResumed)
            {
                return Err(ResetReason::Unknown);
            }
            // Nothing is read from it any more before the client is told what was received.
            session.pulse.detach();
            if !sabotage::on(Bug::OldLegRead) {
                self.sessions.legs.remove(&old.id);
                replaced = Some(old.id);
            }
            self.sessions.counts.taken_over += 1;
            self.sessions.counts.losses += 1;
            let is_dirty = !session.pulse.sent().is_empty();
            self.sessions.counts.losses_unacknowledged += u64::from(is_dirty);
            let bye = bye_frame(&Bye::new("replaced", 0, 0));
            io.send(old.id, Message::text(bye));
            io.resume_reading(old.id);
            if !sabotage::on(Bug::OldLegRead) {
                let why = "the session is resumed elsewhere";
                io.close_for(old.id, Cause::REPLACED, REPLACED, why);
            }
        }
        if let Some(old) = replaced {
            self.note_leaving_client(old, key);
        }
        let Some(session) = self.sessions.live.get_mut(&key) else {
            return Err(ResetReason::Unknown);
        };
        let sent_again = session.pulse.sent().sent().saturating_sub(rx);
        let offer = ResumeToken::new(io.random_bytes());
        let resumed = session.pulse.resume(token, rx, offer);
        let received = resumed.map_err(|_| ResetReason::Mismatch)?;
        session.resumes += 1;
        session.block = client.pending.block;
        session.wanted_sign = None;
        session.end_watch = AckWatch::default();
        if let Some(owner) = &client.pending.session {
            session.owner.identity = owner.identity.clone();
        }
        let leg = ClientLeg::new(id);
        let before = std::mem::replace(&mut session.place, ClientPlace::Attached(leg));
        let mut held = Micros::ZERO;
        if let ClientPlace::Held(hold) = before {
            held = io.now() - hold.since;
            let charged = session.charged;
            self.sessions.counts.attached += 1;
            self.sessions.counts.holds_ended[HoldEnd::Resumed as usize] += 1;
            self.sessions.forget_hold(hold.booked(key), charged);
        }
        for due in [
            Due::Hold,
            Due::Full,
            Due::Ack,
            Due::Send,
            Due::Sign,
            Due::End,
        ] {
            self.sessions.disarm(key, due);
        }
        self.sessions.counts.sent_again += sent_again;
        self.sessions.legs.insert(id, SessionLeg::Client(key));
        self.sessions.sync_tokens(key);
        self.plan_session_expiry(io, key, client.pending.expires);
        self.charge_session(io, key);
        log::debug!(
            "pulse session={} state=resumed sent_again={sent_again}",
            key.0
        );
        self.tell_resumed(key, held, sent_again);
        self.greet(io, key, offer, true, received);
        self.close_if_over(io, key);
        self.control_upstream(io, key);
        Ok(())
    }

    /// Passes the request of a client whose session is not here to an upstream. Nothing is read
    /// from the client meanwhile.
    fn begin_anew(&mut self, io: &mut Io<'_>, client: ResumingClient, why: ResetReason) {
        self.sessions.counts.resets[why as usize] += 1;
        let id: ConnId = client.pending.client;
        let owner = client.pending.session.as_ref();
        if self.sessions.reset_lines.admit(io.now(), "pulse_reset") {
            log::info!(
                "pulse_reset id={id} why={why} route={} {}",
                client.pending.route.name,
                LogIdentity(owner.and_then(|owner| owner.identity.as_ref()))
            );
        }
        self.sessions.waiting.set(id, WaitingClient::Dialing);
        io.pause_reading(id);
        if let Err((cause, reply)) = self.dial(io, client.pending, client.request) {
            self.sessions.waiting.take(id);
            self.refuse_open(io, id, &OpenRefusal::of(&reply, cause));
        }
    }
}
