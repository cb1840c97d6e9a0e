//! Answers to heartbeats, for benchmarks that drive the engine without sockets.

/// The pong with which a client answers a heartbeat, masked.
pub fn pong_to(ping: &[u8]) -> [u8; 14] {
    const MASK: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];
    let [0x89, 8, ref payload @ ..] = *ping else {
        panic!("{ping:x?} is no heartbeat")
    };
    let mut pong = [0; 14];
    pong[..2].copy_from_slice(&[0x8A, 0x88]);
    pong[2..6].copy_from_slice(&MASK);
    for (at, byte) in payload.iter().enumerate() {
        pong[6 + at] = byte ^ MASK[at % 4];
    }
    pong
}
