//! Fields of frames: bounded strings, each at most once.

use crate::relay::subscriptions::SUBSCRIPTIONS_MAX;
use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};
use std::borrow::Cow;
use std::fmt;

/// Why a frame is not understood, for whoever sent it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) String);

impl Malformed {
    /// Returns whether a name, key or list is beyond its limit.
    pub(crate) fn is_limit(&self) -> bool {
        [TOO_LONG, TOO_MANY].contains(&&*self.0)
    }
}

/// What [`Bounded`] says of a string that is too long.
pub(super) const TOO_LONG: &str = "a name or a key is too long";
pub(super) const TOO_MANY: &str = "more than 256 subscriptions";
const _: () = assert!(SUBSCRIPTIONS_MAX == 256);
/// The major version of the SDK from which on its apps come back whatever code they are closed with.
pub(super) const NEWER: u32 = 3;

/// What [`Init`] says of a message that is none.
pub(crate) const NO_INIT: &str = "the first message must be tpa_connection_init";
pub(super) const OTHER_PACKAGE: &str = "packageName is not this connection's";

/// A string of at most `MOST` bytes as decoded. A longer one is refused before it is copied.
pub(super) struct Bounded<'a, const MOST: usize>(pub(super) Cow<'a, str>);

impl<'de: 'a, 'a, const MOST: usize> Deserialize<'de> for Bounded<'a, MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Short<const MOST: usize>;

        impl<'de, const MOST: usize> Visitor<'de> for Short<MOST> {
            type Value = Cow<'de, str>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
                check(text, MOST)?;
                Ok(Cow::Borrowed(text))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                check(text, MOST)?;
                Ok(Cow::Owned(text.to_owned()))
            }
        }

        deserializer.deserialize_str(Short::<MOST>).map(Bounded)
    }
}

pub(super) fn check<E: Error>(text: &str, most: usize) -> Result<(), E> {
    if text.len() > most {
        return Err(E::custom(TOO_LONG));
    }
    Ok(())
}

/// Puts a field into its place; a field that stands twice is a fault.
pub(super) fn set<T, E: Error>(
    field: &mut Option<T>,
    name: &'static str,
    value: T,
) -> Result<(), E> {
    match field.replace(value) {
        None => Ok(()),
        Some(_) => Err(E::duplicate_field(name)),
    }
}

/// The whole text is looked at: what is put into another frame must be whole JSON.
pub(super) fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Malformed> {
    // A key may stand in it, and nothing of it in the message.
    serde_json::from_str(text).map_err(|e| {
        let (line, column) = (e.line(), e.column());
        Malformed(match e.classify() {
            serde_json::error::Category::Data => {
                let told = e.to_string();
                let ours = [TOO_LONG, TOO_MANY, NO_INIT].into_iter();
                match ours.into_iter().find(|ours| told.starts_with(ours)) {
                    Some(ours) => ours.to_owned(),
                    None => format!(
                        "a field is missing or of the wrong type (line {line}, column {column})"
                    ),
                }
            }
            _ => format!("not JSON (line {line}, column {column})"),
        })
    })
}

/// The stream that a type, or a subscription, stands for: the SDK knows transcriptions by their language only.
pub(crate) fn stream_of(kind: &str) -> &str {
    match kind {
        "transcription" => "transcription:en-US",
        other => other,
    }
}
