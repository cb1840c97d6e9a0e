//! Parsing helpers for the fields of frames: bounded strings, each field at most once.

use crate::relay::subscriptions::SUBSCRIPTIONS_MAX;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

/// Why a frame is malformed, in words for its sender.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) String);

impl Malformed {
    /// Returns whether a name, a key or a list exceeds its limit.
    pub(crate) fn is_limit(&self) -> bool {
        [TOO_LONG, TOO_MANY].contains(&&*self.0)
    }
}

/// The error of [`Bounded`] for a string that is too long.
pub(super) const TOO_LONG: &str = "a name, an id or a key is longer than allowed";
pub(super) const TOO_MANY: &str = "more than 256 subscriptions";
const _: () = assert!(SUBSCRIPTIONS_MAX == 256);
/// The first major version of the SDK whose apps reconnect after any close code.
pub(super) const NEWER_SDK: u32 = 3;

/// The error of [`Init`] for a message that is no introduction.
pub(crate) const NO_INIT: &str = "the first message must be tpa_connection_init";
pub(super) const OTHER_PACKAGE: &str = "packageName is not that of this connection";

/// A string of at most `MOST` decoded bytes. A longer one is refused before it is copied.
pub(super) struct BoundedStr<'a, const MOST: usize>(pub(super) Cow<'a, str>);

impl<'de: 'a, 'a, const MOST: usize> Deserialize<'de> for BoundedStr<'a, MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Short<const MOST: usize>;

        impl<'de, const MOST: usize> Visitor<'de> for Short<MOST> {
            type Value = Cow<'de, str>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
                check_length(text, MOST)?;
                Ok(Cow::Borrowed(text))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                check_length(text, MOST)?;
                Ok(Cow::Owned(text.to_owned()))
            }
        }

        deserializer.deserialize_str(Short::<MOST>).map(BoundedStr)
    }
}

/// An object. A struct with derived parsing by itself also accepts an array of its fields' values.
pub(super) struct Object<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map))
            }
        }

        let members = Members(PhantomData);
        deserializer.deserialize_map(members).map(Object)
    }
}

pub(super) fn check_length<E: Error>(text: &str, most: usize) -> Result<(), E> {
    if text.len() > most {
        return Err(E::custom(TOO_LONG));
    }
    Ok(())
}

/// Stores a field; a field that occurs twice is an error.
pub(super) fn set_once<T, E: Error>(
    field: &mut Option<T>,
    name: &'static str,
    value: T,
) -> Result<(), E> {
    match field.replace(value) {
        None => Ok(()),
        Some(_) => Err(E::duplicate_field(name)),
    }
}

/// Parses a text. It checks the whole text, because what is put into another frame must be valid
/// JSON.
pub(super) fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Malformed> {
    // The error names only the position, because the text may contain a key.
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

/// Returns the stream for the type of a frame or for a subscription. The SDK subscribes to
/// transcriptions by language only.
pub(crate) fn stream_of(kind: &str) -> &str {
    match kind {
        "transcription" => "transcription:en-US",
        other => other,
    }
}
