//! The number of a pulse session of the relay.

/// The number of a pulse session of the relay; none is used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::relay) struct PulseKey(pub(super) u64);

impl std::fmt::Display for PulseKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}
