//! The number of a session within the gateway.

/// The number of a session within the gateway; none is used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::bridge) struct SessionKey(pub(super) u64);
