//! What nobody may see.

use crate::gateway::is_url;
use std::fmt;

/// A token or key: ASCII characters without controls; or a URL that is as good as one. Prints as `***`, in every form.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// What a secret prints as, and what stands in messages for one that is wrong.
    pub(super) const HIDDEN: &'static str = "***";

    /// The most characters.
    const MOST: usize = 512;

    /// What is allowed, in words, where `least` characters are the fewest.
    pub(super) fn allowed(least: usize, spaces: bool) -> String {
        let (most, spaces) = (Self::MOST, if spaces { "or" } else { "without" });
        format!("{least} to {most} visible ASCII characters {spaces} spaces")
    }

    /// What is allowed of a URL, in words.
    pub(super) const ALLOWED_URL: &'static str =
        "a URL with http:// or https:// and a host, without a user";

    /// The secret that `text` is, if it is allowed.
    pub(super) fn parse(text: &str, least: usize, spaces: bool) -> Option<Self> {
        let is_visible = text
            .bytes()
            .all(|b| b.is_ascii_graphic() || (spaces && b == b' '));
        ((least..=Self::MOST).contains(&text.len()) && is_visible).then(|| Secret(text.to_owned()))
    }

    /// The URL that `text` is, if it is allowed.
    pub(super) fn parse_url(text: &str) -> Option<Self> {
        is_url(text, &["http", "https"]).then(|| Secret(text.to_owned()))
    }

    /// The secret itself, to compare with what a request brings.
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
