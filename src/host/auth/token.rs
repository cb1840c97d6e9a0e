//! The tokens of users: JSON Web Tokens (RFC 7519), signed with HMAC-SHA-256 only.

use super::claims::Claims;
use super::token_fault::TokenFault;
use crate::base::time::{Micros, UnixMillis};
use crate::engine::Request;
use crate::host::names::is_valid_name;
use data_encoding::BASE64URL_NOPAD;
use hmac::{Hmac, KeyInit, Mac};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;
use sha2::Sha256;
use std::fmt;

/// The only accepted algorithm (RFC 7518 §3.2).
const ALGORITHM: &str = "HS256";

/// Other algorithms for tokens (RFC 7518 §3.1, RFC 8037). Their use gets an error that names the
/// accepted one.
const OTHER_ALGORITHMS: [&str; 11] = [
    "HS384", "HS512", "RS256", "RS384", "RS512", "ES256", "ES384", "PS256", "PS384", "PS512",
    "EdDSA",
];

/// The first part of a token, its header: a JSON object. The fields read here must not occur twice.
/// The others are skipped without a copy: anyone may write very many of them.
#[derive(Deserialize)]
struct TokenHeader {
    alg: String,
    crit: Option<IgnoredAny>,
}

/// The key that tokens are signed with.
#[derive(Clone)]
pub(crate) struct TokenKey(Hmac<Sha256>);

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl TokenKey {
    pub(crate) fn new(secret: &str) -> Self {
        // RFC 2104 §3: a longer key is hashed, a shorter one is padded.
        let key = Hmac::new_from_slice(secret.as_bytes());
        TokenKey(key.expect("a key may have any length"))
    }

    /// Returns the user of a valid token: see [`claims`](Self::claims).
    pub(crate) fn verify(
        &self,
        token: &str,
        now: UnixMillis,
        leeway: Micros,
    ) -> Result<Box<str>, TokenFault> {
        match self.claims(token, now, leeway)?.0.get("email") {
            Some(Value::String(email)) if is_valid_name(email) => Ok(email.as_str().into()),
            _ => Err(TokenFault::NoEmail),
        }
    }

    /// Returns the claims of a token that is valid at `now`, or within `leeway` of it, because the
    /// clocks of signer and checker differ. The claim `aud` is not checked.
    pub(crate) fn claims(
        &self,
        token: &str,
        now: UnixMillis,
        leeway: Micros,
    ) -> Result<Claims, TokenFault> {
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenFault::Malformed)?;
        let (header, claims) = signed.rsplit_once('.').ok_or(TokenFault::Malformed)?;
        let header = decode(header)?;
        // The fields could also be read from an array.
        if !header.trim_ascii_start().starts_with(b"{") {
            return Err(TokenFault::Malformed);
        }
        let header: TokenHeader =
            serde_json::from_slice(&header).map_err(|_| TokenFault::Malformed)?;
        if header.alg != ALGORITHM {
            // Any other value, `none` included, is not a signature at all.
            return Err(if OTHER_ALGORITHMS.contains(&&*header.alg) {
                TokenFault::Algorithm
            } else {
                TokenFault::Malformed
            });
        }
        // In constant time.
        let verified = (self.0.clone().chain_update(signed)).verify_slice(&decode(signature)?);
        verified.map_err(|_| TokenFault::Signature)?;
        // RFC 7515 §4.1.11: a critical extension that is not understood must be refused.
        if header.crit.is_some() {
            return Err(TokenFault::Malformed);
        }
        let claims = Claims(decode_json(claims)?);
        // RFC 7519 §4.1.4: a token has expired at that very time.
        let leeway = leeway.as_millis();
        let (earliest, latest) = (now.0.saturating_sub(leeway), now.0.saturating_add(leeway));
        if claims.time("exp")?.is_some_and(|exp| earliest >= exp.0) {
            return Err(TokenFault::Expired);
        }
        if claims.time("nbf")?.is_some_and(|nbf| latest < nbf.0) {
            return Err(TokenFault::NotYet);
        }
        Ok(claims)
    }
}

/// Returns the claims of a token without a check of its signature or its times.
pub(crate) fn unverified(token: &str) -> Result<Claims, TokenFault> {
    let mut parts = token.split('.');
    let claims = parts.nth(1).ok_or(TokenFault::Malformed)?;
    decode_json(claims).map(Claims)
}

fn decode(part: &str) -> Result<Vec<u8>, TokenFault> {
    let decoded = BASE64URL_NOPAD.decode(part.as_bytes());
    decoded.map_err(|_| TokenFault::Malformed)
}

/// Decodes a part of a token that is JSON.
fn decode_json<T: DeserializeOwned>(part: &str) -> Result<T, TokenFault> {
    serde_json::from_slice(&decode(part)?).map_err(|_| TokenFault::Malformed)
}

/// Returns the token of a request: the header's, or else the query's. Two in one place are an
/// error.
pub(crate) fn from_request(request: &Request) -> Result<String, TokenFault> {
    let mut fields = request.headers().get_all("authorization").iter();
    if let Some(field) = fields.next() {
        let text = field.to_str().map_err(|_| TokenFault::Malformed)?;
        if fields.next().is_some() {
            return Err(TokenFault::Malformed);
        }
        if let Some(token) = bearer(text) {
            return Ok(token.to_owned());
        }
    }
    let query = request.query().unwrap_or_default();
    let mut tokens = form_urlencoded::parse(query.as_bytes())
        .filter(|(name, value)| name == "token" && !value.is_empty())
        .map(|(_, value)| value);
    let token = tokens.next().ok_or(TokenFault::Missing)?;
    match tokens.next() {
        None => Ok(token.into_owned()),
        Some(_) => Err(TokenFault::Malformed),
    }
}

/// Returns the token in `Bearer …` (RFC 6750 §2.1); the scheme's name is case-insensitive (RFC 9110
/// §11.1).
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}
