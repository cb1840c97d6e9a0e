//! A session as the gateway keeps it: what was sent and received, and how it is resumed.
//!
//! A session outlives its connections. While it has one, it is attached; between two, it is held.
//! The caller owns the connections, reads no clock and keeps the timers.

use super::client_frame::ClientFrame;
use super::control_text::ShortControl;
use super::link_risk::LinkRisk;
use super::received_count::ReceivedCount;
use super::resume_token::{ResumeToken, TokenPair};
use super::sent_messages::{InvalidAck, LedgerEntry, LedgerFull, SentMessages};
use super::told_limit::{IgnoredFrame, ToldLimit};
use crate::base::time::Micros;

/// A smaller change of the time over which first tries are spread is not told, in milliseconds.
const FIRST_MS_STEP: u64 = 100;

/// A session of a client. While it has a connection it is attached; between two it is held. The
/// caller owns the connections, and keeps the timers.
#[derive(Debug)]
pub struct PulseSession {
    tokens: TokenPair,
    sent: SentMessages,
    received: ReceivedCount,
    is_attached: bool,
    has_farewell: bool,
    /// The time over which first tries are spread, in milliseconds, as the client was told.
    told_first_ms: u64,
    /// The last ping behind which nothing was left to send, and how many messages came before it.
    flushed_ping: Option<(u64, u64)>,
    /// What the client has told on this connection.
    told: ToldLimit,
}

/// What becomes of a session that has lost its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionLoss {
    /// It waits for its client.
    Held,
    /// It is over: the client is not known to have a token, or it said farewell.
    Over,
}

/// Why a session cannot be resumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResumeError {
    /// The token is not one of this session, or no longer.
    #[error("the token is not valid")]
    Token,
    /// The client has received what was not sent, or less than it said before.
    #[error(transparent)]
    Ack(#[from] InvalidAck),
}

/// What a control frame asks of the gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FrameEffect {
    /// Nothing more.
    Nothing,
    /// An answer to send.
    Answer(ShortControl),
    /// The answer to the ping of this number.
    Pong(u64),
    /// The client said farewell: its connection is about to close for good.
    Farewell,
    /// A frame that says something of the client; the caller judges it.
    Told(ClientFrame),
    /// A frame that was ignored; the caller counts it.
    Ignored(IgnoredFrame),
}

/// A client that sends what its session does not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SessionFault {
    /// See [`InvalidAck`].
    #[error(transparent)]
    Ack(#[from] InvalidAck),
    /// A resume that is not the first frame of its connection.
    #[error("resume is not the first frame")]
    LateResume,
    /// A pong acknowledges less than what came before its ping: the client keeps the gateway's
    /// memory.
    #[error("a pong acknowledges {rx} messages, and {sent} came before its ping")]
    Withheld {
        /// What the client says that it has received.
        rx: u64,
        /// What it has received, because messages arrive in order.
        sent: u64,
    },
}

impl PulseSession {
    /// Begins a session with its first connection, whose hello offers this token.
    pub const fn new(offer: ResumeToken, message_bytes_max: usize) -> Self {
        PulseSession {
            tokens: TokenPair::new(offer),
            sent: SentMessages::new(message_bytes_max),
            received: ReceivedCount::NOTHING,
            is_attached: true,
            has_farewell: false,
            told_first_ms: 0,
            flushed_ping: None,
            told: ToldLimit::NOTHING,
        }
    }

    /// Handles a control frame of the client's connection.
    ///
    /// # Errors
    /// The frame contradicts the session. The connection is closed with 1002, and the session with
    /// it.
    pub fn on_frame(
        &mut self,
        frame: ClientFrame,
        now: Micros,
    ) -> Result<FrameEffect, SessionFault> {
        self.tokens.prove();
        Ok(match frame {
            ClientFrame::Resume { .. } => return Err(SessionFault::LateResume),
            ClientFrame::Pong { number, rx } => {
                self.sent.acknowledge(rx)?;
                let ping = self.flushed_ping.filter(|(of, _)| *of == number);
                if let Some((_, sent)) = ping.filter(|(_, sent)| rx < *sent) {
                    return Err(SessionFault::Withheld { rx, sent });
                }
                FrameEffect::Pong(number)
            }
            ClientFrame::Ack(rx) => {
                self.sent.acknowledge(rx)?;
                FrameEffect::Nothing
            }
            ClientFrame::Probe(number) => {
                let rx = self.received.tell();
                FrameEffect::Answer(ShortControl::probe_answer(number, rx))
            }
            ClientFrame::Farewell => {
                self.has_farewell = true;
                FrameEffect::Farewell
            }
            ClientFrame::Unknown => FrameEffect::Nothing,
            ClientFrame::State(_) if !self.told.take_state(now) => {
                FrameEffect::Ignored(IgnoredFrame::State)
            }
            ClientFrame::Report(_) if !self.told.take_report() => {
                FrameEffect::Ignored(IgnoredFrame::Report)
            }
            told @ (ClientFrame::State(_) | ClientFrame::Report(_)) => FrameEffect::Told(told),
        })
    }

