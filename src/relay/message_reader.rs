//! Reading of JSON texts in steps, so that a large one does not delay other connections.

use super::protocol::{FieldScanner, Malformed, ScanProgress};
use super::relay::Relay;
use super::relay_stats::DropReason;
use super::routing::parse_units;
use super::tables::{PartialText, ReadMessage, TextFields};
use crate::base::id::ConnId;
use crate::engine::{Io, Message};

/// Texts of at most this many bytes are parsed at once.
const SMALL: usize = 2 * 1024;

/// Bytes of a larger text that are read in one step.
const STEP: usize = 3 * 1024;

impl Relay {
    /// Starts to read a message, for the given fields. Returns it at once if that takes no more
    /// than one step.
    pub(super) fn read_message(
        &mut self,
        io: &mut Io<'_>,
        id: ConnId,
        message: Message,
        fields: &'static [&'static str],
    ) -> Option<Result<ReadMessage, Malformed>> {
        if !matches!(&message, Message::Text(text) if text.len() > SMALL) {
            if let Message::Text(text) = &message {
                io.spend(parse_units(text.len()));
            }
            return Some(Ok(ReadMessage {
                message,
                fields: TextFields::All,
            }));
        }
        let text = PartialText {
            message,
            scanner: FieldScanner::new(fields),
            fields: None,
        };
        io.set_unfinished(id, text.allocated());
        self.partial_texts.0.insert(id, text);
        None
    }

    /// Reads more of a connection's text. Returns the message when all of it was read.
    pub(super) fn read_more(
        &mut self,
        io: &mut Io<'_>,
        id: ConnId,
    ) -> Option<Result<ReadMessage, Malformed>> {
        let text = self.partial_texts.0.get_mut(&id)?;
        if let Some(fields) = text.fields.take() {
            let text = self.partial_texts.0.remove(&id)?;
            return Some(Ok(ReadMessage {
                message: text.message,
                fields,
            }));
        }
        let Message::Text(json) = &text.message else {
            return None;
        };
        let read = text.scanner.read(json, STEP);
        io.spend(text.scanner.take_units());
        let (fields, is_cut) = match read {
            Ok(ScanProgress::Partial) => {
                io.set_unfinished(id, text.allocated());
                return None;
            }
            Ok(ScanProgress::Whole(fields)) => (fields, false),
            Ok(ScanProgress::TooLong(fields)) => (fields, true),
            Err(why) => {
                self.partial_texts.0.remove(&id);
                return Some(Err(why));
            }
        };
        // The next step parses it. A message that can have two forms is parsed twice.
        io.spend(2 * parse_units(fields.len()));
        text.fields = Some(TextFields::Scanned {
            text: fields,
            is_cut,
        });
        io.set_unfinished(id, text.allocated());
        None
    }

    /// Keeps a message that was read completely until its connection may be read again.
    pub(super) fn postpone(&mut self, io: &mut Io<'_>, id: ConnId, read: ReadMessage) {
        let ReadMessage { message, fields } = read;
        let parsed = match &fields {
            TextFields::All => message.len(),
            TextFields::Scanned { text, .. } => text.len(),
        };
        // The next step parses it again.
        io.spend(parse_units(parsed));
        let text = PartialText {
            message,
            scanner: FieldScanner::new(&[]),
            fields: Some(fields),
        };
        io.set_unfinished(id, text.allocated());
        self.partial_texts.0.insert(id, text);
    }

    /// Drops the unfinished text of a connection that has ended.
    pub(super) fn drop_partial_text(&mut self, id: ConnId) {
        if self.partial_texts.has(id) {
            self.partial_texts.0.remove(&id);
            // A peer that speaks pulse sends it again.
            let is_lost = self.pulse.key_of(id).is_none();
            self.stats
                .count_drops(DropReason::Unread, u64::from(is_lost));
        }
    }
}
