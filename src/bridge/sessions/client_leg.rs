//! What the client of a session sends, and what is sent to it.

use super::due_queue::Due;
use super::live_session::{ClientPlace, UpstreamPlace};
use super::session_key::SessionKey;
use super::session_table::SessionLeg;
use super::waiting_clients::WaitingClient;
use crate::base::cause::Cause;
use crate::base::id::ConnId;
use crate::base::sabotage::{self, Bug};
use crate::base::time::Micros;
use crate::bridge::bridge::Bridge;
use crate::engine::{HeartbeatText, Io, Message, SendOutcome};
use crate::host::control_units;
use crate::pulse::{
    BIG_BYTES, ClientFrame, FrameEffect, LedgerEntry, PulseText, SessionFault, ShortControl,
    end_frame, escaped,
};
use std::borrow::Cow;
use std::fmt::Write as _;

/// A protocol error (RFC 6455 §7.4.1).
const PROTOCOL_ERROR: u16 = 1002;
/// A message is too big.
const TOO_BIG: u16 = 1009;
/// Normal closure: for a service whose close frame had no code.
const NORMAL: u16 = 1000;
/// The code that stands for a close frame without one (RFC 6455 §7.1.5). It is never sent.
const NO_CODE: u16 = 1005;

/// The most messages that are sent to a client at once.
const SENT_AT_ONCE: usize = 64;

/// No further message is sent to a client while this many bytes wait for it.
const WAITING_MAX: usize = 256 << 10;

/// How often it is looked whether a client goes on to acknowledge what came before the end of its
/// session.
const END_STEP: Micros = Micros::from_secs(5);