    /// Counts a message of the application that came from the client, whole, and was handed on.
    pub fn on_message(&mut self, len: usize, now: Micros) {
        self.tokens.prove();
        self.received.count(len, now);
    }

    /// Adds a message for the client, or the end of the session.
    ///
    /// # Errors
    /// See [`SentMessages::push`].
    pub fn queue(&mut self, entry: LedgerEntry) -> Result<(), LedgerFull> {
        self.sent.push(entry)
    }

    /// Returns the next entry to send on the client's connection; `None` while there is no
    /// connection or everything was sent.
    pub fn send_next(&mut self) -> Option<&LedgerEntry> {
        match self.is_attached {
            true => self.sent.send_next(),
            false => None,
        }
    }

    /// Returns the ping of this number.
    pub fn ping(&mut self, number: u64) -> ShortControl {
        ShortControl::ping(number, self.received.tell())
    }

    /// Notes that the ping of this number leaves after everything that was sent before it. Its pong
    /// must acknowledge all of that: messages arrive in order.
    pub const fn note_flushed(&mut self, number: u64) {
        self.flushed_ping = Some((number, self.sent.sent()));
    }

    /// Notes the time over which first tries are spread, in milliseconds, that the hello says.
    pub const fn note_first_ms(&mut self, first_ms: u64) {
        self.told_first_ms = first_ms;
    }

    /// Returns the ping of this number. It also says over which time first tries are spread, in
    /// milliseconds, if that has changed by half since the client was told: clients that came when
    /// there were few would all come back at once.
    pub fn ping_with_hint(&mut self, number: u64, first_ms: u64) -> ShortControl {
        let told = self.told_first_ms;
        let (least, most) = (told.min(first_ms), told.max(first_ms));
        if most - least <= least / 2 + FIRST_MS_STEP {
            return self.ping(number);
        }
        self.told_first_ms = first_ms;
        ShortControl::ping_with_hint(number, self.received.tell(), first_ms)
    }

    /// Returns the ping of this number, with the risk of a loss.
    pub fn ping_with_risk(&mut self, number: u64, risk: LinkRisk) -> ShortControl {
        ShortControl::ping_with_risk(number, self.received.tell(), risk)
    }

    /// Returns the acknowledgement that is due, if one is.
    pub fn ack(&mut self, now: Micros) -> Option<ShortControl> {
        let is_due = self.is_attached && self.ack_at().is_some_and(|at| at <= now);
        is_due.then(|| ShortControl::ack(self.received.tell()))
    }

    /// Returns when to call [`ack`](Self::ack) again.
    pub fn ack_at(&self) -> Option<Micros> {
        self.received.ack_at()
    }

    /// Notes that the client's connection has ended, or is cut off: nothing is read from it any
    /// more.
    pub const fn detach(&mut self) -> SessionLoss {
        self.is_attached = false;
        self.flushed_ping = None;
        match self.tokens.is_proven() && !self.has_farewell {
            true => SessionLoss::Held,
            false => SessionLoss::Over,
        }
    }

    /// Attaches another connection of the client, whose hello offers this token. The connection
    /// before it must be cut off already: what came from it after that would be counted twice.
    /// Returns how many messages were received, for the hello.
    ///
    /// # Errors
    /// The session cannot be resumed with this; it stays as it was.
    pub fn resume(
        &mut self,
        token: ResumeToken,
        rx: u64,
        offer: ResumeToken,
    ) -> Result<u64, ResumeError> {
        debug_assert!(!self.is_attached, "the connection before is still read");
        if !self.tokens.admits(token) {
            return Err(ResumeError::Token);
        }
        self.sent.resume(rx)?;
        self.tokens.resume(token, offer);
        self.is_attached = true;
        self.told = ToldLimit::NOTHING;
        Ok(self.received.tell())
    }

    /// Returns a frame that tells the client what was received, whether or not that is new: the
    /// client hears something.
    pub fn sign(&mut self) -> ShortControl {
        ShortControl::ack(self.received.tell())
    }

    /// Returns whether a client that has received this many messages can resume the session.
    pub const fn may_resume(&self, rx: u64) -> bool {
        rx >= self.sent.acknowledged() && rx <= self.sent.sent()
    }

    /// Returns whether the client said farewell.
    pub const fn has_farewell(&self) -> bool {
        self.has_farewell
    }

    /// Returns what is kept for the client.
    pub const fn sent(&self) -> &SentMessages {
        &self.sent
    }

    /// Returns what came from the client.
    pub const fn received(&self) -> &ReceivedCount {
        &self.received
    }

    /// Removes and returns what is not acknowledged, the oldest first: the session is lost.
    pub fn take_unacknowledged(&mut self) -> impl Iterator<Item = LedgerEntry> {
        self.sent.take_unacknowledged()
    }

    /// Returns the tokens with which the session can be resumed.
    pub const fn tokens(&self) -> &TokenPair {
        &self.tokens
    }

    /// Returns whether the session has a connection.
    pub const fn is_attached(&self) -> bool {
        self.is_attached
    }

    /// Returns the memory that is allocated for the session, in bytes.
    pub fn allocated(&self) -> usize {
        size_of::<Self>() + self.sent.allocated()
    }
}
