//! Parsing of lists of subscriptions, up to their limit.

use super::fields::{TOO_MANY, stream_of};
use crate::base::json_fields::{BoundedStr, check_length};
use crate::relay::subscriptions::{STREAM_MAX, SUBSCRIPTIONS_MAX, Subscriptions};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, de};
use std::borrow::Cow;
use std::fmt;

#[derive(Deserialize)]
pub(super) struct SubscriptionUpdate {
    pub(super) subscriptions: Subscriptions,
}

impl<'de> Deserialize<'de> for Subscriptions {
    /// Stops at the first name beyond the limit, or the first that is too long, so the work is
    /// bounded however long the list is.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;

        impl<'de> Visitor<'de> for List {
            type Value = Subscriptions;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of subscriptions")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut names: Vec<Cow<'de, str>> = Vec::new();
                while let Some(name) = seq.next_element_seed(StreamItem)? {
                    if names.len() == SUBSCRIPTIONS_MAX {
                        return Err(A::Error::custom(TOO_MANY));
                    }
                    names.push(name);
                }
                Ok(Subscriptions::new(names.iter().map(|name| stream_of(name))))
            }
        }

        deserializer.deserialize_seq(List)
    }
}

/// One subscription: a name, or an object whose `stream` is the name.
pub(super) struct StreamItem;

impl<'de> DeserializeSeed<'de> for StreamItem {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for StreamItem {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a stream")
    }

    fn visit_borrowed_str<E: Error>(self, name: &'de str) -> Result<Self::Value, E> {
        check_length(name, STREAM_MAX)?;
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        check_length(name, STREAM_MAX)?;
        Ok(Cow::Owned(name.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        #[derive(Deserialize)]
        struct StreamObject<'a> {
            #[serde(borrow)]
            stream: BoundedStr<'a, STREAM_MAX>,
        }
        let object = StreamObject::deserialize(de::value::MapAccessDeserializer::new(map))?;
        Ok(object.stream.0)
    }
}
