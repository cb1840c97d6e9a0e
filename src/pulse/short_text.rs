//! Short texts in control frames.

use crate::base::json_fields::BoundedStr;
use serde::de::{Deserialize, Deserializer};

/// The longest token, id of a connection, or reason of a goodbye, in bytes.
const TEXT_BYTES_MAX: usize = 128;

/// Parses a short text.
pub(super) fn short_text<'de, D>(deserializer: D) -> Result<Box<str>, D::Error>
where
    D: Deserializer<'de>,
{
    let BoundedStr::<'_, TEXT_BYTES_MAX>(text) = BoundedStr::deserialize(deserializer)?;
    Ok(text.into())
}
