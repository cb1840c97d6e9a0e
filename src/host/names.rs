//! Limits and forms of names and keys.

use crate::base::time::Micros;
use std::net::Ipv6Addr;

/// The longest user or package that is accepted, in decoded bytes; an e-mail address has at most
/// 254 (RFC 5321).
pub(crate) const NAME_MAX: usize = 256;

/// Returns whether a user or a package may have this name: 1 to 256 bytes without control
/// characters, which would reach logs and terminals.
pub(crate) fn is_valid_name(name: &str) -> bool {
    (1..=NAME_MAX).contains(&name.len()) && !name.contains(char::is_control)
}

/// Returns an IPv6 address in brackets, as it stands in a host, in the one form of RFC 5952; `None`
/// for anything else.
pub(crate) fn ipv6_literal(text: &str) -> Option<String> {
    let inner = text.strip_prefix('[')?.strip_suffix(']')?;
    let address: Ipv6Addr = inner.parse().ok()?;
    Some(format!("[{address}]"))
}

/// The longest key of an app, in bytes.
pub(crate) const KEY_MAX: usize = 512;

/// Returns whole seconds, rounded up, at least one, for `Retry-After`.
pub(crate) fn retry_after_secs(span: Micros) -> u32 {
    u32::try_from(span.0.div_ceil(1_000_000))
        .unwrap_or(u32::MAX)
        .max(1)
}
