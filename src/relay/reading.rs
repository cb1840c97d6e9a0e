//! Reading of JSON texts in steps, so that a large one does not delay other connections.

use super::protocol::{Malformed, Outline, Reading};
use super::relay::Relay;
use super::routing::parsed;
use super::stats::DropReason;
use super::tables::{Fields, Read, Text};
use crate::base::id::ConnId;
use crate::engine::{Io, Message};

/// Texts of at most this many bytes are parsed at once.
const SMALL: usize = 2 * 1024;

/// Bytes of a larger text that are read in one step.
const STEP: usize = 3 * 1024;

impl Relay {
    /// Starts to read a message, for the given fields. Returns it at once if that takes no more
    /// than one step.
    pub(super) fn read(
        &mut self,
        io: &mut Io<'_>,
        id: ConnId,
        message: Message,
        fields: &'static [&'static str],
    ) -> Option<Result<Read, Malformed>> {
        if !matches!(&message, Message::Text(text) if text.len() > SMALL) {
            if let Message::Text(text) = &message {
                io.spend(parsed(text.len()));
            }
            return Some(Ok(Read {
                message,
                fields: Fields::All,
            }));
        }
        let text = Text {
            message,
            outline: Outline::new(fields),
            fields: None,
        };
        io.set_unfinished(id, text.allocated());
        self.readings.0.insert(id, text);
        None
    }

    /// Reads more of a connection's text. Returns the message when all of it was read.
    pub(super) fn read_on(
        &mut self,
        io: &mut Io<'_>,
        id: ConnId,
    ) -> Option<Result<Read, Malformed>> {
        let text = self.readings.0.get_mut(&id)?;
        if let Some(fields) = text.fields.take() {
            let text = self.readings.0.remove(&id)?;
            return Some(Ok(Read {
                message: text.message,
                fields,
            }));
        }
        let Message::Text(json) = &text.message else {
            return None;
        };
        let read = text.outline.read(json, STEP);
        io.spend(text.outline.spent());
        let (fields, cut) = match read {
            Ok(Reading::Partial) => {
                io.set_unfinished(id, text.allocated());
                return None;
            }
            Ok(Reading::Whole(fields)) => (fields, false),
            Ok(Reading::TooLong(fields)) => (fields, true),
            Err(why) => {
                self.readings.0.remove(&id);
                return Some(Err(why));
            }
        };
        // The next step parses it. A message that can have two forms is parsed twice.
        io.spend(2 * parsed(fields.len()));
        text.fields = Some(Fields::Outline { text: fields, cut });
        io.set_unfinished(id, text.allocated());
        None
    }

    /// Drops the unfinished text of a connection that has ended.
    pub(super) fn give_up_reading(&mut self, id: ConnId) {
        if self.readings.has(id) {
            self.readings.0.remove(&id);
            self.stats.drop_some(DropReason::Unread, 1);
        }
    }
}
