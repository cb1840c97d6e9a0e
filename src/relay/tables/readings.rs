//! Large texts, read in steps before they are acted upon.

use crate::base::id::ConnId;
use crate::engine::Message;
use crate::relay::protocol::{Malformed, OUTLINE_MAX, Outline, TOKENS_MAX};
use std::collections::HashMap;

/// Texts that are being read, by their connection: no more than one of each.
#[derive(Debug, Default)]
pub(in crate::relay) struct Readings(pub(in crate::relay) HashMap<ConnId, Text>);

#[derive(Debug)]
pub(in crate::relay) struct Text {
    pub(in crate::relay) message: Message,
    pub(in crate::relay) outline: Outline,
    /// Its fields, once it was read whole: parsing them is a step of its own.
    pub(in crate::relay) fields: Option<Fields>,
}

impl Text {
    /// Bytes of memory that its connection holds for it.
    pub(in crate::relay) fn allocated(&self) -> usize {
        let fields = match &self.fields {
            Some(Fields::Outline { text, .. }) => text.capacity(),
            Some(Fields::All) | None => 0,
        };
        self.message.len() + self.outline.allocated() + fields
    }
}

impl Readings {
    /// What their connections hold together.
    pub(in crate::relay) fn held(&self) -> usize {
        self.0.values().map(Text::allocated).sum()
    }

    /// Returns whether a text of this connection is being read.
    pub(in crate::relay) fn has(&self, id: ConnId) -> bool {
        !self.0.is_empty() && self.0.contains_key(&id)
    }
}

/// A message as far as routing has to know it.
pub(in crate::relay) struct Read {
    pub(in crate::relay) message: Message,
    /// JSON with the fields that routing reads: of a short text the text itself.
    pub(in crate::relay) fields: Fields,
}

#[derive(Debug)]
pub(in crate::relay) enum Fields {
    /// The message is short, or not a text.
    All,
    /// Those of a large text, or their beginning if they are too long.
    Outline { text: String, cut: bool },
}

impl Read {
    /// Parses a text.
    pub(in crate::relay) fn parse<'a, T>(
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
