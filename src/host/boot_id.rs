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

    /// Reads an id as it is printed. `None` if it is none.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let is_digit = |b: &u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
        let is_printed = text.len() == 8 && text.iter().all(is_digit);
        let text = str::from_utf8(text).ok().filter(|_| is_printed)?;
        u32::from_str_radix(text, 16).ok().map(BootId)
    }
}

impl fmt::Display for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}
