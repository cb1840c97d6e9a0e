//! Frames on a client's side (RFC 6455 §5): reads unmasked ones in pieces of any size, and writes
//! masked ones.

use pulsegate::wire::frame::{
    self, BINARY, CLOSE, CONTINUATION, CONTROL_MAX, FIN, Header, MASKED, PING, PONG, RSV, TEXT,
};

/// A whole frame from the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerFrame {
    pub opcode: Opcode,
    /// The first bytes of its payload: all of a control frame, and enough of a message to recognise
    /// it.
    prefix: [u8; PREFIX],
    kept: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Opcode {
    Continue = CONTINUATION,
    Text = TEXT,
    Binary = BINARY,
    Close = CLOSE,
    Ping = PING,
    Pong = PONG,
}

/// The server violated the protocol.
#[derive(Debug, PartialEq, Eq)]
pub struct Violation;

/// The longest payload of a control frame.
const PREFIX: usize = CONTROL_MAX;

impl ServerFrame {
    pub fn prefix(&self) -> &[u8] {
        &self.prefix[..usize::from(self.kept)]
    }

    /// Returns the code of a close frame; `None` if it has no payload.
    pub fn close_code(&self) -> Option<u16> {
        match *self.prefix() {
            [high, low, ..] => Some(u16::from_be_bytes([high, low])),
            _ => None,
        }
    }
}

/// Finds the frames in a stream of bytes. It allocates nothing between frames.
#[derive(Default)]
pub struct FrameReader {
    /// The header and the prefix of an unfinished frame, as far as they have arrived.
    partial: Vec<u8>,
    /// Payload bytes after the prefix that have arrived and were discarded.
    skipped: u64,
}

impl FrameReader {
    /// Takes the next whole frame from the front of `input`, or all of `input` if it ends within a
    /// frame.
    pub fn next(&mut self, input: &mut &[u8]) -> Result<Option<ServerFrame>, Violation> {
        if self.partial.is_empty() {
            // The usual case: the whole frame is in `input`, and nothing is copied.
            match parse(input)? {
                Some(whole) if input.len() as u64 >= whole.size() => {
                    let frame = whole.frame(&input[whole.bytes..]);
                    *input = &input[whole.size() as usize..];
                    return Ok(Some(frame));
                }
                _ if input.is_empty() => return Ok(None),
                _ => {}
            }
        }
        self.advance(input)
    }

    fn advance(&mut self, input: &mut &[u8]) -> Result<Option<ServerFrame>, Violation> {
        let header = loop {
            match parse(&self.partial)? {
                Some(header) => break header,
                None if input.is_empty() => return Ok(None),
                None => self.keep(input, 1),
            }
        };
        self.keep(input, header.bytes + header.kept() - self.partial.len());
        if self.partial.len() < header.bytes + header.kept() {
            return Ok(None);
        }
        let missing = header.length - header.kept() as u64 - self.skipped;
        let skip = missing.min(input.len() as u64);
        *input = &input[skip as usize..];
        self.skipped += skip;
        if skip < missing {
            return Ok(None);
        }
        let frame = header.frame(&self.partial[header.bytes..]);
        *self = FrameReader::default();
        Ok(Some(frame))
    }

    fn keep(&mut self, input: &mut &[u8], most: usize) {
        let (taken, rest) = input.split_at(most.min(input.len()));
        self.partial.extend_from_slice(taken);
        *input = rest;
    }
}

/// A valid header.
struct ParsedHeader {
    opcode: Opcode,
    /// Length of the payload.
    length: u64,
    /// Length of the header.
    bytes: usize,
}

/// Parses a header; `None` if it is incomplete.
fn parse(input: &[u8]) -> Result<Option<ParsedHeader>, Violation> {
    let [first, second, ..] = *input else {
        return Ok(None);
    };
    let opcode = check_start(first, second)?;
    let Some(header) = Header::parse(input) else {
        return Ok(None);
    };
    // The highest bit must be 0 (RFC 6455 §5.2), so the sums below cannot overflow.
    if header.payload > u64::MAX >> 1 {
        return Err(Violation);
    }
    Ok(Some(ParsedHeader {
        opcode,
        length: header.payload,
        bytes: header.len,
    }))
}

