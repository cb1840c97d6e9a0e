//! The token that operators send to get access.

use std::fmt;
use subtle::ConstantTimeEq;

/// The secret that a client must send. It is never shown.
#[derive(Clone)]
pub struct AdminToken(String);

impl AdminToken {
    /// Creates a token with these characters.
    pub fn new(token: String) -> Self {
        AdminToken(token)
    }

    /// Returns whether `given` is the token. The time of the comparison does not depend on where
    /// the two differ.
    pub(super) fn matches(&self, given: &str) -> bool {
        self.0.as_bytes().ct_eq(given.as_bytes()).into()
    }
}

impl fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
