//! Parsing helpers for JSON from peers: bounded strings and numbers, objects that are objects,
//! each field at most once.

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

/// The error of [`BoundedStr`] for a string that is too long.
pub(crate) const TOO_LONG: &str = "a name, an id or a key is longer than allowed";

/// A string of at most `MOST` decoded bytes. A longer one is refused before it is copied.
#[derive(Debug)]
pub(crate) struct BoundedStr<'a, const MOST: usize>(pub(crate) Cow<'a, str>);

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
#[derive(Debug)]
pub(crate) struct Object<T>(pub(crate) T);

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

/// Parses a field that may be absent, but not null.
pub(crate) fn present<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    T::deserialize(deserializer).map(Some)
}

pub(crate) fn check_length<E: Error>(text: &str, most: usize) -> Result<(), E> {
    if text.len() > most {
        return Err(E::custom(TOO_LONG));
    }
    Ok(())
}

/// Stores a field; a field that occurs twice is an error.
#[cfg(feature = "gateway")]
pub(crate) fn set_once<T, E: Error>(
    field: &mut Option<T>,
    name: &'static str,
    value: T,
) -> Result<(), E> {
    match field.replace(value) {
        None => Ok(()),
        Some(_) => Err(E::duplicate_field(name)),
    }
}
