//! Frame headers and frame boundaries in what peers send (RFC 6455 §5.2).

use crate::health::PAYLOAD;
use std::ops::ControlFlow;
use tungstenite::error::{CapacityError, Error as WsError, ProtocolError};
use tungstenite::protocol::frame::coding::{Data, OpCode};

const FIN: u8 = 0x80;
const RSV: u8 = 0x70;
const OPCODE: u8 = 0x0F;
const MASKED: u8 = 0x80;
const CONTINUATION: u8 = 0x0;
pub(crate) const TEXT: u8 = 0x1;
pub(crate) const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PONG: u8 = 0xA;

/// The most payload of a control frame (RFC 6455 §5.5).
const CONTROL_MAX: u64 = 125;

/// A frame's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    first: u8,
    /// Its own length in bytes, 2 to 14.
    pub(crate) len: usize,
    /// The length of the payload in bytes.
    pub(crate) payload: u64,
    mask: Option<[u8; 4]>,
}

/// What is done with a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A whole message, of this opcode.
    Whole(u8),
    /// The first frame of a message in fragments, of this opcode.
    First(u8),
    /// A fragment that more follow.
    Middle,
    /// The last fragment.
    Last,
    /// A ping or pong.
    Control,
    /// A close frame.
    Close,
}

impl Kind {
    /// The opcode of the message that begins with the frame.
    pub(crate) fn begins(self) -> Option<u8> {
        match self {
            Kind::Whole(opcode) | Kind::First(opcode) => Some(opcode),
            Kind::Middle | Kind::Last | Kind::Control | Kind::Close => None,
        }
    }
}

impl Header {
    /// Parses the header at the beginning of `data`; `None` if it is not whole.
    pub(crate) fn parse(data: &[u8]) -> Option<Self> {
        let (&first, &second) = (data.first()?, data.get(1)?);
        let len = header_len(second);
        let header = data.get(..len)?;
        let mask = (second & MASKED != 0).then(|| {
            let at = len - 4;
            [header[at], header[at + 1], header[at + 2], header[at + 3]]
        });
        Some(Header {
            first,
            len,
            payload: payload_len(header),
            mask,
        })
    }

    /// The header and the payload together, in bytes; at most `usize::MAX`.
    pub(crate) fn frame_len(&self) -> usize {
        usize::try_from(self.payload)
            .unwrap_or(usize::MAX)
            .saturating_add(self.len)
    }

    /// The mask of the payload; zeros if there is none.
    pub(crate) fn mask(&self) -> [u8; 4] {
        self.mask.unwrap_or_default()
    }

    /// Returns whether it is a text, binary or continuation frame.
    pub(crate) fn is_data(&self) -> bool {
        self.first & 0x08 == 0
    }

    /// Judges a frame by its header, before its payload has arrived. `in_message`: the length of the fragments before, if it
    /// comes in the middle of a message. `most`: the longest message, in bytes.
    ///
    /// # Errors
    /// What tungstenite reports once it has read the frame.
    pub(crate) fn judge(&self, in_message: Option<usize>, most: usize) -> Result<Kind, WsError> {
        let size = in_message
            .filter(|_| self.is_data())
            .unwrap_or(0)
            .saturating_add(usize::try_from(self.payload).unwrap_or(usize::MAX));
        if self.payload > most as u64 || self.is_data() && size > most {
            let max_size = most;
            return Err(CapacityError::MessageTooLong { size, max_size }.into());
        }
        if self.mask.is_none() {
            return Err(ProtocolError::UnmaskedFrameFromClient.into());
        }
        if self.first & RSV != 0 {
            return Err(ProtocolError::NonZeroReservedBits.into());
        }
        let (opcode, is_final) = (self.first & OPCODE, self.first & FIN != 0);
        let fault = match (opcode, in_message) {
            (CLOSE..=PONG, _) if is_final && self.payload <= CONTROL_MAX => {
                return Ok(if opcode == CLOSE {
                    Kind::Close
                } else {
                    Kind::Control
                });
            }
            (CLOSE.., _) if !is_final => ProtocolError::FragmentedControlFrame,
            (CLOSE.., _) if self.payload > CONTROL_MAX => ProtocolError::ControlFrameTooBig,
            (CLOSE.., _) => ProtocolError::UnknownControlFrameType(opcode),
            (CONTINUATION, None) => ProtocolError::UnexpectedContinueFrame,
            (CONTINUATION, Some(_)) if is_final => return Ok(Kind::Last),
            (CONTINUATION, Some(_)) => return Ok(Kind::Middle),
            (_, Some(_)) => match OpCode::from(opcode) {
                OpCode::Data(data) => ProtocolError::ExpectedFragment(data),
                OpCode::Control(_) => ProtocolError::ExpectedFragment(Data::Reserved(opcode)),
            },
            (TEXT | BINARY, None) if is_final => return Ok(Kind::Whole(opcode)),
            (TEXT | BINARY, None) => return Ok(Kind::First(opcode)),
            (_, None) => ProtocolError::UnknownDataFrameType(opcode),
        };
        Err(fault.into())
    }
}

