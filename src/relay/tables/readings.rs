//! Large texts, read in steps before the relay acts on them.

use crate::base::id::ConnId;
use crate::engine::Message;
use crate::relay::protocol::{Malformed, OUTLINE_MAX, Outline, TOKENS_MAX};
use std::collections::HashMap;

/// Texts that are being read, by connection: at most one each.
#[derive(Debug, Default)]
pub(in crate::relay) struct Readings(pub(in crate::relay) HashMap<ConnId, Text>);

#[derive(Debug)]
pub(in crate::relay) struct Text {
    pub(in crate::relay) message: Message,
    pub(in crate::relay) outline: Outline,
    /// The fields of the text, once all of it was read; parsing them is a separate step.
    pub(in crate::relay) fields: Option<Fields>,
}

impl Text {
    /// Returns the bytes of memory that the connection holds for the text.
    pub(in crate::relay) fn allocated(&self) -> usize {
        let fields = match &self.fields {
            Some(Fields::Outline { text, .. }) => text.capacity(),
            Some(Fields::All) | None => 0,
        };
        self.message.len() + self.outline.allocated() + fields
    }
}

impl Readings {
    /// Returns the total bytes that connections hold for such texts.
    pub(in crate::relay) fn held(&self) -> usize {
        self.0.values().map(Text::allocated).sum()
    }

    /// Returns whether a text of this connection is being read.
    pub(in crate::relay) fn has(&self, id: ConnId) -> bool {
        !self.0.is_empty() && self.0.contains_key(&id)
    }
}

/// A message, with what routing needs of it.
pub(in crate::relay) struct Read {
    pub(in crate::relay) message: Message,
    /// JSON with the fields that routing reads; for a short text, the text itself.
    pub(in crate::relay) fields: Fields,
}

#[derive(Debug)]
pub(in crate::relay) enum Fields {
    /// The whole message, because it is short or not a text.
    All,
    /// The fields of a large text, or their beginning if they are too long.
    Outline { text: String, cut: bool },
}

impl Read {
    /// Parses the fields of a text.
    pub(in crate::relay) fn parse<'a, T>(
        &'a self,
        parse: impl FnOnce(&'a str) -> Result<T, Malformed>,
    ) -> Result<T, Malformed> {
        match (&self.fields, &self.message) {
            (Fields::Outline { text, cut: false }, _) => parse(text),
            // An exceeded limit within the fields is a better error than "too long".
            (Fields::Outline { text, cut: true }, _) => match parse(text) {
                Err(why) if why.is_limit() => Err(why),
                Ok(_) | Err(_) => Err(Malformed(format!(
                    "the fields that the gateway reads have more than {OUTLINE_MAX} bytes, or \
                     {TOKENS_MAX} tokens"
                ))),
            },
            (Fields::All, Message::Text(text)) => parse(text),
            (Fields::All, _) => Err(Malformed("not a text".to_owned())),
        }
    }
}
