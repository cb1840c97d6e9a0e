//! What the client of a session sends, and what is sent to it.

use super::live_session::ClientPlace;
use super::session_due::Due;
use super::session_key::SessionKey;
use super::session_table::SessionLeg;
use super::waiting_clients::WaitingClient;
use crate::base::cause::Cause;
use crate::base::id::ConnId;
use crate::base::sabotage::{self, Bug};
use crate::bridge::bridge::Bridge;
use crate::engine::{HeartbeatText, Io, Message, SendOutcome};
use crate::host::{AckWatch, ClientLeg, control_units, heartbeat_text, wanted_sign};
use crate::pulse::{ClientFrame, FrameEffect, PulseText, SessionFault, ShortControl};

/// A protocol error (RFC 6455 §7.4.1).
const PROTOCOL_ERROR: u16 = 1002;
/// A message is too big.
const TOO_BIG: u16 = 1009;
/// Normal closure: for a service whose close frame had no code.
const NORMAL: u16 = 1000;
/// The code that stands for a close frame without one (RFC 6455 §7.1.5). It is never sent.
const NO_CODE: u16 = 1005;

impl Bridge {
    /// Handles a message of a connection of the bridge that is not linked.
    pub(in crate::bridge) fn leg_message(&mut self, io: &mut Io<'_>, id: ConnId, message: Message) {
        match self.sessions.legs.get(&id).copied() {
            Some(SessionLeg::Client(key)) => self.client_message(io, key, id, message),
            Some(SessionLeg::Upstream(key)) => self.upstream_message(io, key, message),
            None => match self.sessions.waiting.take(id) {
                Some(WaitingClient::Resuming(client)) => self.first_frame(io, *client, &message),
                Some(waiting @ WaitingClient::Dialing) => {
                    self.sessions.waiting.set(id, waiting);
                    let why = "a message before the hello";
                    io.close_for(id, Cause::PROTOCOL, PROTOCOL_ERROR, why);
                }
                Some(waiting) => self.sessions.waiting.set(id, waiting),
                // The leg has lost its session and is about to close.
                None => {}
            },
        }
    }

    fn client_message(&mut self, io: &mut Io<'_>, key: SessionKey, id: ConnId, message: Message) {
        let message = match &message {
            Message::Text(text) => match PulseText::of(text) {
                PulseText::Control(json) => return self.client_frame(io, key, id, json),
                PulseText::Application(own) if own.len() < text.len() => {
                    Message::text(own.to_owned())
                }
                PulseText::Application(_) => message,
            },
            Message::Binary(_) => message,
            _ => return,
        };
        self.pass_to_upstream(io, key, id, message);
    }

    /// Passes a message of the application to the upstream. It counts as received when the
    /// connection to the upstream has taken it: what ends that connection ends the session, too.
    fn pass_to_upstream(&mut self, io: &mut Io<'_>, key: SessionKey, id: ConnId, message: Message) {
        let len = message.len();
        let Some(session) = self.sessions.live.get(&key) else {
            return;
        };
        let most = self.message_bytes_max(io, &session.route);
        if len > most {
            let why = format!("a message of {len} bytes, at most {most} are allowed");
            return io.close_for(id, Cause::TOO_BIG, TOO_BIG, &why);
        }
        // The upstream has closed, and the client hears of that.
        let Some(upstream) = session.upstream() else {
            return;
        };
        let outcome = io.send(upstream, message);
        if let SendOutcome::Refused(_) = outcome
            && !sabotage::on(Bug::AcknowledgedUnsent)
        {
            return;
        }
        let now = io.now();
        if let Some(session) = self.sessions.live.get_mut(&key) {
            session.pulse.on_message(len, now);
        }
        self.sessions.sync_tokens(key);
        if outcome == SendOutcome::Pending {
            self.pause_client(io, key);
        }
        self.acknowledge(io, key);
    }

