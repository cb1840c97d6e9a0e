//! Conversion between connection ids and mio tokens: the id is the token of its socket.

use crate::base::id::ConnId;
use mio::Token;

const _: () = assert!(
    usize::BITS == 64,
    "a Token must hold a slot and a generation"
);

impl From<ConnId> for Token {
    fn from(id: ConnId) -> Token {
        Token((id.generation() as usize) << 32 | id.slot())
    }
}

impl From<Token> for ConnId {
    fn from(token: Token) -> ConnId {
        ConnId::new(token.0 as u32, (token.0 >> 32) as u32)
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
