//! Heartbeats on the wire: the ping and its pong.

use super::frame::{FIN, MASKED, PING, PONG, Role};
use crate::health::PAYLOAD_LEN;

/// The length of a client's answer to a heartbeat, in bytes.
pub(crate) const CLIENT_PONG_LEN: usize = 2 + 4 + PAYLOAD_LEN;

/// Returns the frame of a server's heartbeat.
pub(crate) fn server_ping(payload: [u8; PAYLOAD_LEN]) -> [u8; 2 + PAYLOAD_LEN] {
    let mut frame = [0; 2 + PAYLOAD_LEN];
    frame[..2].copy_from_slice(&[FIN | PING, PAYLOAD_LEN as u8]);
    frame[2..].copy_from_slice(&payload);
    frame
}

/// Returns the payload if `data` is exactly one pong that answers a heartbeat: final, of eight
/// bytes, masked if the peer is a client. Most reads of an idle fleet are of this kind, and they
/// need no decoder.
pub(crate) fn parse_pong(role: Role, data: &[u8]) -> Option<[u8; PAYLOAD_LEN]> {
    const FIRST: u8 = FIN | PONG;
    const BARE: u8 = PAYLOAD_LEN as u8;
    const SECOND: u8 = MASKED | BARE;
    match (role, data) {
        (Role::Server, [FIRST, SECOND, m, n, o, p, payload @ ..]) => {
            let masked = u64::from_ne_bytes(*<&[u8; PAYLOAD_LEN]>::try_from(payload).ok()?);
            let mask = u64::from_ne_bytes([*m, *n, *o, *p, *m, *n, *o, *p]);
            Some((masked ^ mask).to_ne_bytes())
        }
        (Role::Client, [FIRST, BARE, payload @ ..]) => payload.try_into().ok(),
        (Role::Server | Role::Client, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::write_frame;
    use super::*;

    #[test]
    fn a_lone_pong_of_eight_bytes_is_read_in_either_role() {
        for (role, mask) in [(Role::Server, Some([1, 2, 3, 4])), (Role::Client, None)] {
            let frame = |first: u8, payload: &[u8]| {
                let mut frame = Vec::new();
                write_frame(&mut frame, first, payload, mask);
                frame
            };
            let answer = frame(FIN | PONG, b"abcdefgh");
            assert_eq!(parse_pong(role, &answer), Some(*b"abcdefgh"));
            assert_eq!(parse_pong(role.peer(), &answer), None);
            for other in [
                &answer[..answer.len() - 1],
                &[&answer[..], &[0]].concat(),
                &frame(FIN | PING, &[0; 8]),
                &frame(FIN | PONG, &[0; 4]),
                &frame(FIN | PONG, &[0; 9]),
            ] {
                assert_eq!(parse_pong(role, other), None);
            }
        }
    }

    #[test]
    fn a_heartbeat_is_a_ping_without_a_mask() {
        let mut frame = Vec::new();
        write_frame(&mut frame, FIN | PING, b"abcdefgh", None);
        assert_eq!(server_ping(*b"abcdefgh")[..], frame);
    }
}
