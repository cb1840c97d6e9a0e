//! Numbers in control frames.

use super::limits::NUMBER_MAX;
use serde::de::{Deserialize, Deserializer, Error, Unexpected};

/// A whole number from 0 to [`NUMBER_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Number(pub(super) u64);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = u64::deserialize(deserializer)?;
        if number > NUMBER_MAX {
            let given = Unexpected::Unsigned(number);
            return Err(D::Error::invalid_value(given, &"at most 2^53 - 1"));
        }
        Ok(Number(number))
    }
}

/// Parses a field with a number.
pub(super) fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    Ok(Number::deserialize(deserializer)?.0)
}

/// Parses a field with a number that may be absent, but not null.
pub(super) fn some_number<'de, D>(deserializer: D) -> Result<Option<u64>, D::Error>
where
    D: Deserializer<'de>,
{
    number(deserializer).map(Some)
}
