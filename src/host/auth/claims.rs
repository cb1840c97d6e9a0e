//! The claims of a token.

use super::token_fault::TokenFault;
use crate::base::time::UnixMillis;
use crate::host::names::is_valid_name;
use serde_json::{Map, Value};

/// The claims of a token (RFC 7519 §4), verified or not.
#[derive(Debug, Clone)]
pub(crate) struct Claims(pub(super) Map<String, Value>);

impl Claims {
    /// Returns a claim as a name: a text of 1 to 256 bytes without control characters. `None` for
    /// any other value. A number is no name: `sub` is a text (RFC 7519 §4.1.2), and the number 7
    /// must not be the client that the text `7` is.
    pub(crate) fn name(&self, claim: &str) -> Option<Box<str>> {
        match self.0.get(claim)? {
            Value::String(text) if is_valid_name(text) => Some(text.as_str().into()),
            _ => None,
        }
    }

    /// Returns why a claim is no [name](Self::name).
    pub(crate) fn name_fault(&self, claim: &str) -> &'static str {
        match self.0.get(claim) {
            Some(Value::Number(_)) => {
                "the token does not name its bearer: the claim is a number, and must be a text"
            }
            _ => "the token does not name its bearer",
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
