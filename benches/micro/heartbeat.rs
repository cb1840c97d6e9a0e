//! Answers to heartbeats, for benchmarks that drive the engine without sockets.

use pulsegate::wire::frame::{FIN, MASKED, PONG};
use pulsegate::wire::mask;

/// Returns the masked pong with which a client answers a heartbeat.
pub fn pong_to(ping: &[u8]) -> [u8; 14] {
    const MASK: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];
    let [0x89, 8, ref payload @ ..] = *ping else {
        panic!("{ping:x?} is no heartbeat")
    };
    let mut pong = [0; 14];
    pong[..2].copy_from_slice(&[FIN | PONG, MASKED | 8]);
    pong[2..6].copy_from_slice(&MASK);
    pong[6..].copy_from_slice(payload);
    mask::apply(&mut pong[6..], MASK, 0);
    pong
}
