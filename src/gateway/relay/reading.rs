//! Large texts, read in steps before they are acted upon.

use super::Relay;
use super::routing::parsed;
use super::stats::DropReason;
use crate::engine::{Io, Message};
use crate::gateway::outline::{OUTLINE_MAX, Outline, Reading, TOKENS_MAX};
use crate::gateway::protocol::Malformed;
use crate::id::ConnId;
use std::collections::HashMap;

/// Texts of at most this many bytes are parsed at once.
const SMALL: usize = 2 * 1024;

/// Bytes that are read of a larger one in a step.
const STEP: usize = 3 * 1024;

/// Texts that are being read, by their connection: no more than one of each.
#[derive(Debug, Default)]
pub(super) struct Readings(HashMap<ConnId, Text>);

#[derive(Debug)]
struct Text {
    message: Message,
    outline: Outline,
    /// Its fields, once it was read whole: parsing them is a step of its own.
    fields: Option<Fields>,
}

impl Text {
    /// Bytes of memory that its connection holds for it.
    fn allocated(&self) -> usize {
        let fields = match &self.fields {
            Some(Fields::Outline { text, .. }) => text.capacity(),
            Some(Fields::All) | None => 0,
        };
        self.message.len() + self.outline.allocated() + fields
    }
}

impl Readings {
    /// What their connections hold together.
    pub(super) fn held(&self) -> usize {
        self.0.values().map(Text::allocated).sum()
    }

    /// Returns whether a text of this connection is being read.
    pub(super) fn has(&self, id: ConnId) -> bool {
        !self.0.is_empty() && self.0.contains_key(&id)
    }
}

/// A message as far as routing has to know it.
pub(super) struct Read {
    pub(super) message: Message,
    /// JSON with the fields that routing reads: of a short text the text itself.
    pub(super) fields: Fields,
}

#[derive(Debug)]
pub(super) enum Fields {
    /// The message is short, or not a text.
    All,
    /// Those of a large text, or their beginning if they are too long.
    Outline { text: String, cut: bool },
}

impl Read {
    /// Parses a text.
    pub(super) fn parse<'a, T>(
        &'a self,
        parse: impl FnOnce(&'a str) -> Result<T, Malformed>,
    ) -> Result<T, Malformed> {
        match (&self.fields, &self.message) {
            (Fields::Outline { text, cut: false }, _) => parse(text),
            // A limit within the fields, if one is exceeded, says more than that they are too long.
            (Fields::Outline { text, cut: true }, _) => match parse(text) {
                Err(why) if why.is_limit() => Err(why),
                Ok(_) | Err(_) => Err(Malformed(format!(
                    "the fields that the gateway reads have more than {OUTLINE_MAX} bytes, or {TOKENS_MAX} tokens"
                ))),
            },
            (Fields::All, Message::Text(text)) => parse(text),
            (Fields::All, _) => Err(Malformed("not a text".to_owned())),
        }
    }
}

impl Relay {
    /// Takes a message to be read, of which these fields are needed. Returns it at once if that takes no more than a step.
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
        io.unfinished(id, text.allocated());
        self.readings.0.insert(id, text);
        None
    }

    /// Reads more of a connection's text. Returns the message when it was read whole.
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
                io.unfinished(id, text.allocated());
                return None;
            }
            Ok(Reading::Whole(fields)) => (fields, false),
            Ok(Reading::TooLong(fields)) => (fields, true),
            Err(why) => {
                self.readings.0.remove(&id);
                return Some(Err(why));
            }
        };
        // It is parsed in the next step, and a message of two forms twice.
        io.spend(2 * parsed(fields.len()));
        text.fields = Some(Fields::Outline { text: fields, cut });
        io.unfinished(id, text.allocated());
        None
    }

    /// The connection is over: what was being read of it is given up.
    pub(super) fn give_up_reading(&mut self, id: ConnId) {
        if self.readings.has(id) {
            self.readings.0.remove(&id);
            self.stats.drop_some(DropReason::Unread, 1);
        }
    }
}
