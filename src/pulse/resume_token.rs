//! Tokens with which a client resumes its session.

use crate::base::sabotage::{self, Bug};
use std::fmt;
use std::str::FromStr;

/// The length of a token in text, in characters.
const TEXT_LEN: usize = 32;

/// A token with which a client resumes its session: 128 random bits. Whatever has it gets the
/// session, so it stands in frames only, never in a URL, a log or a list.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ResumeToken([u8; 16]);

impl ResumeToken {
    /// Makes a token of random bytes, which must come from a strong source.
    pub const fn new(random: [u8; 16]) -> Self {
        ResumeToken(random)
    }
}

impl fmt::Display for ResumeToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

/// A token does not print itself by accident.
impl fmt::Debug for ResumeToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResumeToken(…)")
    }
}

/// A token as a client has it: a text that only the gateway understands.
#[derive(Clone, PartialEq, Eq)]
pub struct OpaqueToken(Box<str>);

impl OpaqueToken {
    /// Keeps the text of a token.
    pub fn new(text: &str) -> Self {
        OpaqueToken(text.into())
    }

    /// Returns the text, to be sent back.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<ResumeToken> for OpaqueToken {
    fn from(token: ResumeToken) -> Self {
        OpaqueToken(token.to_string().into())
    }
}

/// A token does not print itself by accident.
impl fmt::Debug for OpaqueToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OpaqueToken(…)")
    }
}

/// A text is not a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a resume token has 32 lower-case hexadecimal digits")]
#[non_exhaustive]
pub struct InvalidToken;

impl FromStr for ResumeToken {
    type Err = InvalidToken;

    fn from_str(text: &str) -> Result<Self, InvalidToken> {
        let mut bytes = [0; 16];
        if text.len() != TEXT_LEN {
            return Err(InvalidToken);
        }
        let decoded = data_encoding::HEXLOWER.decode_mut(text.as_bytes(), &mut bytes);
        decoded.map_err(|_| InvalidToken)?;
        Ok(ResumeToken(bytes))
    }
}

/// The tokens of one session: the one that its client is known to have, and the one of the last
/// hello.
///
/// A hello may be lost with its connection. So its token replaces the older one only when a frame
/// from the client, received after the hello was sent, proves that the hello arrived. Until then
/// both are valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenPair {
    proven: Option<ResumeToken>,
    offered: Option<ResumeToken>,
}

impl TokenPair {
    /// Returns the tokens of a new session, whose first hello offers this one.
    pub const fn new(offered: ResumeToken) -> Self {
        TokenPair {
            proven: None,
            offered: Some(offered),
        }
    }

    /// Returns whether the client is known to have a token. A session without one cannot be
    /// resumed, so it is not held.
    pub const fn is_proven(&self) -> bool {
        self.proven.is_some()
    }

    /// Notes a frame from the client, received after the last hello was sent: it has the token of
    /// that hello. Returns the token that is no longer valid.
    pub fn prove(&mut self) -> Option<ResumeToken> {
        let offered = self.offered.take()?;
        self.proven.replace(offered)
    }

    /// Returns whether a client with this token may resume the session.
    pub fn admits(&self, token: ResumeToken) -> bool {
        self.proven == Some(token) || self.offered == Some(token)
    }

    /// Notes that a client resumes with a token that [`admits`](Self::admits) accepts, and that the
    /// hello to it offers another one. Returns the token that is no longer valid.
    ///
    /// A client that resumes with the offered token has it. One that resumes with the older token
    /// never got the offered one, or it would use that.
    pub fn resume(&mut self, with: ResumeToken, offer: ResumeToken) -> Option<ResumeToken> {
        let dropped = match self.offered.take() {
            Some(offered) if offered == with => self.proven.replace(offered),
            offered => offered,
        };
        let offer = if sabotage::on(Bug::TokenReused) {
            with
        } else {
            offer
        };
        self.offered = Some(offer);
        if sabotage::on(Bug::OldTokenDroppedEarly) {
            return self.proven.replace(offer);
        }
        dropped
    }

    /// Returns the token of the last hello, until a frame proves that it arrived.
    pub const fn offered(&self) -> Option<ResumeToken> {
        self.offered
    }

    /// Returns the tokens that are valid.
    pub fn valid(&self) -> impl Iterator<Item = ResumeToken> {
        self.proven.into_iter().chain(self.offered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(n: u8) -> ResumeToken {
        ResumeToken::new([n; 16])
    }

    #[test]
    fn a_token_is_read_as_it_is_written() {
        let token = ResumeToken::new(std::array::from_fn(|n| n as u8 * 16 + 7));
        assert_eq!(token.to_string().parse(), Ok(token));
        let text = token.to_string();
        for wrong in [&text[1..], &text.to_uppercase(), "", &format!("{text}0")] {
            assert_eq!(wrong.parse::<ResumeToken>(), Err(InvalidToken), "{wrong}");
        }
        assert!(!format!("{token:?}").contains("07"));
    }

    #[test]
    fn both_tokens_are_valid_until_the_hello_is_known_to_have_arrived() {
        let mut tokens = TokenPair::new(token(1));
        assert!(!tokens.is_proven() && tokens.admits(token(1)));
        assert_eq!(tokens.prove(), None);
        assert!(tokens.is_proven());
        assert_eq!(tokens.resume(token(1), token(2)), None);
        assert!(tokens.admits(token(1)) && tokens.admits(token(2)));
        assert_eq!(tokens.prove(), Some(token(1)));
        assert!(!tokens.admits(token(1)) && tokens.admits(token(2)));
        assert_eq!(tokens.prove(), None, "one hello is proved once");
    }

    #[test]
    fn a_client_that_resumes_with_the_offered_token_has_it() {
        let mut tokens = TokenPair::new(token(1));
        tokens.prove();
        tokens.resume(token(1), token(2));
        assert_eq!(tokens.resume(token(2), token(3)), Some(token(1)));
        assert!(tokens.valid().eq([token(2), token(3)]));
    }

    #[test]
    fn a_client_that_resumes_with_the_older_token_never_got_the_offered_one() {
        let mut tokens = TokenPair::new(token(1));
        tokens.prove();
        tokens.resume(token(1), token(2));
        assert_eq!(tokens.resume(token(1), token(3)), Some(token(2)));
        assert!(tokens.valid().eq([token(1), token(3)]));
    }
}
