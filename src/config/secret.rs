//! Secrets.

use crate::gateway::is_url;
use std::fmt;

/// A token or key (ASCII characters without control characters), or a URL that is secret, too.
/// Always prints as `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The printed form of a secret, also in messages about one that is wrong.
    pub(super) const HIDDEN: &'static str = "***";

    /// The largest number of characters.
    const LEN_MAX: usize = 512;

    /// Returns what is allowed, in words; `min` is the least number of characters.
    pub(super) fn allowed(min: usize, spaces: bool) -> String {
        let (max, spaces) = (Self::LEN_MAX, if spaces { "or" } else { "without" });
        format!("{min} to {max} visible ASCII characters {spaces} spaces")
    }

    /// The allowed URLs, in words.
    pub(super) const ALLOWED_URL: &'static str =
        "a URL with http:// or https:// and a host, without a user name";

    /// Parses a secret; `None` if it is not allowed.
    pub(super) fn parse(text: &str, min: usize, spaces: bool) -> Option<Self> {
        let is_visible = text
            .bytes()
            .all(|b| b.is_ascii_graphic() || (spaces && b == b' '));
        ((min..=Self::LEN_MAX).contains(&text.len()) && is_visible).then(|| Secret(text.to_owned()))
    }

    /// Parses a secret URL; `None` if it is not allowed.
    pub(super) fn parse_url(text: &str) -> Option<Self> {
        is_url(text, &["http", "https"]).then(|| Secret(text.to_owned()))
    }

    /// Returns the secret itself, to compare it with that of a request.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::HIDDEN)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::HIDDEN)
    }
}
