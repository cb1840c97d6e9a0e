//! Tokens of glasses: HS256 (RFC 7515, RFC 7519).

use data_encoding::BASE64URL_NOPAD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

/// Returns a token for a user, signed with this secret.
pub fn token(user: &str, secret: &str) -> String {
    sign(secret, &json!({"email":user}))
}

/// Returns a token with these claims, signed with this secret.
pub fn sign(secret: &str, claims: &Value) -> String {
    let base64 = |bytes: &[u8]| BASE64URL_NOPAD.encode(bytes);
    let claims = claims.to_string();
    let message = [r#"{"alg":"HS256","typ":"JWT"}"#, &claims].map(|part| base64(part.as_bytes()));
    let message = message.join(".");
    let key = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("a key");
    let signature = key.chain_update(&message).finalize().into_bytes();
    format!("{message}.{}", base64(&signature))
}
