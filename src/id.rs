//! Names of connections.

use mio::Token;
use std::fmt;

/// One connection, for ever: the slot it lives in and the generation of that slot.
///
/// Slots are reused at once, generations are not (2^32 connections are accepted before one comes again), so an id that a
/// handler keeps past its connection's end names nothing, rather than somebody else. Printed as `slot.generation`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId {
    slot: u32,
    generation: u32,
}

const _: () = assert!(
    usize::BITS == 64,
    "a Token must hold a slot and a generation"
);

impl ConnId {
    pub(crate) const fn new(slot: u32, generation: u32) -> Self {
        ConnId { slot, generation }
    }

    /// The index of the slot: dense, below the number of connections ever alive at one time.
    pub const fn slot(self) -> usize {
        self.slot as usize
    }

    /// Tells apart the connections that lived in one slot.
    pub const fn generation(self) -> u32 {
        self.generation
    }

    pub(crate) const fn slot_u32(self) -> u32 {
        self.slot
    }
}

impl From<ConnId> for Token {
    fn from(id: ConnId) -> Token {
        Token((id.generation as usize) << 32 | id.slot as usize)
    }
}

impl From<Token> for ConnId {
    fn from(token: Token) -> ConnId {
        ConnId {
            slot: token.0 as u32,
            generation: (token.0 >> 32) as u32,
        }
    }
}

impl fmt::Display for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.slot, self.generation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_the_way_through_a_token() {
        for (slot, generation) in [(0, 0), (7, 1), (u32::MAX - 1, u32::MAX), (1, u32::MAX)] {
            let id = ConnId::new(slot, generation);
            assert_eq!(ConnId::from(Token::from(id)), id);
        }
    }
}
