//! Frame headers and whole frames, reading and writing (RFC 6455 §5.2).

use super::mask;

/// Set in the first byte of a message's last frame.
pub const FIN: u8 = 0x80;
/// The reserved bits of the first byte; 0 without an extension.
pub const RSV: u8 = 0x70;
/// The bits of the first byte that hold the opcode.
pub const OPCODE: u8 = 0x0F;
/// Set in the second byte of a masked frame.
pub const MASKED: u8 = 0x80;

/// The opcode of a fragment that is not the first.
pub const CONTINUATION: u8 = 0x0;
/// The opcode of a text message.
pub const TEXT: u8 = 0x1;
/// The opcode of a binary message.
pub const BINARY: u8 = 0x2;
/// The least opcode of a control frame.
pub const CONTROL: u8 = 0x8;
/// The opcode of a close frame.
pub const CLOSE: u8 = 0x8;
/// The opcode of a ping.
pub const PING: u8 = 0x9;
/// The opcode of a pong.
pub const PONG: u8 = 0xA;

/// The most payload of a control frame, in bytes (RFC 6455 §5.5).
pub const CONTROL_MAX: usize = 125;

/// The length of the longest frame header, in bytes.
pub const HEADER_MAX: usize = 14;

/// The length of a mask, in bytes.
const MASK: usize = 4;

/// Our end of a connection. A client masks its frames, a server does not, and each refuses frames
/// that break this rule (RFC 6455 §5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::exhaustive_enums, reason = "a connection has two ends")]
pub enum Role {
    /// The peer is a client.
    #[default]
    Server,
    /// The peer is a server.
    Client,
}

impl Role {
    /// Returns whether frames sent in this role are masked.
    pub const fn masks(self) -> bool {
        matches!(self, Role::Client)
    }

    /// Returns the role of the other end.
    pub const fn peer(self) -> Self {
        match self {
            Role::Server => Role::Client,
            Role::Client => Role::Server,
        }
    }

    /// Returns the length of the longest frame header sent in this role, in bytes.
    pub const fn header_max(self) -> usize {
        match self {
            Role::Server => HEADER_MAX - MASK,
            Role::Client => HEADER_MAX,
        }
    }
}

/// A frame's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "RFC 6455 §5.2 has no more")]
pub struct Header {
    /// The first byte: FIN, the reserved bits, the opcode.
    pub first: u8,
    /// The header's own length in bytes, 2 to 14.
    pub len: usize,
    /// The length of the payload in bytes.
    pub payload: u64,
    /// The mask of the payload, if it is masked.
    pub mask: Option<[u8; 4]>,
}

impl Header {
    /// Creates the header of a frame with `payload` bytes. A client's has a mask, a server's has
    /// none.
    pub fn new(first: u8, payload: u64, mask: Option<[u8; 4]>) -> Self {
        let extended = match payload {
            0..=125 => 0,
            126..=0xFFFF => 2,
            _ => 8,
        };
        Header {
            first,
            len: 2 + extended + mask.map_or(0, |mask| mask.len()),
            payload,
            mask,
        }
    }

    /// Parses the header at the beginning of `data`; `None` if it is incomplete.
    pub fn parse(data: &[u8]) -> Option<Self> {
        let (&first, &second) = (data.first()?, data.get(1)?);
        let len = header_len(second);
        let header = data.get(..len)?;
        let mask = (second & MASKED != 0).then(|| {
            let at = len - MASK;
            [header[at], header[at + 1], header[at + 2], header[at + 3]]
        });
        Some(Header {
            first,
            len,
            payload: payload_len(header),
            mask,
        })
    }

    /// Appends the header to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        let masked = if self.mask.is_some() { MASKED } else { 0 };
        match self.payload {
            short @ 0..=125 => out.extend_from_slice(&[self.first, masked | short as u8]),
            medium @ 126..=0xFFFF => {
                let [a, b] = (medium as u16).to_be_bytes();
                out.extend_from_slice(&[self.first, masked | 126, a, b]);
            }
            long => {
                out.extend_from_slice(&[self.first, masked | 127]);
                out.extend_from_slice(&long.to_be_bytes());
            }
        }
        if let Some(mask) = self.mask {
            out.extend_from_slice(&mask);
        }
    }

    /// Returns the length of the header and the payload together, in bytes; at most `usize::MAX`.
    pub fn frame_len(&self) -> usize {
        usize::try_from(self.payload)
            .unwrap_or(usize::MAX)
            .saturating_add(self.len)
    }

    /// Returns the mask of the payload; zeros if there is none.
    pub fn mask(&self) -> [u8; 4] {
        self.mask.unwrap_or_default()
    }

    /// Returns the opcode.
    pub fn opcode(&self) -> u8 {
        self.first & OPCODE
    }

    /// Returns whether it is a text, binary or continuation frame.
    pub fn is_data(&self) -> bool {
        self.opcode() < CONTROL
    }
}

/// Appends a whole frame to `out`. A client's has a mask, a server's has none.
pub fn write_frame(out: &mut Vec<u8>, first: u8, payload: &[u8], mask: Option<[u8; 4]>) {
    Header::new(first, payload.len() as u64, mask).write(out);
    let from = out.len();
    out.extend_from_slice(payload);
    if let Some(mask) = mask {
        mask::apply(&mut out[from..], mask, 0);
    }
}

/// Returns the length of a frame's header, from its second byte.
fn header_len(second: u8) -> usize {
    let extended = match second & !MASKED {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    2 + extended + if second & MASKED == 0 { 0 } else { MASK }
}

/// Returns the length of a frame's payload; the header must be complete.
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
    use tungstenite::protocol::frame::FrameHeader;

    const MASKS: [Option<[u8; 4]>; 2] = [None, Some([1, 2, 3, 4])];

    #[test]
    fn a_header_is_parsed_when_all_of_it_is_here() {
        for mask in MASKS {
            for payload in [0, 125, 126, 65_535, 65_536] {
                let mut frame = Vec::new();
                write_frame(&mut frame, FIN | TEXT, &vec![0x55; payload], mask);
                let header = Header::parse(&frame).expect("a header");
                assert_eq!(header, Header::new(FIN | TEXT, payload as u64, mask));
                assert_eq!(header.frame_len(), frame.len());
                assert_eq!(header.mask(), mask.unwrap_or_default());
                assert!((0..header.len).all(|cut| Header::parse(&frame[..cut]).is_none()));
            }
        }
    }

    #[test]
    fn a_frame_is_what_tungstenite_reads_in_either_role() {
        for mask in MASKS {
            for size in [0, 5, 125, 126, 65_535, 65_536] {
                let payload: Vec<u8> = (0..size).map(|i| i as u8).collect();
                let mut frame = Vec::new();
                write_frame(&mut frame, FIN | BINARY, &payload, mask);
                let mut cursor = std::io::Cursor::new(&frame[..]);
                let parsed = FrameHeader::parse(&mut cursor).expect("a legal header");
                let (header, length) = parsed.expect("a whole header");
                assert_eq!((header.mask, length), (mask, size as u64));
                let mut body = frame[cursor.position() as usize..].to_vec();
                mask::apply(&mut body, mask.unwrap_or_default(), 0);
                assert_eq!(body, payload);
            }
        }
    }

    #[test]
    fn the_longest_header_depends_on_the_role() {
        for role in [Role::Server, Role::Client] {
            let mask = role.masks().then_some([0; 4]);
            let longest = Header::new(FIN | BINARY, u64::MAX, mask);
            assert_eq!(longest.len, role.header_max());
            assert_eq!(role.peer().masks(), !role.masks());
        }
    }
}