    fn client_frame(&mut self, io: &mut Io<'_>, key: SessionKey, id: ConnId, json: &str) {
        io.spend(control_units(json));
        let frame = match ClientFrame::parse(json) {
            Ok(frame) => frame,
            Err(fault) => {
                let why = fault.to_string();
                return io.close_for(id, Cause::PROTOCOL, PROTOCOL_ERROR, &why);
            }
        };
        let Some(session) = self.sessions.live.get_mut(&key) else {
            return;
        };
        let effect = session.pulse.on_frame(frame, io.now());
        // A frame of the client proves that the hello has arrived.
        self.sessions.sync_tokens(key);
        let effect = match effect {
            Ok(effect) => effect,
            Err(fault) => return refuse_frame(io, id, &fault),
        };
        let Some(session) = self.sessions.live.get_mut(&key) else {
            return;
        };
        match effect {
            FrameEffect::Answer(answer) => {
                if let Some((leg, pulse)) = session.attached() {
                    leg.say_received(io, pulse, &answer);
                }
            }
            FrameEffect::Pong(number) => {
                io.heartbeat_answered(id, number);
            }
            FrameEffect::Told(ClientFrame::State(state)) => {
                session.wanted_sign = wanted_sign(state.want_ms);
                self.plan_sign(io, key);
            }
            FrameEffect::Told(ClientFrame::Report(report)) => {
                self.take_report(io, key, id, report.as_deref());
            }
            FrameEffect::Ignored(frame) => self.sessions.counts.count_ignored(frame),
            _ => {}
        }
        self.charge_session(io, key);
        if self.close_if_over(io, key) {
            return;
        }
        self.send_more(io, key);
        self.control_upstream(io, key);
    }

    /// Tells the client what was received, if that is due, or plans it.
    pub(super) fn acknowledge(&mut self, io: &mut Io<'_>, key: SessionKey) {
        let Some(session) = self.sessions.live.get_mut(&key) else {
            return;
        };
        if let Some((leg, pulse)) = session.attached() {
            leg.acknowledge(io, pulse);
        }
        if let Some(at) = session.pulse.ack_at() {
            self.plan(io, key, Due::Ack, at);
        }
    }

    /// Sends to the client what waits for it, as far as its connection takes it. Returns how
    /// many messages were sent.
    pub(super) fn send_more(&mut self, io: &mut Io<'_>, key: SessionKey) -> usize {
        let session = self.sessions.live.get_mut(&key);
        let Some((leg, pulse)) = session.and_then(|session| session.attached()) else {
            return 0;
        };
        let step = leg.send_more(io, pulse);
        if step.sent > 0 {
            self.plan(io, key, Due::Acks, io.now() + ClientLeg::ACKS_STEP);
        }
        if step.has_sent_end {
            self.plan(io, key, Due::End, io.now() + AckWatch::STEP);
        }
        if step.has_more {
            self.plan(io, key, Due::Send, io.now());
        }
        step.sent
    }

    /// Closes the connection of a client that acknowledges nothing.
    pub(super) fn watch_acks(&mut self, io: &mut Io<'_>, key: SessionKey) {
        let session = self.sessions.live.get_mut(&key);
        // A client that is told of the end of its session is watched on its own.
        let session = session.filter(|session| session.upstream().is_some());
        if let Some((leg, pulse)) = session.and_then(|session| session.attached())
            && leg.watch_acks(io, pulse)
        {
            self.plan(io, key, Due::Acks, io.now() + ClientLeg::ACKS_STEP);
        }
    }

    /// Handles a connection that has taken all that waited for it.
    pub(in crate::bridge) fn leg_writable(&mut self, io: &mut Io<'_>, id: ConnId) {
        match self.sessions.legs.get(&id).copied() {
            Some(SessionLeg::Client(key)) => {
                if let Some(session) = self.sessions.live.get_mut(&key)
                    && let Some(leg) = session.open_leg()
                {
                    leg.is_blocked = false;
                }
                self.send_more(io, key);
            }
            Some(SessionLeg::Upstream(key)) => self.read_client(io, key),
            None => self.close_finished(io, id),
        }
    }

    /// Stops reading from the client, because the upstream is behind.
    fn pause_client(&mut self, io: &mut Io<'_>, key: SessionKey) {
        let Some(session) = self.sessions.live.get_mut(&key) else {
            return;
        };
        if let Some(leg) = session.open_leg().filter(|leg| !leg.is_paused) {
            leg.is_paused = true;
            io.pause_reading(leg.id);
            self.plan_sign(io, key);
        }
    }

