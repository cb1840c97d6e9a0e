//! Frame boundaries in a byte stream (RFC 6455 §5.2): what was heard, and may this connection be parked?
//!
//! The scanner only counts; whether a frame is legal is tungstenite's business.

use crate::sabotage::{self, Bug};

/// Progress inside one frame counts as heard in steps of this many bytes: pongs cannot come between the bytes of a large
/// frame on a slow link, but a byte a minute must not keep a peer alive.
const PROGRESS_STEP: u32 = 4_096;

/// How much of a frame is counted as held before it has come.
const HELD_STEP: u64 = 16 * 1024;

/// Frames with more payload never go through the shared context: it would keep the memory.
const SHARED_PAYLOAD_MAX: u64 = 64 * 1024;

const FIN: u8 = 0x80;
const RSV: u8 = 0x70;
const OPCODE: u8 = 0x0F;
const MASKED: u8 = 0x80;
const CONTINUATION: u8 = 0x0;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xA;

/// What a stretch of bytes held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Seen {
    /// Frames that were completed.
    pub(crate) frames: u32,
    /// At least [`PROGRESS_STEP`] bytes were gained inside a frame.
    pub(crate) progress: bool,
    /// A close frame was completed, with this code (1005 if it carried none).
    pub(crate) close: Option<u16>,
}

impl Seen {
    /// Whether the peer counts as heard.
    pub(crate) fn heard(self) -> bool {
        self.frames > 0 || self.progress || sabotage::on(Bug::EveryByteIsHeard)
    }
}

/// Where in its stream of frames a connection is. A fresh one stands between two messages.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scanner {
    header: [u8; 14],
    have: u8,
    in_payload: bool,
    in_message: bool,
    close_code: [u8; 2],
    credit: u32,
    length: u64,
    left: u64,
    message: u64,
}

impl Scanner {
    /// Takes the next bytes of the stream.
    pub(crate) fn advance(&mut self, mut data: &[u8]) -> Seen {
        let mut seen = Seen::default();
        while !data.is_empty() {
            if self.in_payload {
                let take = usize::try_from(self.left)
                    .unwrap_or(usize::MAX)
                    .min(data.len());
                self.note_close_code(&data[..take]);
                self.left -= take as u64;
                self.credit = self.credit.saturating_add(take as u32);
                data = &data[take..];
            } else {
                self.header[usize::from(self.have)] = data[0];
                self.have += 1;
                data = &data[1..];
                if usize::from(self.have) < header_len(&self.header[..usize::from(self.have)]) {
                    continue;
                }
                self.length = payload_len(&self.header);
                self.left = self.length;
                self.in_payload = true;
            }
            if self.left == 0 {
                self.finish_frame(&mut seen);
            } else if self.credit >= PROGRESS_STEP {
                self.credit %= PROGRESS_STEP;
                seen.progress = true;
            }
        }
        seen
    }

    /// Between two messages: nothing of what was seen so far matters to what follows.
    pub(crate) fn at_rest(&self) -> bool {
        self.have == 0 && (!self.in_message || sabotage::on(Bug::ParkedTooSoon))
    }

    /// In the middle of a frame.
    pub(crate) fn in_frame(&self) -> bool {
        self.have > 0
    }

    /// Bytes that whoever decodes this stream holds now: the fragments before, and of the frame in progress what has come
    /// and a step more. (A decoder reserves a frame as soon as its header is known, but what is reserved and never
    /// written takes no memory; charging it would let 14 bytes take a megabyte from everybody else.) Of a frame above
    /// `most`, which will be refused, nothing.
    pub(crate) fn holding(&self, most: u64) -> u64 {
        let frame = if self.in_payload && self.length <= most {
            (self.length - self.left)
                .saturating_add(HELD_STEP)
                .min(self.length)
        } else {
            0
        };
        self.message.saturating_add(frame)
    }

    fn finish_frame(&mut self, seen: &mut Seen) {
        let first = self.header[0];
        seen.frames += 1;
        match first & OPCODE {
            CLOSE if seen.close.is_none() => {
                seen.close = Some(if self.length >= 2 {
                    u16::from_be_bytes(self.close_code)
                } else {
                    1005
                });
            }
            CONTINUATION | TEXT | BINARY => {
                self.in_message = first & FIN == 0;
                self.message = if self.in_message {
                    self.message.saturating_add(self.length)
                } else {
                    0
                };
            }
            _ => {}
        }
        self.have = 0;
        self.in_payload = false;
        self.credit = 0;
        self.length = 0;
    }

