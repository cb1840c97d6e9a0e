//! Why a token is rejected.

use std::fmt;

/// Why a token is rejected. Nothing of the token is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenFault {
    /// The gateway has no secret to check it with, but is not open.
    NoSecret,
    /// There is no token.
    Missing,
    /// The text is not a token, or there are several tokens, or a claim has an invalid value.
    Malformed,
    /// The token is not signed with HS256.
    Algorithm,
    /// The token is not signed with the gateway's secret.
    Signature,
    /// The token has expired.
    Expired,
    /// The token is not valid yet.
    NotYet,
    /// The token names no user: it has no claim `email`.
    NoEmail,
}

impl TokenFault {
    /// Returns the error code that programs can compare.
    pub fn code(self) -> &'static str {
        match self {
            TokenFault::NoSecret => "TOKENS_NOT_ACCEPTED",
            TokenFault::Missing => "TOKEN_MISSING",
            TokenFault::Malformed => "TOKEN_MALFORMED",
            TokenFault::Algorithm => "TOKEN_ALGORITHM",
            TokenFault::Signature => "TOKEN_SIGNATURE",
            TokenFault::Expired => "TOKEN_EXPIRED",
            TokenFault::NotYet => "TOKEN_NOT_YET_VALID",
            TokenFault::NoEmail => "TOKEN_WITHOUT_EMAIL",
        }
    }
}

impl fmt::Display for TokenFault {
    /// Writes the text for people, which needs no escapes in JSON.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TokenFault::NoSecret => "this gateway accepts no tokens: AUTH_JWT_SECRET is not set",
            TokenFault::Missing => {
                "a token is required: in the header Authorization: Bearer, or in the query as token"
            }
            TokenFault::Malformed => "the token is not a well-formed JSON Web Token",
            TokenFault::Algorithm => "the token must be signed with HS256",
            TokenFault::Signature => "the signature of the token is wrong",
            TokenFault::Expired => "the token has expired",
            TokenFault::NotYet => "the token is not valid yet",
            TokenFault::NoEmail => {
                "the token must have a claim email of 1 to 256 bytes without control characters"
            }
        })
    }
}

impl std::error::Error for TokenFault {}
