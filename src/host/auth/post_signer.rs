//! The signatures of webhooks, and of posts of events.

use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::fmt;

/// Signs webhooks, and posts of events, with one key. The key itself is not stored.
#[derive(Clone)]
pub struct PostSigner(Hmac<Sha256>);

impl PostSigner {
    /// Makes a signer with this key, which may have any length.
    pub fn new(key: &str) -> Self {
        let signer = Hmac::new_from_slice(key.as_bytes());
        PostSigner(signer.expect("a key may have any length"))
    }

    /// Returns the value of `X-Pulsegate-Signature`: `t=<at>,v1=<hex>`. It is an HMAC-SHA-256 over
    /// `at` (seconds since the Unix epoch), a full stop and the body.
    pub fn sign(&self, at: u64, body: &[u8]) -> String {
        let mut signer = self.0.clone();
        signer.update(format!("{at}.").as_bytes());
        signer.update(body);
        let signature = HEXLOWER.encode(&signer.finalize().into_bytes());
        format!("t={at},v1={signature}")
    }
}

impl fmt::Debug for PostSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