    /// Reads from the client again.
    fn read_client(&mut self, io: &mut Io<'_>, key: SessionKey) {
        let Some(session) = self.sessions.live.get_mut(&key) else {
            return;
        };
        if sabotage::on(Bug::ClientStaysPaused) {
            return;
        }
        if let Some(leg) = session.open_leg().filter(|leg| leg.is_paused) {
            leg.is_paused = false;
            io.resume_reading(leg.id);
        }
    }

    /// Plans when the client hears something although there is nothing to say.
    pub(super) fn plan_sign(&mut self, io: &mut Io<'_>, key: SessionKey) {
        let Some(session) = self.sessions.live.get_mut(&key) else {
            return;
        };
        let wanted = session.wanted_sign;
        let leg = session.open_leg();
        if let Some(at) = leg.and_then(|leg| leg.sign_at(io, wanted)) {
            self.plan(io, key, Due::Sign, at);
        }
    }

    /// Lets the client hear something.
    pub(super) fn give_sign(&mut self, io: &mut Io<'_>, key: SessionKey) {
        let session = self.sessions.live.get_mut(&key);
        if let Some((leg, pulse)) = session.and_then(|session| session.attached()) {
            leg.give_sign(io, pulse);
        }
        self.plan_sign(io, key);
    }

    /// Returns the heartbeat of a client's connection: see [`ping`](crate::host::ClientLeg::ping).
    pub(in crate::bridge) fn session_heartbeat(
        &mut self,
        io: &Io<'_>,
        id: ConnId,
        number: u64,
    ) -> HeartbeatText {
        let ping = match self.sessions.legs.get(&id).copied() {
            Some(SessionLeg::Client(key)) => self.session_ping(io, key, number),
            Some(SessionLeg::Upstream(_)) | None => None,
        };
        heartbeat_text(ping, number)
    }

    fn session_ping(&mut self, io: &Io<'_>, key: SessionKey, number: u64) -> Option<ShortControl> {
        let first_ms = self.first_ms(io, &self.sessions.live.get(&key)?.route);
        let (leg, pulse) = self.sessions.live.get_mut(&key)?.attached()?;
        Some(leg.ping(io, pulse, (number, first_ms)))
    }

    /// Closes the client's connection if its session is over: the upstream has closed, and the
    /// client has acknowledged everything or had its time. Returns whether it is over.
    pub(super) fn close_if_over(&mut self, io: &mut Io<'_>, key: SessionKey) -> bool {
        let Some(session) = self.sessions.live.get(&key) else {
            return true;
        };
        let is_over = session.upstream().is_none() && session.pulse.sent().is_empty();
        if is_over {
            self.close_ended(io, key);
        }
        is_over
    }

    /// Handles a client that has not acknowledged the end of its session: closes its connection if
    /// it acknowledges nothing.
    pub(super) fn end_late(&mut self, io: &mut Io<'_>, key: SessionKey) {
        let hold = self.sessions.limits.hold;
        let Some(session) = self.sessions.live.get_mut(&key) else {
            return;
        };
        let client = session.client();
        let silent = session.end_watch.silent_for(io.now(), &session.pulse);
        let is_late = silent > AckWatch::timeout(io, client) + hold;
        match is_late || sabotage::on(Bug::EndHurried) {
            true => self.close_ended(io, key),
            false => self.plan(io, key, Due::End, io.now() + AckWatch::STEP),
        }
    }

    /// Closes the client's connection with the close frame of the upstream, and ends the session.
    pub(super) fn close_ended(&mut self, io: &mut Io<'_>, key: SessionKey) {
        let first = (Cause::PEER_CLOSED, self.upstream_class());
        let Some(session) = self.remove_session(io, key, first) else {
            return;
        };
        if let ClientPlace::Attached(leg) = session.place {
            let (code, reason) = match &session.ended {
                Some(end) => (end.code, &*end.reason),
                None => (NORMAL, ""),
            };
            let code = if code == NO_CODE { NORMAL } else { code };
            io.resume_reading(leg.id);
            io.close_for(leg.id, Cause::PARTNER_ENDED, code, reason);
        }
    }
}

/// Closes the connection of a client that sends what its session does not allow.
fn refuse_frame(io: &mut Io<'_>, id: ConnId, fault: &SessionFault) {
    io.close_for(id, Cause::PROTOCOL, PROTOCOL_ERROR, &fault.to_string());
}