    /// Keeps the first two payload bytes of a close frame, unmasked.
    fn note_close_code(&mut self, data: &[u8]) {
        if self.header[0] & OPCODE != CLOSE {
            return;
        }
        let offset = (self.length - self.left) as usize;
        let mask: [u8; 4] = if self.header[1] & MASKED == 0 {
            [0; 4]
        } else {
            let end = usize::from(self.have);
            [
                self.header[end - 4],
                self.header[end - 3],
                self.header[end - 2],
                self.header[end - 1],
            ]
        };
        for (at, byte) in data.iter().enumerate().take(2usize.saturating_sub(offset)) {
            self.close_code[offset + at] = byte ^ mask[offset + at];
        }
    }
}

/// The length of the longest prefix of `data` that is whole frames which leave a decoder as it was: final, masked, without reserved bits, text, binary, ping or pong, and not large.
pub(crate) fn self_contained_prefix(data: &[u8]) -> usize {
    let mut end = 0;
    while let Some(len) = self_contained_frame(&data[end..]) {
        end += len;
    }
    end
}

/// The payload, if `data` is exactly one pong as it answers a heartbeat of ours: final, masked, of four bytes. Most reads
/// of a fleet at rest are that and nothing else; it needs no context to be understood.
pub(crate) fn heartbeat_pong(data: &[u8]) -> Option<[u8; 4]> {
    let [0x8A, 0x84, m, n, o, p, a, b, c, d] = *data else {
        return None;
    };
    Some([a ^ m, b ^ n, c ^ o, d ^ p])
}

/// Whether `data`, which holds no whole frame, begins one that may turn out self-contained, with a payload of `most` bytes
/// at most.
pub(crate) fn may_be_self_contained(data: &[u8], most: u64) -> bool {
    let Some(limit) = data.first().and_then(|first| self_contained_limit(*first)) else {
        return false;
    };
    let masked = data.get(1).is_none_or(|second| second & MASKED != 0);
    let fits = data.len() < header_len(data) || payload_len(data) <= limit.min(most);
    masked && fits
}

fn self_contained_frame(data: &[u8]) -> Option<usize> {
    let (&first, &second) = (data.first()?, data.get(1)?);
    let head = header_len(data);
    let most = self_contained_limit(first)?;
    if second & MASKED == 0 || data.len() < head {
        return None;
    }
    let length = payload_len(data);
    let whole = head + usize::try_from(length.min(most + 1)).ok()?;
    (length <= most && whole <= data.len()).then_some(whole)
}

/// The most payload of a self-contained frame with this first byte; `None` if there is no such frame.
fn self_contained_limit(first: u8) -> Option<u64> {
    match first & OPCODE {
        _ if first & (FIN | RSV) != FIN => None,
        TEXT | BINARY => Some(SHARED_PAYLOAD_MAX),
        PING | PONG => Some(125),
        _ => None,
    }
}