/// Checks the first two bytes of a frame. A server must not mask, and no extension was negotiated.
fn check_start(first: u8, second: u8) -> Result<Opcode, Violation> {
    let opcode = match first & frame::OPCODE {
        CONTINUATION => Opcode::Continue,
        TEXT => Opcode::Text,
        BINARY => Opcode::Binary,
        CLOSE => Opcode::Close,
        PING => Opcode::Ping,
        PONG => Opcode::Pong,
        _ => return Err(Violation),
    };
    let is_control = opcode as u8 >= CLOSE;
    let is_whole = first & FIN != 0 && usize::from(second) <= CONTROL_MAX;
    if first & RSV != 0 || second & MASKED != 0 || is_control && !is_whole {
        return Err(Violation);
    }
    Ok(opcode)
}

impl ParsedHeader {
    fn kept(&self) -> usize {
        self.length.min(PREFIX as u64) as usize
    }

    fn size(&self) -> u64 {
        self.bytes as u64 + self.length
    }

    fn frame(&self, payload: &[u8]) -> ServerFrame {
        let mut prefix = [0; PREFIX];
        prefix[..self.kept()].copy_from_slice(&payload[..self.kept()]);
        ServerFrame {
            opcode: self.opcode,
            prefix,
            kept: self.kept() as u8,
        }
    }
}

/// Appends a whole masked frame of a client.
pub fn put(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8], mask: [u8; 4]) {
    frame::write_frame(out, FIN | opcode as u8, payload, Some(mask));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server_frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        frame::write_frame(&mut out, first, payload, None);
        out
    }

    #[test]
    fn any_cut_gives_the_same_frames() {
        let long = vec![b'x'; 70_000];
        let sent: [(u8, &[u8]); 7] = [
            (0x89, b"12345678"),
            (0x01, b"{\"type\":\"pong\"}"),
            (0x80, &long[..126]),
            (0x8a, b""),
            (0x82, &long),
            (0x81, &long[..125]),
            (0x88, b"\x0b\xc0nothing heard"),
        ];
        let stream: Vec<u8> = sent.iter().flat_map(|(f, p)| server_frame(*f, p)).collect();
        for piece in [1, 2, 3, 7, 100, 1_000, 65_536, stream.len()] {
            let mut frames = FrameReader::default();
            let mut found = Vec::new();
            for mut input in stream.chunks(piece) {
                while let Some(frame) = frames.next(&mut input).expect("legal") {
                    found.push(frame);
                }
                assert!(input.is_empty());
            }
            assert_eq!(found.len(), sent.len(), "in pieces of {piece}");
            for (frame, (first, payload)) in found.iter().zip(&sent) {
                assert_eq!(frame.opcode as u8, first & 0x0f);
                assert_eq!(frame.prefix(), &payload[..payload.len().min(PREFIX)]);
            }
            assert_eq!(found[6].close_code(), Some(3_008));
            assert_eq!(frames.partial.capacity(), 0, "owns nothing between frames");
        }
    }

    #[test]
    fn what_a_server_must_not_send_is_a_violation() {
        for bytes in [
            &[0x89u8, 0x80][..],                    // masked
            &[0xc1, 0],                             // a reserved bit
            &[0x83, 0],                             // a reserved opcode
            &[0x09, 0],                             // a fragmented control frame
            &[0x89, 126],                           // a long control frame
            &[0x82, 127, 255, 0, 0, 0, 0, 0, 0, 0], // a length above 2^63
        ] {
            assert_eq!(
                FrameReader::default().next(&mut &bytes[..]),
                Err(Violation),
                "{bytes:x?}"
            );
        }
    }

    #[test]
    fn what_goes_out_is_masked() {
        for size in [0, 5, 125, 126, 65_535, 65_536] {
            let payload = vec![b'a'; size];
            let mut out = Vec::new();
            put(&mut out, Opcode::Text, &payload, [1, 2, 3, 4]);
            let mut cursor = std::io::Cursor::new(&out[..]);
            let (header, length) = tungstenite::protocol::frame::FrameHeader::parse(&mut cursor)
                .expect("legal")
                .expect("whole");
            assert_eq!((header.mask, length), (Some([1, 2, 3, 4]), size as u64));
            let body = &out[cursor.position() as usize..];
            assert!(
                body.iter()
                    .zip([1u8, 2, 3, 4].iter().cycle())
                    .all(|(b, m)| b ^ m == b'a')
            );
            assert_eq!(body.len(), size);
        }
    }
}
