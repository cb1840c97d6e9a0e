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