/// The length of a frame's header as far as its first bytes tell; at least 2.
fn header_len(header: &[u8]) -> usize {
    let Some(second) = header.get(1) else {
        return 2;
    };
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
    fn boundaries_do_not_depend_on_the_cuts() {
        let stream = [
            frame(FIN | TEXT, 0),
            frame(TEXT, 125),
            frame(FIN | PING, 4),
            frame(CONTINUATION, 126),
            frame(FIN | CONTINUATION, 65_536),
            frame(FIN | BINARY, 65_535),
        ]
        .concat();
        for cut in [1, 2, 3, 7, 100, 4_096, stream.len()] {
            let mut scanner = Scanner::default();
            let frames: u32 = stream.chunks(cut).map(|c| scanner.advance(c).frames).sum();
            assert_eq!(
                (frames, scanner.at_rest(), scanner.holding(u64::MAX)),
                (6, true, 0),
                "cut {cut}"
            );
        }
    }

    #[test]
    fn progress_counts_in_steps_and_not_by_the_byte() {
        let stream = frame(FIN | BINARY, 20_000);
        let mut scanner = Scanner::default();
        let steps = stream
            .iter()
            .filter(|b| scanner.advance(&[**b]).progress)
            .count();
        assert_eq!(steps, 20_000 / PROGRESS_STEP as usize);
    }

    #[test]
    fn rest_is_between_messages_not_between_frames() {
        let mut scanner = Scanner::default();
        assert!(scanner.at_rest());
        scanner.advance(&frame(TEXT, 10));
        assert!(!scanner.at_rest() && !scanner.in_frame());
        assert_eq!(scanner.holding(u64::MAX), 10);
        scanner.advance(&frame(FIN | PONG, 3));
        assert!(!scanner.at_rest());
        scanner.advance(&frame(FIN | CONTINUATION, 1));
        assert!(scanner.at_rest());
    }

    #[test]
    fn a_close_code_is_read_through_the_mask_and_the_cuts() {
        let mut close = vec![FIN | CLOSE, MASKED | 2, 1, 2, 3, 4];
        close.extend([(1001u16 >> 8) as u8 ^ 1, (1001u16 & 0xFF) as u8 ^ 2]);
        for cut in 1..=close.len() {
            let mut scanner = Scanner::default();
            let code = close.chunks(cut).find_map(|c| scanner.advance(c).close);
            assert_eq!(code, Some(1001));
        }
        assert_eq!(
            Scanner::default().advance(&frame(FIN | CLOSE, 0)).close,
            Some(1005)
        );
    }

    #[test]
    fn a_lone_pong_of_four_bytes_is_read_through_its_mask() {
        let pong = frame(FIN | PONG, 4);
        assert_eq!(
            heartbeat_pong(&pong),
            Some([0x55 ^ 1, 0x55 ^ 2, 0x55 ^ 3, 0x55 ^ 4])
        );
        for other in [
            &pong[..9],
            &[&pong[..], &[0]].concat(),
            &frame(FIN | PING, 4),
            &frame(FIN | PONG, 5),
        ] {
            assert_eq!(heartbeat_pong(other), None);
        }
    }

    #[test]
    fn what_may_be_self_contained_is_known_from_its_first_bytes() {
        let most = SHARED_PAYLOAD_MAX;
        for good in [
            frame(FIN | TEXT, 200),
            frame(FIN | PING, 5),
            frame(FIN | BINARY, most as usize),
        ] {
            assert!((1..good.len()).all(|cut| may_be_self_contained(&good[..cut], most)));
        }
        let large = frame(FIN | BINARY, 300);
        assert!(may_be_self_contained(&large[..7], most));
        assert!(may_be_self_contained(&large[..8], 300));
        assert!(!may_be_self_contained(&large[..8], 299));
        for other in [
            &[TEXT][..],
            &[FIN | CONTINUATION],
            &[FIN | CLOSE],
            &[FIN | 0x40 | TEXT],
            &[FIN | 0x3],
            &[FIN | TEXT, 1],
            &frame(FIN | PING, 126)[..8],
            &frame(FIN | BINARY, most as usize + 1)[..14],
        ] {
            assert!(!may_be_self_contained(other, most), "{other:?}");
        }
    }

    #[test]
    fn only_whole_plain_frames_are_self_contained() {
        let (text, ping) = (frame(FIN | TEXT, 200), frame(FIN | PING, 5));
        let plain = [text.clone(), ping.clone()].concat();
        assert_eq!(self_contained_prefix(&plain), plain.len());
        assert_eq!(self_contained_prefix(&plain[..plain.len() - 1]), text.len());
        for other in [
            frame(TEXT, 3),
            frame(FIN | CONTINUATION, 3),
            frame(FIN | CLOSE, 2),
            frame(FIN | 0x40 | TEXT, 3),
            frame(FIN | 0x3, 3),
            frame(FIN | PING, 126),
            frame(FIN | BINARY, SHARED_PAYLOAD_MAX as usize + 1),
            vec![FIN | TEXT, 1, b'x'],
            vec![FIN | TEXT],
        ] {
            let both = [ping.clone(), other].concat();
            assert_eq!(self_contained_prefix(&both), ping.len());
        }
    }
}
