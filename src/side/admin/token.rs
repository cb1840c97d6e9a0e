//! What operators show to be let in.

use std::fmt;
use subtle::ConstantTimeEq;

/// What whoever asks must know. It is shown nowhere.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// A token of these characters.
    pub fn new(token: String) -> Self {
        Token(token)
    }

    /// Compared in a time that does not depend on where the two differ.
    pub(super) fn is(&self, given: &str) -> bool {
        self.0.as_bytes().ct_eq(given.as_bytes()).into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
