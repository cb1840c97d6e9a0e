//! Heartbeats on the wire: the ping and its pong.

use super::frame::{FIN, MASKED, PING, PONG, Role};
use super::mask;
use crate::health::PAYLOAD_LEN;

/// The length of the header of a server's heartbeat, and of a client's, in bytes.
const BARE_HEADER: usize = 2;
const MASKED_HEADER: usize = BARE_HEADER + 4;

/// The length of a server's ping, in bytes.
pub(crate) const PING_LEN: u32 = (BARE_HEADER + PAYLOAD_LEN) as u32;

/// The frame of a heartbeat.
pub(crate) struct Ping {
    bytes: [u8; MASKED_HEADER + PAYLOAD_LEN],
    len: u8,
}

impl Ping {
    /// Builds a heartbeat: with a mask in the role of a client, without one in that of a server.
    #[inline]
    pub(crate) fn new(payload: [u8; PAYLOAD_LEN], mask: Option<[u8; 4]>) -> Self {
        let mut bytes = [0; MASKED_HEADER + PAYLOAD_LEN];
        let header = match mask {
            None => {
                bytes[..BARE_HEADER].copy_from_slice(&[FIN | PING, PAYLOAD_LEN as u8]);
                BARE_HEADER
            }
            Some(mask) => {
                bytes[..BARE_HEADER].copy_from_slice(&[FIN | PING, MASKED | PAYLOAD_LEN as u8]);
                bytes[BARE_HEADER..MASKED_HEADER].copy_from_slice(&mask);
                MASKED_HEADER
            }
        };
        let len = header + PAYLOAD_LEN;
        bytes[header..len].copy_from_slice(&payload);
        if let Some(mask) = mask {
            mask::apply(&mut bytes[header..len], mask, 0);
        }
        Ping {
            bytes,
            len: len as u8,
        }
    }
}

/// The bytes of the frame.
impl AsRef<[u8]> for Ping {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// Returns our role and the payload if `data` is exactly one pong that may answer a heartbeat:
/// final, of eight bytes. A masked one comes from a client. Most reads of an idle fleet are of this
/// kind, and they need no decoder.
pub(crate) fn parse_pong(data: &[u8]) -> Option<(Role, [u8; PAYLOAD_LEN])> {
    const FIRST: u8 = FIN | PONG;
    const BARE: u8 = PAYLOAD_LEN as u8;
    const SECOND: u8 = MASKED | BARE;
    match data {
        [FIRST, SECOND, m, n, o, p, payload @ ..] => {
            let masked = u64::from_ne_bytes(*<&[u8; PAYLOAD_LEN]>::try_from(payload).ok()?);
            let mask = u64::from_ne_bytes([*m, *n, *o, *p, *m, *n, *o, *p]);
            Some((Role::Server, (masked ^ mask).to_ne_bytes()))
        }
        [FIRST, BARE, payload @ ..] => Some((Role::Client, payload.try_into().ok()?)),
        _ => None,
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
            assert_eq!(parse_pong(&answer), Some((role, *b"abcdefgh")));
            for other in [
                &answer[..answer.len() - 1],
                &[&answer[..], &[0]].concat(),
                &frame(FIN | PING, &[0; 8]),
                &frame(FIN | PONG, &[0; 4]),
                &frame(FIN | PONG, &[0; 9]),
            ] {
                assert_eq!(parse_pong(other), None);
            }
        }
    }

    #[test]
    fn a_heartbeat_is_a_ping_with_a_mask_if_there_is_one() {
        for mask in [None, Some([1, 2, 3, 4])] {
            let mut frame = Vec::new();
            write_frame(&mut frame, FIN | PING, b"abcdefgh", mask);
            assert_eq!(Ping::new(*b"abcdefgh", mask).as_ref(), frame);
        }
    }
}
