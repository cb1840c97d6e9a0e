//! Whether an address is one of its route's.

/// Whether new clients may go to an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::bridge) enum Listing {
    /// They may.
    Listed,
    /// The name of the upstream no longer has this address. Its pairs stay.
    Vanished,
    /// The settings no longer have the upstream. Its pairs are closed, one after the other.
    Removed,
}
