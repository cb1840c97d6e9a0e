//! Messages of the application that the gateway has not acknowledged.

use super::send_error::ClientSendError;
use crate::pulse::{InvalidAck, LedgerEntry, SENT_MESSAGES_MAX, SentMessages};
use crate::wire::Message;

/// What a lost session leaves: the messages that the gateway has not acknowledged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unconfirmed {
    /// The messages, the oldest first.
    pub messages: Vec<Message>,
    /// How many of them, the first ones, were sent. They may have arrived; the others have not.
    pub sent: usize,
}

/// Messages to the gateway, from the oldest without an acknowledgement.
#[derive(Debug)]
pub struct ClientOutbox {
    ledger: SentMessages,
    bytes_max: usize,
    /// Whether a message was refused, or more than a half of the bytes were taken, since the last
    /// [`take_drained`](Self::take_drained).
    was_full: bool,
}

impl ClientOutbox {
    /// Returns an empty outbox that keeps at most so many bytes, and at most
    /// [`SENT_MESSAGES_MAX`] messages.
    pub const fn new(bytes_max: usize) -> Self {
        ClientOutbox {
            ledger: SentMessages::new(bytes_max),
            bytes_max,
            was_full: false,
        }
    }

    /// Returns the bytes of the messages that are kept.
    pub const fn bytes(&self) -> usize {
        self.ledger.bytes()
    }

    /// Returns how many messages of the session were sent.
    pub const fn sent(&self) -> u64 {
        self.ledger.sent()
    }

    /// Returns how many of them wait for an acknowledgement.
    pub const fn unconfirmed(&self) -> u64 {
        self.ledger.sent() - self.ledger.acknowledged()
    }

    /// Returns the memory that is allocated, in bytes.
    pub fn allocated(&self) -> usize {
        self.ledger.allocated()
    }

    /// Adds a message.
    ///
    /// # Errors
    /// [`ClientSendError::Full`]; the message was not taken.
    pub fn push(&mut self, message: Message) -> Result<(), ClientSendError> {
        let bytes = message.len();
        let sum = self.bytes().saturating_add(bytes);
        if sum > self.bytes_max || self.ledger.len() >= SENT_MESSAGES_MAX {
            return Err(self.refuse(bytes));
        }
        if self.ledger.push(LedgerEntry::Message(message)).is_err() {
            return Err(self.refuse(bytes));
        }
        self.was_full |= sum > self.bytes_max / 2;
        Ok(())
    }

    fn refuse(&mut self, bytes: usize) -> ClientSendError {
        self.was_full = true;
        ClientSendError::Full {
            bytes,
            buffered: self.bytes(),
            most: self.bytes_max,
        }
    }

    /// Returns the next message that was not sent on this connection, and counts it as sent.
    pub fn send_next(&mut self) -> Option<Message> {
        match self.ledger.send_next()? {
            LedgerEntry::Message(message) => Some(message.clone()),
            LedgerEntry::End(_) => None,
        }
    }

    /// Forgets the first `rx` messages of the session.
    ///
    /// # Errors
    /// They cannot have arrived, or the gateway takes back an acknowledgement.
    pub fn acknowledge(&mut self, rx: u64) -> Result<(), InvalidAck> {
        self.ledger.acknowledge(rx)
    }

    /// Begins a connection on which the gateway has received `rx` messages of the session.
    ///
    /// # Errors
    /// As for [`acknowledge`](Self::acknowledge).
    pub fn resume(&mut self, rx: u64) -> Result<(), InvalidAck> {
        self.ledger.resume(rx)
    }

    /// Returns whether at most a half of the bytes are taken again, once after it was fuller.
    pub const fn take_drained(&mut self) -> bool {
        let is_drained = self.was_full && self.bytes() <= self.bytes_max / 2;
        if is_drained {
            self.was_full = false;
        }
        is_drained
    }

    /// Ends the session. Returns what is not acknowledged.
    pub fn take(&mut self) -> Unconfirmed {
        let sent = self.unconfirmed() as usize;
        let mut ledger = std::mem::replace(&mut self.ledger, SentMessages::new(self.bytes_max));
        let entries = ledger.take_unacknowledged();
        let messages = entries.filter_map(|entry| match entry {
            LedgerEntry::Message(message) => Some(message),
            LedgerEntry::End(_) => None,
        });
        Unconfirmed {
            messages: messages.collect(),
            sent,
        }
    }
}