/// The payload, if `data` is exactly one pong as it answers a heartbeat of ours: final, masked, of eight bytes. Most reads
/// of a fleet at rest are that and nothing else; it needs no context to be understood.
pub(crate) fn heartbeat_pong(data: &[u8]) -> Option<[u8; PAYLOAD]> {
    let [0x8A, 0x88, m, n, o, p, ref payload @ ..] = *data else {
        return None;
    };
    let masked = u64::from_ne_bytes(*<&[u8; PAYLOAD]>::try_from(payload).ok()?);
    let mask = u64::from_ne_bytes([m, n, o, p, m, n, o, p]);
    Some((masked ^ mask).to_ne_bytes())
}

/// Looks for the peer's close frame in a stream of which nothing else is of interest any more.
#[derive(Debug, Clone, Default)]
pub(crate) struct CloseFinder {
    header: [u8; 14],
    have: u8,
    /// Bytes of the payload that are to come, once the header is whole.
    left: Option<u64>,
}

impl CloseFinder {
    /// Begins in the middle of a frame, of which `head` and `payload` bytes have arrived.
    pub(crate) fn inside(head: &[u8], payload: u64) -> Self {
        let mut finder = CloseFinder::default();
        // No close frame ends inside a frame.
        let _ = finder.advance(head);
        finder.left = finder.left.map(|left| left - payload);
        finder
    }

    /// Takes the next bytes of the stream. Breaks when a close frame was completed.
    pub(crate) fn advance(&mut self, mut data: &[u8]) -> ControlFlow<()> {
        while !data.is_empty() {
            let left = match self.left {
                Some(left) => {
                    let take = usize::try_from(left).unwrap_or(usize::MAX).min(data.len());
                    data = &data[take..];
                    left - take as u64
                }
                None => {
                    self.header[usize::from(self.have)] = data[0];
                    self.have += 1;
                    data = &data[1..];
                    match Header::parse(&self.header[..usize::from(self.have)]) {
                        Some(header) => header.payload,
                        None => continue,
                    }
                }
            };
            self.left = Some(left);
            if left == 0 {
                (self.have, self.left) = (0, None);
                if self.header[0] & OPCODE == CLOSE {
                    return ControlFlow::Break(());
                }
            }
        }
        ControlFlow::Continue(())
    }
}

