//! The connection of a client that has a session: what is sent on it, and when.

use super::ack_watch::AckWatch;
use super::sending_step::SendingStep;
use crate::base::cause::Cause;
use crate::base::id::ConnId;
use crate::base::sabotage::{self, Bug};
use crate::base::time::Micros;
use crate::engine::{HeartbeatText, Io, Message, SendOutcome};
use crate::health::Risk;
use crate::pulse::{
    BIG_BYTES, LedgerEntry, LinkRisk, PulseSession, ShortControl, end_frame, escaped,
};
use std::borrow::Cow;
use std::fmt::Write as _;

/// The most messages that are sent to a client at once.
const SENT_AT_ONCE: usize = 64;

/// No further message is sent to a client while this many bytes wait for it.
const WAITING_MAX: usize = 256 << 10;

/// A client whose session keeps at most this many bytes is not closed when memory is short.
const HARMLESS: usize = 4 << 10;

/// The shortest and the longest time after which a client may want to hear something.
const SIGN_MIN: Micros = Micros::from_secs(1);
const SIGN_MAX: Micros = Micros::from_secs(3_600);

/// The connection of a client that has a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClientLeg {
    pub(crate) id: ConnId,
    /// Whether it is open, and the hello was sent.
    pub(crate) is_open: bool,
    /// Whether what was sent waits for the client.
    pub(crate) is_blocked: bool,
    /// Whether it is not read, because what it sends has no room.
    pub(crate) is_paused: bool,
    /// Whether the client was told that the risk of a loss is high.
    is_told_high: bool,
    /// What the first frame said was received, of those that may still wait for the client.
    said: Option<u64>,
    acks: AckWatch,
}

impl ClientLeg {
    /// Returns the connection of a client that has no hello yet.
    pub(crate) const fn new(id: ConnId) -> Self {
        ClientLeg {
            id,
            is_open: false,
            is_blocked: false,
            is_paused: false,
            is_told_high: false,
            said: None,
            acks: AckWatch::NOTHING,
        }
    }

    /// How often it is looked whether a client acknowledges what was sent to it.
    pub(crate) const ACKS_STEP: Micros = Micros::from_secs(15);

    /// Closes the connection if the client acknowledges nothing for long, while it is read. When
    /// memory is short, 15 s are long. Returns whether to look again.
    pub(crate) fn watch_acks(&mut self, io: &mut Io<'_>, pulse: &PulseSession) -> bool {
        let is_awaited = self.is_open && pulse.sent().sent() > pulse.sent().acknowledged();
        if !is_awaited || io.class(self.id).is_none() {
            self.acks = AckWatch::NOTHING;
            return false;
        }
        if self.is_paused {
            // What it says is not read.
            self.acks = AckWatch::NOTHING;
            return true;
        }
        let silent = self.acks.silent_for(io.now(), pulse);
        // When memory is short, whatever keeps much of it gives way first: the session is held, and
        // what all holds keep has its own limit.
        let is_in_the_way =
            io.is_memory_short() && pulse.sent().bytes() > HARMLESS && silent >= Self::ACKS_STEP;
        let cause = match is_in_the_way {
            true => Cause::BUFFERS_FULL,
            false => Cause::SLOW_CONSUMER,
        };
        let allowed = AckWatch::timeout(io, Some(self.id)) + AckWatch::time_of_first(pulse);
        let is_late = is_in_the_way || silent > allowed;
        if is_late && !sabotage::on(Bug::SilenceAboutMessages) {
            let why = "what was sent is not acknowledged";
            io.close_for(self.id, cause, cause.close_code(), why);
        }
        !is_late
    }

    /// Sends what waits for the client, as far as its connection takes it.
    pub(crate) fn send_more(&mut self, io: &mut Io<'_>, pulse: &mut PulseSession) -> SendingStep {
        let mut step = SendingStep::default();
        while step.sent < SENT_AT_ONCE {
            let Some(next) = pulse.sent().peek().map(LedgerEntry::len) else {
                return step;
            };
            // What a closing connection is not sent is not in doubt.
            if !self.is_open || self.is_blocked || io.class(self.id).is_none() {
                return step;
            }
            let waiting = io.pending(self.id);
            if waiting == 0 {
                self.said = None;
            } else if waiting + next > WAITING_MAX {
                // A connection that takes nothing says when it has taken everything. Only what this
                // turn has queued is looked at again.
                let view = io.view(self.id);
                self.is_blocked = view.is_some_and(|view| view.blocked_since.is_some());
                break;
            }
            let Some(entry) = pulse.send_next() else {
                return step;
            };
            step.sent += 1;
            step.has_sent_end |= matches!(entry, LedgerEntry::End(_));
            match self.send_entry(io, entry) {
                SendOutcome::Flowing => {}
                SendOutcome::Pending => self.is_blocked = true,
                // The connection is closing: what it has not taken is sent on the next one.
                SendOutcome::Refused(_) => return step,
            }
        }
        step.has_more = !self.is_blocked && pulse.sent().peek().is_some();
        step
    }

