//! The id of one run of the gateway.

use std::fmt;

/// The id of one run of the gateway, at random. With it an id of a connection is unique over
/// restarts and over gateways. Printed as eight hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BootId(u32);

impl BootId {
    /// Makes a new id.
    pub fn random() -> Self {
        let mut bytes = [0; 4];
        // An id that is not random is still an id: only two runs can have the same.
        if let Err(e) = getrandom::fill(&mut bytes) {
            log::warn!("no random bytes effect=\"two runs may have the same id\" error=\"{e}\"");
        }
        BootId(u32::from_ne_bytes(bytes))
    }
}

impl fmt::Display for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}