/// The shortest time after which a client may want to hear something.
const SIGN_MIN: Micros = Micros::from_secs(1);

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
        self.note_frame(key);
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
        self.note_frame(key);
        let effect = match effect {
            Ok(effect) => effect,
            Err(fault) => return refuse_frame(io, id, &fault),
        };
        match effect {
            FrameEffect::Answer(answer) => self.say_received(io, key, &answer),
            FrameEffect::Pong(number) => {
                io.heartbeat_answered(id, number);
            }
            FrameEffect::Told(ClientFrame::State(state)) => {
                let wanted = state.want_ms.filter(|ms| *ms > 0);
                let wanted = wanted.map(|ms| Micros::from_millis(ms.min(3_600_000)));
                self.set_wanted_sign(io, key, wanted);
            }
            FrameEffect::Told(ClientFrame::Report(report)) => {
                self.sessions.counts.reports += u64::from(report.is_some());
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

    /// Notes a frame of the client: it proves that the hello has arrived.
    fn note_frame(&mut self, key: SessionKey) {
        let session = self.sessions.live.get(&key);
        if session.is_some_and(|session| !session.has_current_tokens()) {
            self.sessions.sync_tokens(key);
        }
    }

    /// Tells the client what was received, if that is due, or plans it.
    pub(super) fn acknowledge(&mut self, io: &mut Io<'_>, key: SessionKey) {
        let Some(session) = self.sessions.live.get_mut(&key) else {
            return;
        };
        if session.open_leg().is_some()
            && let Some(ack) = session.pulse.ack(io.now())
        {
            self.say_received(io, key, &ack);
        }
        if let Some(session) = self.sessions.live.get(&key)
            && let Some(at) = session.pulse.ack_at()
        {
            self.plan(io, key, Due::Ack, at);
        }
    }

    /// Sends to the client what waits for it, as far as its connection takes it. Returns how
    /// many messages were sent.
    pub(super) fn send_more(&mut self, io: &mut Io<'_>, key: SessionKey) -> usize {
        let mut sent = 0;
        while sent < SENT_AT_ONCE {
            let Some(session) = self.sessions.live.get_mut(&key) else {
                return sent;
            };
            let Some(leg) = session.open_leg().copied() else {
                return sent;
            };
            let Some(next) = session.pulse.sent().peek().map(LedgerEntry::len) else {
                return sent;
            };
            let waiting = io.pending(leg.id);
            if leg.is_blocked {
                return sent;
            }
            if waiting == 0
                && let Some(leg) = session.open_leg()
            {
                leg.said = None;
            }
            if waiting > 0 && waiting + next > WAITING_MAX {
                // A connection that takes nothing says when it has taken everything. Only what this
                // turn has queued is looked at again.
                let view = io.view(leg.id);
                if view.is_some_and(|view| view.blocked_since.is_some())
                    && let Some(leg) = session.open_leg()
                {
                    leg.is_blocked = true;
                    return sent;
                }
                break;
            }
            let Some(entry) = session.pulse.send_next() else {
                return sent;
            };
            sent += 1;
            let message = match entry {
                LedgerEntry::Message(Message::Text(text)) => match escaped(text) {
                    Cow::Borrowed(_) => Message::Text(text.clone()),
                    Cow::Owned(longer) => Message::text(longer),
                },
                LedgerEntry::Message(message) => message.clone(),
                LedgerEntry::End(end) => {
                    let frame = Message::text(end_frame(end));
                    let at = io.now() + END_STEP;
                    io.send(leg.id, frame);
                    self.plan(io, key, Due::End, at);
                    continue;
                }
            };
            if message.len() > BIG_BYTES && !sabotage::on(Bug::BigUnannounced) {
                let big = ShortControl::big(message.len());
                io.send(leg.id, Message::text(big.as_str()));
            }
            match io.send(leg.id, message) {
                SendOutcome::Flowing => {}
                SendOutcome::Pending => {
                    if let Some(leg) = session.open_leg() {
                        leg.is_blocked = true;
                    }
                }
                // The connection is closing: what it has not taken is sent on the next one.
                SendOutcome::Refused(_) => return sent,
            }
        }
        let Some(session) = self.sessions.live.get_mut(&key) else {
            return sent;
        };
        let has_more = session.pulse.sent().peek().is_some();
        if session.open_leg().is_some_and(|leg| !leg.is_blocked) && has_more {
            self.plan(io, key, Due::Send, io.now());
        }
        sent
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

    fn set_wanted_sign(&mut self, io: &mut Io<'_>, key: SessionKey, wanted: Option<Micros>) {
        if let Some(session) = self.sessions.live.get_mut(&key) {
            session.wanted_sign = wanted.map(|wanted| wanted.max(SIGN_MIN));
        }
        self.plan_sign(io, key);
    }

    /// Plans when the client hears something although there is nothing to say: while it is not
    /// read it is not pinged either, and its watchdog would give the connection up.
    pub(super) fn plan_sign(&mut self, io: &mut Io<'_>, key: SessionKey) {
        let Some(session) = self.sessions.live.get_mut(&key) else {
            return;
        };
        let wanted = session.wanted_sign;
        let Some(leg) = session.open_leg().copied() else {
            return;
        };
        let interval = io.policy_of(leg.id).map(|policy| policy.heartbeat_interval);
        let paused = interval.filter(|_| leg.is_paused);
        let pinged = interval.unwrap_or(Micros::ZERO);
        let wanted = wanted.filter(|wanted| *wanted < pinged);
        if let Some(after) = paused.into_iter().chain(wanted).min() {
            self.plan(io, key, Due::Sign, io.now() + after);
        }
    }

    /// Lets the client hear something.
    pub(super) fn give_sign(&mut self, io: &mut Io<'_>, key: SessionKey) {
        let Some(session) = self.sessions.live.get_mut(&key) else {
            return;
        };
        if session.open_leg().is_some_and(|leg| !leg.is_blocked) {
            let sign = session.pulse.sign();
            self.say_received(io, key, &sign);
        }
        self.plan_sign(io, key);
    }

    /// Sends a frame that says what was received.
    fn say_received(&mut self, io: &mut Io<'_>, key: SessionKey, frame: &ShortControl) {
        let Some(session) = self.sessions.live.get_mut(&key) else {
            return;
        };
        let received = session.pulse.received().received();
        if let Some(leg) = session.open_leg() {
            if io.pending(leg.id) == 0 {
                leg.said = None;
            }
            leg.said.get_or_insert(received);
            io.send(leg.id, Message::text(frame.as_str()));
        }
    }

    /// Returns the heartbeat of a client's connection: a ping that also says what was received. It
    /// overtakes what waits for the client. So it says no more than the first frame that waits:
    /// what a client is told must not go back.
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
        // A client that wants its session back is pinged, too.
        let ping = ping.unwrap_or_else(|| ShortControl::ping(number, 0));
        let mut text = HeartbeatText::default();
        // A short control frame has at most 64 bytes.
        let _ = text.write_str(ping.as_str());
        text
    }

    fn session_ping(&mut self, io: &Io<'_>, key: SessionKey, number: u64) -> Option<ShortControl> {
        let first_ms = self.first_ms(io, &self.sessions.live.get(&key)?.route);
        let session = self.sessions.live.get_mut(&key)?;
        let id = session.client()?;
        if io.pending(id) == 0 {
            session.pulse.note_flushed(number);
        }
        let leg = session.open_leg().filter(|_| io.pending(id) > 0);
        Some(match leg.and_then(|leg| leg.said) {
            Some(said) => ShortControl::ping(number, said),
            None => session.pulse.ping_with_hint(number, first_ms),
        })
    }

    /// Closes the client's connection if its session is over: the upstream has closed, and the
    /// client has acknowledged everything or had its time. Returns whether it is over.
    pub(super) fn close_if_over(&mut self, io: &mut Io<'_>, key: SessionKey) -> bool {
        let Some(session) = self.sessions.live.get(&key) else {
            return true;
        };
        let is_over = session.upstream == UpstreamPlace::Closed && session.pulse.sent().is_empty();
        if is_over {
            self.close_ended(io, key);
        }
        is_over
    }

    /// Handles a client that has not acknowledged the end of its session. Its connection may be
    /// slow, or lost without a sign: then the session waits for it. Only a client that is there and
    /// acknowledges nothing is closed.
    pub(super) fn end_late(&mut self, io: &mut Io<'_>, key: SessionKey) {
        let hold = self.sessions.limits.hold;
        let Some(session) = self.sessions.live.get_mut(&key) else {
            return;
        };
        let (now, acknowledged) = (io.now(), session.pulse.sent().acknowledged());
        let (before, since) = *session.end_progress.get_or_insert((acknowledged, now));
        if acknowledged > before {
            session.end_progress = Some((acknowledged, now));
        }
        let client = session.client();
        let timeout = client
            .and_then(|id| io.policy_of(id))
            .map(|p| p.connection_timeout);
        let most = timeout.unwrap_or_default() + hold;
        let is_late = acknowledged == before && now - since > most;
        match is_late || sabotage::on(Bug::EndHurried) {
            true => self.close_ended(io, key),
            false => self.plan(io, key, Due::End, now + END_STEP),
        }
    }

    /// Closes the client's connection with the close frame of the upstream, and ends the session.
    pub(super) fn close_ended(&mut self, io: &mut Io<'_>, key: SessionKey) {
        let Some(session) = self.remove_session(io, key) else {
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
