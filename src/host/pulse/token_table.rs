//! How sessions are found by their tokens.

use crate::pulse::{ResumeToken, TokenPair};
use std::collections::HashMap;

/// The places that are kept when no session is left.
const PLACES_KEPT: usize = 64;

/// The sessions by their tokens. Each session keeps the tokens under which it is found.
#[derive(Debug)]
pub(crate) struct TokenTable<K>(HashMap<ResumeToken, K>);

impl<K> Default for TokenTable<K> {
    fn default() -> Self {
        TokenTable(HashMap::new())
    }
}

impl<K: Copy> TokenTable<K> {
    /// Returns the session that a token names.
    pub(crate) fn find(&self, token: ResumeToken) -> Option<K> {
        self.0.get(&token).copied()
    }

    /// Finds a session by the tokens that are valid now, and by no others. `listed` are those under
    /// which it was found until now.
    pub(crate) fn update(&mut self, key: K, listed: &mut Option<TokenPair>, tokens: &TokenPair) {
        if listed.as_ref() == Some(tokens) {
            return;
        }
        self.remove(listed.as_ref());
        *listed = Some(*tokens);
        self.0.extend(tokens.valid().map(|token| (token, key)));
    }

    /// Removes the tokens under which a session was found.
    pub(crate) fn remove(&mut self, listed: Option<&TokenPair>) {
        for token in listed.into_iter().flat_map(TokenPair::valid) {
            self.0.remove(&token);
        }
        if self.0.is_empty() {
            self.0.shrink_to(PLACES_KEPT);
        }
    }

    /// Returns how many tokens there are.
    #[cfg(feature = "testing")]
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}