/// The length of a frame's header, by its second byte.
fn header_len(second: u8) -> usize {
    let extended = match second & !MASKED {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    2 + extended + if second & MASKED == 0 { 0 } else { 4 }
}

/// The length of a frame's payload; the header must be whole.
fn payload_len(header: &[u8]) -> u64 {
    match header[1] & !MASKED {
        126 => u64::from(u16::from_be_bytes([header[2], header[3]])),
        127 => {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&header[2..10]);
            u64::from_be_bytes(bytes)
        }
        short => u64::from(short),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(first: u8, payload: usize) -> Vec<u8> {
        let mut f = vec![first];
        match payload {
            0..=125 => f.push(MASKED | payload as u8),
            126..=65_535 => {
                f.push(MASKED | 126);
                f.extend((payload as u16).to_be_bytes());
            }
            _ => {
                f.push(MASKED | 127);
                f.extend((payload as u64).to_be_bytes());
            }
        }
        f.extend([1, 2, 3, 4]);
        f.extend(std::iter::repeat_n(0x55, payload));
        f
    }

    #[test]
    fn a_header_is_parsed_when_all_of_it_is_here() {
        for payload in [0, 125, 126, 65_535, 65_536] {
            let frame = frame(FIN | TEXT, payload);
            let header = Header::parse(&frame).expect("a header");
            assert_eq!(header.frame_len(), frame.len());
            assert_eq!(header.mask(), [1, 2, 3, 4]);
            assert!((0..header.len).all(|cut| Header::parse(&frame[..cut]).is_none()));
        }
    }

    #[test]
    fn frames_are_judged_as_rfc_6455_says() {
        let judge = |first, payload, in_message| {
            Header::parse(&frame(first, payload))
                .expect("a header")
                .judge(in_message, 1_000)
                .map_err(|e| e.to_string())
        };
        assert_eq!(judge(FIN | TEXT, 200, None), Ok(Kind::Whole(TEXT)));
        assert_eq!(judge(FIN | PONG, 125, Some(3)), Ok(Kind::Control));
        assert_eq!(judge(FIN | CLOSE, 2, Some(3)), Ok(Kind::Close));
        assert_eq!(judge(BINARY, 3, None), Ok(Kind::First(BINARY)));
        assert_eq!(judge(CONTINUATION, 3, Some(3)), Ok(Kind::Middle));
        assert_eq!(judge(FIN | CONTINUATION, 0, Some(3)), Ok(Kind::Last));
        for (first, payload, in_message, fault) in [
            (FIN | TEXT, 1_001, None, "too long"),
            (FIN | CONTINUATION, 998, Some(3), "too long"),
            (FIN | 0x40 | TEXT, 3, None, "eserved bits"),
            (FIN | CONTINUATION, 3, None, "ontinue frame"),
            (FIN | TEXT, 3, Some(3), "fragment"),
            (FIN | 0x3, 3, None, "data frame type"),
            (FIN | 0x3, 3, Some(3), "fragment"),
            (CLOSE, 3, None, "ragmented control frame"),
            (FIN | PONG, 126, None, "ontrol frame too big"),
            (FIN | 0xB, 3, None, "control frame type"),
        ] {
            let judged = judge(first, payload, in_message).expect_err("a fault");
            assert!(judged.contains(fault), "{first:#x}: {judged}");
        }
        let unmasked = Header::parse(&[FIN | TEXT, 1, b'x']).expect("a header");
        let judged = unmasked.judge(None, 1_000).expect_err("a fault");
        assert!(judged.to_string().contains("unmasked"), "{judged}");
    }

    #[test]
    fn a_close_frame_is_found_whatever_the_cuts() {
        let stream = [
            frame(FIN | TEXT, 0),
            frame(TEXT, 125),
            frame(FIN | CONTINUATION, 65_536),
            frame(FIN | CLOSE, 2),
        ]
        .concat();
        for cut in [1, 2, 3, 7, 100, 4_096, stream.len()] {
            let mut finder = CloseFinder::default();
            let at = stream
                .chunks(cut)
                .position(|c| finder.advance(c).is_break());
            assert_eq!(at, Some((stream.len() - 1) / cut), "cut {cut}");
        }
        let mut finder = CloseFinder::default();
        assert!(finder.advance(&frame(FIN | CLOSE, 0)).is_break());
        assert!(finder.advance(&frame(FIN | PONG, 0)).is_continue());
    }

    #[test]
    fn a_lone_pong_of_eight_bytes_is_read_through_its_mask() {
        let pong = frame(FIN | PONG, 8);
        let [m, n, o, p] = [0x55 ^ 1, 0x55 ^ 2, 0x55 ^ 3, 0x55 ^ 4];
        assert_eq!(heartbeat_pong(&pong), Some([m, n, o, p, m, n, o, p]));
        for other in [
            &pong[..13],
            &[&pong[..], &[0]].concat(),
            &frame(FIN | 0x9, 8),
            &frame(FIN | PONG, 4),
            &frame(FIN | PONG, 9),
        ] {
            assert_eq!(heartbeat_pong(other), None);
        }
    }
}
