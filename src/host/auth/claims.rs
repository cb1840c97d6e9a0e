//! The claims of a token.

use super::token_fault::TokenFault;
use crate::base::time::UnixMillis;
use crate::host::names::is_valid_name;
use serde_json::{Map, Value};

/// The claims of a token (RFC 7519 §4), verified or not.
#[derive(Debug, Clone)]
pub(crate) struct Claims(pub(super) Map<String, Value>);

impl Claims {
    /// Returns a claim as a name: a text of 1 to 256 bytes without control characters, or a whole
    /// number. `None` for any other value.
    pub(crate) fn name(&self, claim: &str) -> Option<Box<str>> {
        match self.0.get(claim)? {
            Value::String(text) if is_valid_name(text) => Some(text.as_str().into()),
            Value::Number(number) if number.is_u64() || number.is_i64() => {
                Some(number.to_string().into())
            }
            _ => None,
        }
    }

    /// Returns when the token expires; `None` if it never does.
    pub(crate) fn expires(&self) -> Option<UnixMillis> {
        // It was checked when the token was verified.
        self.time("exp").ok()?
    }

    /// Returns a claim that is a time: seconds since 1970, possibly with a fraction.
    pub(super) fn time(&self, claim: &str) -> Result<Option<UnixMillis>, TokenFault> {
        let Some(claim) = self.0.get(claim) else {
            return Ok(None);
        };
        let millis = match (claim.as_u64(), claim.as_f64()) {
            (Some(seconds), _) => seconds.saturating_mul(1_000),
            // The cast saturates: negative values become 0, too large ones the maximum.
            (None, Some(seconds)) => (seconds * 1_000.0) as u64,
            (None, None) => return Err(TokenFault::Malformed),
        };
        Ok(Some(UnixMillis(millis)))
    }
}
