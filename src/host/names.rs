//! The bounds of names and keys, and a span in the seconds of `Retry-After`.

use crate::base::time::Micros;

/// The longest user or package that is taken, in bytes as decoded; an e-mail address has at most 254 (RFC 5321).
pub(crate) const NAME_MAX: usize = 256;

/// Returns whether a user or a package may be called so: 1 to 256 bytes without control characters, which would end up in logs and
/// terminals.
pub(crate) fn is_name(name: &str) -> bool {
    (1..=NAME_MAX).contains(&name.len()) && !name.contains(char::is_control)
}

/// The longest key of an app, in bytes.
pub(crate) const KEY_MAX: usize = 512;

/// Whole seconds, at least one, for `Retry-After`.
pub(crate) fn seconds(span: Micros) -> u32 {
    u32::try_from(span.0.div_ceil(1_000_000))
        .unwrap_or(u32::MAX)
        .max(1)
}
