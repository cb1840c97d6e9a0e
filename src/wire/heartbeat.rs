//! Heartbeats on the wire: our ping, and its pong.

use super::frame::{FIN, MASKED, PING, PONG, Role};
use crate::health::PAYLOAD;

/// Bytes of a client's answer to a heartbeat.
pub(crate) const CLIENT_PONG: usize = 2 + 4 + PAYLOAD;

/// The frame of a server's heartbeat.
pub(crate) fn server_ping(payload: [u8; PAYLOAD]) -> [u8; 2 + PAYLOAD] {
    let mut frame = [0; 2 + PAYLOAD];
    frame[..2].copy_from_slice(&[FIN | PING, PAYLOAD as u8]);
    frame[2..].copy_from_slice(&payload);
    frame
}

/// The payload, if `data` is exactly one pong as the peer answers a heartbeat of ours: final, of eight bytes, masked if the peer is
/// a client. Most reads of a fleet at rest are that and nothing else; it needs no context to be understood.
pub(crate) fn pong(role: Role, data: &[u8]) -> Option<[u8; PAYLOAD]> {
    const FIRST: u8 = FIN | PONG;
    const BARE: u8 = PAYLOAD as u8;
    const SECOND: u8 = MASKED | BARE;
    match (role, data) {
        (Role::Server, [FIRST, SECOND, m, n, o, p, payload @ ..]) => {
            let masked = u64::from_ne_bytes(*<&[u8; PAYLOAD]>::try_from(payload).ok()?);
            let mask = u64::from_ne_bytes([*m, *n, *o, *p, *m, *n, *o, *p]);
            Some((masked ^ mask).to_ne_bytes())
        }
        (Role::Client, [FIRST, BARE, payload @ ..]) => payload.try_into().ok(),
        (Role::Server | Role::Client, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::put;
    use super::*;

    #[test]
    fn a_lone_pong_of_eight_bytes_is_read_in_either_role() {
        for (role, mask) in [(Role::Server, Some([1, 2, 3, 4])), (Role::Client, None)] {
            let frame = |first: u8, payload: &[u8]| {
                let mut frame = Vec::new();
                put(&mut frame, first, payload, mask);
                frame
            };
            let answer = frame(FIN | PONG, b"abcdefgh");
            assert_eq!(pong(role, &answer), Some(*b"abcdefgh"));
            assert_eq!(pong(role.peer(), &answer), None);
            for other in [
                &answer[..answer.len() - 1],
                &[&answer[..], &[0]].concat(),
                &frame(FIN | PING, &[0; 8]),
                &frame(FIN | PONG, &[0; 4]),
                &frame(FIN | PONG, &[0; 9]),
            ] {
                assert_eq!(pong(role, other), None);
            }
        }
    }

    #[test]
    fn a_heartbeat_is_a_ping_without_a_mask() {
        let mut frame = Vec::new();
        put(&mut frame, FIN | PING, b"abcdefgh", None);
        assert_eq!(server_ping(*b"abcdefgh")[..], frame);
    }
}
