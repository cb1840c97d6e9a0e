//! The payload of a heartbeat.

/// The length of a ping's payload, in bytes.
pub const PAYLOAD_LEN: usize = 8;

/// Returns a letter for each nibble, the highest first.
pub(super) fn encode_letters(number: u32) -> [u8; PAYLOAD_LEN] {
    // Spread the nibbles to one per byte: move halves, quarters and eighths apart.
    let wide = u64::from(number);
    let wide = (wide | wide << 16) & 0x0000_FFFF_0000_FFFF;
    let wide = (wide | wide << 8) & 0x00FF_00FF_00FF_00FF;
    let wide = (wide | wide << 4) & 0x0F0F_0F0F_0F0F_0F0F;
    (wide + u64::from_ne_bytes([b'a'; PAYLOAD_LEN])).to_be_bytes()
}

/// Returns the number that these letters encode; `None` if they encode none.
pub(super) fn decode_letters(letters: [u8; PAYLOAD_LEN]) -> Option<u32> {
    let nibble = |number: u32, letter: u8| match letter {
        b'a'..=b'p' => Some(number << 4 | u32::from(letter - b'a')),
        _ => None,
    };
    letters.into_iter().try_fold(0, nibble)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_stand_for_one_number() {
        for number in [0, 1, 0x0123_4567, 0x89AB_CDEF, u32::MAX] {
            assert_eq!(decode_letters(encode_letters(number)), Some(number));
        }
        for other in [*b"aaaaaaaq", *b"AAAAAAAA", [0; PAYLOAD_LEN]] {
            assert_eq!(decode_letters(other), None);
        }
    }
}
