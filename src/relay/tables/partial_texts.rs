//! Large texts, read in steps before the relay acts on them.

use crate::base::id::ConnId;
use crate::engine::Message;
use crate::relay::protocol::{FIELDS_MAX_BYTES, FIELDS_MAX_TOKENS, FieldScanner, Malformed};
use std::collections::HashMap;

/// Texts that are being read, by connection: at most one each.
#[derive(Debug, Default)]
pub(in crate::relay) struct PartialTexts(pub(in crate::relay) HashMap<ConnId, PartialText>);

#[derive(Debug)]
pub(in crate::relay) struct PartialText {
    pub(in crate::relay) message: Message,
    pub(in crate::relay) scanner: FieldScanner,
    /// The fields of the text, once all of it was read; parsing them is a separate step.
    pub(in crate::relay) fields: Option<TextFields>,
}

impl PartialText {
    /// Returns the bytes of memory that the connection holds for the text.
    pub(in crate::relay) fn allocated(&self) -> usize {
        let fields = match &self.fields {
            Some(TextFields::Scanned { text, .. }) => text.capacity(),
            Some(TextFields::All) | None => 0,
        };
        self.message.len() + self.scanner.allocated() + fields
    }
}

impl PartialTexts {
    /// Returns the total bytes that connections hold for such texts.
    pub(in crate::relay) fn held(&self) -> usize {
        self.0.values().map(PartialText::allocated).sum()
    }

    /// Returns whether a text of this connection is being read.
    pub(in crate::relay) fn has(&self, id: ConnId) -> bool {
        !self.0.is_empty() && self.0.contains_key(&id)
    }
}

/// A message, with what routing needs of it.
pub(in crate::relay) struct ReadMessage {
    pub(in crate::relay) message: Message,
    /// JSON with the fields that routing reads; for a short text, the text itself.
    pub(in crate::relay) fields: TextFields,
}

#[derive(Debug)]
pub(in crate::relay) enum TextFields {
    /// The whole message, because it is short or not a text.
    All,
    /// The fields of a large text, or their beginning if they are too long.
    Scanned { text: String, is_cut: bool },
}

impl ReadMessage {
    /// Parses the fields of a text.
    pub(in crate::relay) fn parse<'a, T>(
        &'a self,
        parse: impl FnOnce(&'a str) -> Result<T, Malformed>,
    ) -> Result<T, Malformed> {
        match (&self.fields, &self.message) {
            (
                TextFields::Scanned {
                    text,
                    is_cut: false,
                },
                _,
            ) => parse(text),
            // An exceeded limit within the fields is a better error than "too long".
            (TextFields::Scanned { text, is_cut: true }, _) => match parse(text) {
                Err(why) if why.is_limit() => Err(why),
                Ok(_) | Err(_) => Err(Malformed(format!(
                    "the fields that the gateway reads have more than {FIELDS_MAX_BYTES} bytes, or \
                     {FIELDS_MAX_TOKENS} tokens"
                ))),
            },
            (TextFields::All, Message::Text(text)) => parse(text),
            (TextFields::All, _) => Err(Malformed("not a text".to_owned())),
        }
    }
}
