//! Messages that the other side has not acknowledged.

use super::closing_frames::SessionEnd;
use super::limits::LEDGER_MARGIN_BYTES;
use crate::base::sabotage::{self, Bug};
use crate::wire::Message;
use std::collections::VecDeque;

/// The most messages that are kept for one side.
pub const SENT_MESSAGES_MAX: usize = 16_384;

/// What is sent in order, counted, and kept until it is acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the protocol counts these two")]
pub enum LedgerEntry {
    /// A message of the application: a text or binary one.
    Message(Message),
    /// The end of the session. It is the last entry.
    End(SessionEnd),
}

impl LedgerEntry {
    /// Returns the length of what is sent, in bytes.
    pub fn len(&self) -> usize {
        match self {
            LedgerEntry::Message(message) => message.len(),
            LedgerEntry::End(end) => end.reason.len(),
        }
    }

    /// Returns whether a message without bytes is sent.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// More is kept than is allowed. The entry was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the other side has not acknowledged {bytes} bytes in {messages} messages")]
#[non_exhaustive]
pub struct LedgerFull {
    /// The bytes that are kept.
    pub bytes: usize,
    /// The messages that are kept.
    pub messages: usize,
}

/// A peer acknowledges what it cannot have received, or takes back an acknowledgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the peer acknowledges {rx} messages; from {from} to {to} are possible")]
#[non_exhaustive]
pub struct InvalidAck {
    /// What the peer says that it has received.
    pub rx: u64,
    /// What it has acknowledged before.
    pub from: u64,
    /// What was sent to it.
    pub to: u64,
}

/// Messages to the other side, from the oldest that it has not acknowledged.
#[derive(Debug)]
pub struct SentMessages {
    entries: VecDeque<LedgerEntry>,
    /// The bytes of the entries.
    bytes: usize,
    /// How many entries of the session are acknowledged.
    acknowledged: u64,
    /// How many entries of the session were sent, on this connection or acknowledged before it.
    sent: u64,
    /// The largest message that is taken.
    message_bytes_max: usize,
}

impl SentMessages {
    /// Returns an empty ledger for messages of at most so many bytes.
    pub const fn new(message_bytes_max: usize) -> Self {
        SentMessages {
            entries: VecDeque::new(),
            bytes: 0,
            acknowledged: 0,
            sent: 0,
            message_bytes_max,
        }
    }

    /// Returns whether an entry of every allowed size will be taken. The source of the messages is
    /// not read while this is false.
    pub fn has_room(&self) -> bool {
        self.bytes <= LEDGER_MARGIN_BYTES && self.entries.len() < SENT_MESSAGES_MAX
    }

    /// Adds an entry to be sent.
    ///
    /// # Errors
    /// Too much is kept already. This cannot be while [`has_room`](Self::has_room) is true and the
    /// entry is not larger than allowed.
    pub fn push(&mut self, entry: LedgerEntry) -> Result<(), LedgerFull> {
        let bytes = self.bytes.saturating_add(entry.len());
        let most = self.message_bytes_max.saturating_add(LEDGER_MARGIN_BYTES);
        let is_end = matches!(entry, LedgerEntry::End(_));
        if !is_end && (bytes > most || self.entries.len() >= SENT_MESSAGES_MAX) {
            return Err(LedgerFull {
                bytes: self.bytes,
                messages: self.entries.len(),
            });
        }
        self.bytes = bytes;
        self.entries.push_back(entry);
        Ok(())
    }

    /// Returns the next entry that was not sent on this connection, and counts it as sent.
    pub fn send_next(&mut self) -> Option<&LedgerEntry> {
        let at = usize::try_from(self.sent - self.acknowledged).ok()?;
        let entry = self.entries.get(at)?;
        self.sent += 1;
        Some(entry)
    }

    /// Returns the next entry that was not sent on this connection.
    pub fn peek(&self) -> Option<&LedgerEntry> {
        let at = usize::try_from(self.sent - self.acknowledged).ok()?;
        self.entries.get(at)
    }

    /// Forgets what the other side has received: the first `rx` entries of the session.
    ///
    /// # Errors
    /// The other side takes back an acknowledgement, or acknowledges what was not sent.
    pub fn acknowledge(&mut self, rx: u64) -> Result<(), InvalidAck> {
        if rx < self.acknowledged || rx > self.sent {
            return Err(InvalidAck {
                rx,
                from: self.acknowledged,
                to: self.sent,
            });
        }
        for entry in self.entries.drain(..(rx - self.acknowledged) as usize) {
            self.bytes -= entry.len();
        }
        self.acknowledged = rx;
        if self.entries.is_empty() {
            // An idle connection owns no memory.
            self.entries = VecDeque::new();
        }
        Ok(())
    }

