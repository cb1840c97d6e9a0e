//! Requests and tokens that the tests share.

use super::super::*;
use crate::base::time::UnixMillis;
use crate::engine::Request;
use hmac::{EagerHash, Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;

pub(super) const SECRET: &str = "the-s3cret-of-this-test";

/// The time of every test, in seconds.
pub(super) const NOW_S: u64 = 1_764_000_000;
pub(super) const NOW: UnixMillis = UnixMillis(NOW_S * 1_000);

pub(super) fn credentials() -> Credentials {
    Credentials::new(Some(SECRET), None, Admission::Started, Vec::new())
}

/// Signs any two texts, also those that are not a header and claims.
pub(super) fn signed<H: EagerHash>(header: &str, payload: &str, secret: &str) -> String {
    let message = format!("{}.{}", base64(header), base64(payload));
    let key = Hmac::<H>::new_from_slice(secret.as_bytes()).expect("a key");
    let signature = key.chain_update(&message).finalize().into_bytes();
    format!("{message}.{}", base64(signature))
}

pub(super) const HEADER: &str = r#"{"typ":"JWT","alg":"HS256"}"#;

pub(super) fn token(claims: Value) -> String {
    signed::<Sha256>(HEADER, &claims.to_string(), SECRET)
}

/// Makes a request for `target` with these header lines.
pub(super) fn request(target: &str, lines: &[&str]) -> Request {
    let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    Request::of(&format!(
        "GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n{lines}\r\n"
    ))
}

pub(super) fn user_at(token: &str, now: UnixMillis) -> Result<String, TokenFault> {
    let line = format!("Authorization: Bearer {token}");
    let user = credentials().authenticate(&request("/glasses-ws", &[&line]), now);
    user.map(String::from)
}

pub(super) fn user(token: &str) -> Result<String, TokenFault> {
    user_at(token, NOW)
}

pub(super) fn base64(bytes: impl AsRef<[u8]>) -> String {
    data_encoding::BASE64URL_NOPAD.encode(bytes.as_ref())
}