    fn send_entry(&self, io: &mut Io<'_>, entry: &LedgerEntry) -> SendOutcome {
        let message = match entry {
            LedgerEntry::Message(Message::Text(text)) => match escaped(text) {
                Cow::Borrowed(_) => Message::Text(text.clone()),
                Cow::Owned(longer) => Message::text(longer),
            },
            LedgerEntry::Message(message) => message.clone(),
            LedgerEntry::End(end) => Message::text(end_frame(end)),
        };
        if message.len() > BIG_BYTES && !sabotage::on(Bug::BigUnannounced) {
            let big = ShortControl::big(message.len());
            io.send(self.id, Message::text(big.as_str()));
            let outcome = io.send(self.id, message);
            // After `big` nothing but the message comes: the client's watchdog waits for that.
            io.keep_together(self.id);
            return outcome;
        }
        io.send(self.id, message)
    }

    /// Tells the client what was received, if that is due. [`PulseSession::ack_at`] says when it is
    /// due again.
    pub(crate) fn acknowledge(&mut self, io: &mut Io<'_>, pulse: &mut PulseSession) {
        if self.is_open
            && let Some(ack) = pulse.ack(io.now())
        {
            self.say_received(io, pulse, &ack);
        }
    }

    /// Sends a frame that says what was received.
    pub(crate) fn say_received(
        &mut self,
        io: &mut Io<'_>,
        pulse: &PulseSession,
        frame: &ShortControl,
    ) {
        if !self.is_open {
            return;
        }
        if io.pending(self.id) == 0 {
            self.said = None;
        }
        self.said.get_or_insert(pulse.received().received());
        io.send(self.id, Message::text(frame.as_str()));
    }

    /// Returns the heartbeat: a ping that also says what was received. It overtakes what waits for
    /// the client. So it says no more than the first frame that waits: what a client is told must
    /// not go back. A change of the risk of a loss is said before anything else, because the client
    /// may not hear the next ping.
    pub(crate) fn ping(
        &mut self,
        io: &Io<'_>,
        pulse: &mut PulseSession,
        (number, first_ms): (u64, u64),
    ) -> ShortControl {
        let is_flushed = io.pending(self.id) == 0;
        if is_flushed {
            pulse.note_flushed(number);
        }
        let said = self.said.filter(|_| !is_flushed);
        match (said, self.change_of_risk(io)) {
            (Some(said), Some(risk)) => ShortControl::ping_with_risk(number, said, risk),
            (None, Some(risk)) => pulse.ping_with_risk(number, risk),
            (Some(said), None) => ShortControl::ping(number, said),
            (None, None) => pulse.ping_with_hint(number, first_ms),
        }
    }

    /// Returns the risk of a loss that the client must be told, because it has changed.
    fn change_of_risk(&mut self, io: &Io<'_>) -> Option<LinkRisk> {
        let is_high = io.risk(self.id) == Some(Risk::High);
        if is_high == self.is_told_high {
            return None;
        }
        self.is_told_high = is_high;
        Some(match is_high {
            true => LinkRisk::High,
            false => LinkRisk::Low,
        })
    }

    /// Lets the client hear something, although there is nothing to say.
    pub(crate) fn give_sign(&mut self, io: &mut Io<'_>, pulse: &mut PulseSession) {
        if self.is_open && !self.is_blocked {
            let sign = pulse.sign();
            self.say_received(io, pulse, &sign);
        }
    }

    /// Returns when the client must hear something although there is nothing to say: it wants that
    /// (`wanted`), or it is not read. It is not pinged then, and its watchdog would give the
    /// connection up.
    pub(crate) fn sign_at(&self, io: &Io<'_>, wanted: Option<Micros>) -> Option<Micros> {
        let interval = io
            .policy_of(self.id)
            .map(|policy| policy.heartbeat_interval);
        let paused = interval.filter(|_| self.is_paused);
        let pinged = interval.unwrap_or(Micros::ZERO);
        let wanted = wanted.filter(|wanted| *wanted < pinged);
        let after = paused.into_iter().chain(wanted).min();
        after.filter(|_| self.is_open).map(|after| io.now() + after)
    }
}

/// Returns the longest time for which a client wants to hear nothing; `None`: it does not say.
pub(crate) fn wanted_sign(want_ms: Option<u64>) -> Option<Micros> {
    let wanted = want_ms.filter(|ms| *ms > 0)?;
    let wanted = Micros::from_millis(wanted.min(SIGN_MAX.as_millis()));
    Some(wanted.max(SIGN_MIN))
}

/// Returns the text of a heartbeat. `None`: the client wants its session back, and is pinged, too.
pub(crate) fn heartbeat_text(ping: Option<ShortControl>, number: u64) -> HeartbeatText {
    let ping = ping.unwrap_or_else(|| ShortControl::ping(number, 0));
    let mut text = HeartbeatText::default();
    // A short control frame has at most 64 bytes.
    let _ = text.write_str(ping.as_str());
    text
}
