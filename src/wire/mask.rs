//! Payload masks (RFC 6455 §5.3).

/// Applies a mask in place to a part of a payload that begins at `offset`. Applying it again
/// removes the mask.
pub fn apply(bytes: &mut [u8], mask: [u8; 4], offset: usize) {
    let turned: [u8; 4] = std::array::from_fn(|i| mask[(offset + i) % 4]);
    let word = u32::from_ne_bytes(turned);
    let wide = u64::from(word) | u64::from(word) << 32;
    let (words, rest) = bytes.as_chunks_mut::<8>();
    for chunk in words {
        *chunk = (u64::from_ne_bytes(*chunk) ^ wide).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(turned.iter().cycle()) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_byte_is_masked_by_its_place_in_the_payload() {
        const MASK: [u8; 4] = [1, 2, 3, 4];
        let plain: Vec<u8> = (0..100).collect();
        for offset in 0..9 {
            for len in 0..plain.len() {
                let mut bytes = plain[..len].to_vec();
                apply(&mut bytes, MASK, offset);
                let expected = plain.iter().enumerate();
                let expected = expected.map(|(i, byte)| byte ^ MASK[(offset + i) % 4]);
                assert!(bytes.iter().copied().eq(expected.take(len)));
            }
        }
    }
}