    /// Begins a new connection, on which the other side says what it has received. Entries beyond
    /// that are sent again.
    ///
    /// # Errors
    /// As for [`acknowledge`](Self::acknowledge): the two sides do not speak of the same session.
    pub fn resume(&mut self, rx: u64) -> Result<(), InvalidAck> {
        self.acknowledge(rx)?;
        self.sent = rx;
        if sabotage::on(Bug::SentEntryKept) && !self.entries.is_empty() && rx > 0 {
            self.sent = rx - 1;
            self.acknowledged = rx - 1;
            let first = self.entries[0].clone();
            self.bytes += first.len();
            self.entries.push_front(first);
        }
        Ok(())
    }

    /// Returns the length of the largest message that is taken, in bytes.
    pub const fn message_bytes_max(&self) -> usize {
        self.message_bytes_max
    }

    /// Returns the length of the oldest entry that is not acknowledged, in bytes; 0 without one.
    pub fn first_len(&self) -> usize {
        self.entries.front().map_or(0, LedgerEntry::len)
    }

    /// Returns how many entries wait for an acknowledgement or for being sent.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns whether everything is acknowledged.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns the bytes of the messages that are kept.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns the memory that is allocated, in bytes.
    pub fn allocated(&self) -> usize {
        // What the allocator and the counted buffer of each message take.
        const OVERHEAD: usize = 48;
        self.bytes
            + self.entries.len() * OVERHEAD
            + self.entries.capacity() * size_of::<LedgerEntry>()
    }

    /// Returns how many entries of the session are acknowledged.
    pub const fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// Returns how many entries of the session were sent, on this connection or acknowledged before
    /// it.
    pub const fn sent(&self) -> u64 {
        self.sent
    }

    /// Removes and returns what is not acknowledged, the oldest first: the session is lost.
    pub fn take_unacknowledged(&mut self) -> impl Iterator<Item = LedgerEntry> {
        self.bytes = 0;
        self.acknowledged = self.sent;
        std::mem::take(&mut self.entries).into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger_of(messages: u64) -> SentMessages {
        let mut ledger = SentMessages::new(1_000);
        for n in 0..messages {
            let pushed = ledger.push(LedgerEntry::Message(Message::text(n.to_string())));
            pushed.expect("room");
        }
        ledger
    }

    fn sent(ledger: &mut SentMessages) -> Vec<String> {
        let next = || ledger.send_next().map(text_of);
        std::iter::from_fn(next).collect()
    }

    fn text_of(entry: &LedgerEntry) -> String {
        match entry {
            LedgerEntry::Message(message) => message.to_string(),
            LedgerEntry::End(end) => end.reason.to_string(),
        }
    }

    #[test]
    fn what_is_not_acknowledged_is_sent_again() {
        let mut ledger = ledger_of(3);
        assert_eq!(sent(&mut ledger), ["0", "1", "2"]);
        ledger.acknowledge(1).expect("sent");
        ledger.resume(2).expect("sent");
        assert_eq!(sent(&mut ledger), ["2"]);
        ledger.acknowledge(3).expect("sent");
        assert_eq!((ledger.len(), ledger.allocated()), (0, 0));
    }

    #[test]
    fn an_acknowledgement_of_what_cannot_have_arrived_is_refused() {
        let mut ledger = ledger_of(3);
        ledger.send_next();
        let error = ledger.acknowledge(2).expect_err("not sent");
        let (rx, from, to) = (2, 0, 1);
        assert_eq!(error, InvalidAck { rx, from, to });
        ledger.acknowledge(1).expect("sent");
        ledger.acknowledge(0).expect_err("taken back");
        ledger.resume(0).expect_err("taken back");
        assert_eq!(
            sent(&mut ledger),
            ["1", "2"],
            "a refused resume changes nothing"
        );
    }

    #[test]
    fn with_room_a_message_of_the_largest_size_is_taken() {
        let mut ledger = SentMessages::new(1_000);
        let largest = || LedgerEntry::Message(Message::binary(vec![0; 1_000]));
        while ledger.has_room() {
            ledger.push(largest()).expect("room");
        }
        assert!(ledger.bytes() > LEDGER_MARGIN_BYTES);
        let error = ledger.push(largest()).expect_err("no room");
        assert_eq!(error.bytes, ledger.bytes());
        ledger
            .push(LedgerEntry::End(SessionEnd::new(1000, "")))
            .expect("an end always fits");
    }

    #[test]
    fn messages_without_bytes_are_bounded_too() {
        let mut ledger = SentMessages::new(1_000);
        while ledger.has_room() {
            ledger
                .push(LedgerEntry::Message(Message::text("")))
                .expect("room");
        }
        assert_eq!(ledger.len(), SENT_MESSAGES_MAX);
        assert_eq!(ledger.take_unacknowledged().count(), SENT_MESSAGES_MAX);
        assert!(ledger.has_room());
    }
}
