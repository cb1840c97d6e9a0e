//! An incoming message. Its payload is unmasked (RFC 6455 §5.3), text is checked for UTF-8 as it
//! arrives (§8.1), and the pieces are joined when all have arrived. The cost of a step is
//! proportional to its bytes, and a step takes at most 128 KiB.

use super::chunks::Chunks;
use super::frame::TEXT;
use super::mask;
use tungstenite::Message;

/// Bytes that are unmasked and checked at once; they stay in the processor's L1 cache.
const WINDOW: usize = 2 * 1024;

/// The extra cost of a byte of text that is not ASCII, in bytes.
const UTF8_COST: usize = 8;

/// Text that is not UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotUtf8;

/// A message that has arrived in part.
#[derive(Debug)]
pub(crate) struct IncomingMessage {
    payload: Payload,
    /// Bytes of payload received.
    len: usize,
}

#[derive(Debug)]
enum Payload {
    Binary(Chunks<Vec<u8>>),
    /// Text, and the beginning of an incomplete character.
    Text(Chunks<String>, PartialChar),
}

/// The first bytes of a character, at most three.
#[derive(Debug, Default)]
struct PartialChar {
    bytes: [u8; 3],
    len: usize,
}

impl IncomingMessage {
    /// Creates a message of this opcode, without payload.
    pub(crate) fn new(opcode: u8) -> Self {
        let payload = if opcode == TEXT {
            Payload::Text(Chunks::default(), PartialChar::default())
        } else {
            Payload::Binary(Chunks::default())
        };
        IncomingMessage { payload, len: 0 }
    }

    /// Returns a message whose only frame has arrived in one piece, and its cost in bytes.
    ///
    /// # Errors The text is not UTF-8.
    pub(crate) fn from_frame(
        opcode: u8,
        payload: &[u8],
        mask: [u8; 4],
    ) -> Result<(Message, usize), NotUtf8> {
        let mut bytes = payload.to_vec();
        mask::apply(&mut bytes, mask, 0);
        if opcode == TEXT {
            let text = String::from_utf8(bytes).map_err(|_| NotUtf8)?;
            let cost = text.len() + utf8_cost(&text);
            Ok((Message::text(text), cost))
        } else {
            Ok((Message::binary(bytes), payload.len()))
        }
    }

    /// Returns the number of bytes received.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Returns the number of bytes allocated.
    pub(crate) fn allocated(&self) -> usize {
        match &self.payload {
            Payload::Binary(bytes) => bytes.allocated(),
            Payload::Text(text, _) => text.allocated(),
        }
    }

    /// Appends bytes of a frame's payload; `offset` is their position in that payload. Returns
    /// their cost in bytes: text that is not ASCII costs more.
    ///
    /// # Errors The text cannot become valid UTF-8.
    pub(crate) fn push(
        &mut self,
        bytes: &[u8],
        mask: [u8; 4],
        offset: usize,
    ) -> Result<usize, NotUtf8> {
        let mut at = 0;
        let mut cost = bytes.len();
        for window in bytes.chunks(WINDOW) {
            let (offset, coming) = (offset + at, bytes.len() - at);
            match &mut self.payload {
                Payload::Binary(chunks) => {
                    let piece = chunks.reserve_last(window.len(), coming);
                    let from = piece.len();
                    piece.extend_from_slice(window);
                    mask::apply(&mut piece[from..], mask, offset);
                }
                Payload::Text(chunks, partial) => {
                    let mut buffer = [0; 3 + WINDOW];
                    let (held, fresh) = buffer.split_at_mut(partial.len);
                    held.copy_from_slice(&partial.bytes[..partial.len]);
                    fresh[..window.len()].copy_from_slice(window);
                    mask::apply(&mut fresh[..window.len()], mask, offset);
                    let bytes = &buffer[..partial.len + window.len()];
                    let (text, rest) = characters(bytes)?;
                    cost += utf8_cost(text);
                    let piece = chunks.reserve_last(text.len(), coming + partial.len);
                    piece.push_str(text);
                    partial.len = rest.len();
                    partial.bytes[..rest.len()].copy_from_slice(rest);
                }
            }
            at += window.len();
        }
        self.len += at;
        Ok(cost)
    }

    /// Ends the message: the last byte has arrived.
    ///
    /// # Errors The text ends inside a character.
    pub(crate) fn finish(&self) -> Result<(), NotUtf8> {
        match &self.payload {
            Payload::Text(_, partial) if partial.len > 0 => Err(NotUtf8),
            Payload::Text(..) | Payload::Binary(_) => Ok(()),
        }
    }

    /// Joins the next 128 KiB of a complete message. Returns the message after the last step.
    pub(crate) fn join(&mut self) -> Option<Message> {
        match &mut self.payload {
            Payload::Binary(chunks) => chunks.join().map(Message::binary),
            Payload::Text(chunks, _) => chunks.join().map(Message::text),
        }
    }
}

/// Returns the extra cost of a text, in bytes: checking text for UTF-8 is expensive if it is not
/// ASCII.
fn utf8_cost(text: &str) -> usize {
    if text.is_ascii() {
        0
    } else {
        UTF8_COST * text.len()
    }
}

/// Splits UTF-8 bytes into whole characters and the bytes of an incomplete one at the end.
fn characters(bytes: &[u8]) -> Result<(&str, &[u8]), NotUtf8> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok((text, &[])),
        Err(e) if e.error_len().is_some() => Err(NotUtf8),
        Err(e) => {
            let (whole, rest) = bytes.split_at(e.valid_up_to());
            // The bytes up to there are valid.
            let text = std::str::from_utf8(whole).map_err(|_| NotUtf8)?;
            Ok((text, rest))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::BINARY;
    use super::*;

    const MASK: [u8; 4] = [1, 2, 3, 4];

    fn masked(plain: &[u8]) -> Vec<u8> {
        let mut bytes = plain.to_vec();
        mask::apply(&mut bytes, MASK, 0);
        assert!(
            bytes
                .iter()
                .zip(plain)
                .enumerate()
                .all(|(i, (a, b))| a ^ b == MASK[i % 4])
        );
        bytes
    }

    /// Returns the message made from one payload that arrives in pieces of `cut` bytes.
    fn arrive(opcode: u8, payload: &[u8], cut: usize) -> Result<Message, NotUtf8> {
        let mut incoming = IncomingMessage::new(opcode);
        let mut offset = 0;
        for run in masked(payload).chunks(cut) {
            incoming.push(run, MASK, offset)?;
            offset += run.len();
            assert_eq!(incoming.len(), offset);
            let most = offset + offset / 16 + 500;
            assert!(incoming.allocated() <= most, "{}", incoming.allocated());
        }
        incoming.finish()?;
        loop {
            if let Some(message) = incoming.join() {
                break Ok(message);
            }
            // During joining only the piece in progress is in memory twice.
            assert!(incoming.allocated() <= 2 * payload.len() + 1_000);
        }
    }

    #[test]
    fn what_comes_in_any_cuts_is_one_message() {
        let bytes: Vec<u8> = (0..3_000_001u32).map(|i| (i % 251) as u8).collect();
        let text = "aé€𝄞".repeat(30_000);
        for cut in [1, 3, 777, 2_048, 2_049, 65_535, 65_536, 70_000] {
            let part = if cut < 100 { &bytes[..10_000] } else { &bytes };
            let got = arrive(BINARY, part, cut);
            assert!(got == Ok(Message::binary(part.to_vec())), "cut {cut}");
            let part = if cut < 100 { &text[..10_000] } else { &text };
            assert!(
                arrive(TEXT, part.as_bytes(), cut) == Ok(Message::text(part)),
                "cut {cut}"
            );
        }
        for payload in ["", "x", "€"] {
            let whole = IncomingMessage::from_frame(TEXT, &masked(payload.as_bytes()), MASK);
            let whole = whole.map(|(message, _)| message);
            assert_eq!(whole, Ok(Message::text(payload)));
            assert_eq!(arrive(TEXT, payload.as_bytes(), 1), whole);
        }
    }

    #[test]
    fn text_that_is_not_utf8_is_refused_wherever_it_is_cut() {
        for wrong in [
            &b"\xff"[..],
            b"\xc3",
            b"a\xed\xa0\x80b",
            b"\xe2\x82",
            b"\xf4\x90\x80\x80",
            b"\xc0\x80",
        ] {
            for before in [0, 1, 2_046, 2_047, 2_048, 65_535, 65_536] {
                let bytes = [&vec![b'a'; before][..], wrong].concat();
                for cut in [1, 2, 2_048, 70_000] {
                    if cut > 2 || before < 3 {
                        assert_eq!(arrive(TEXT, &bytes, cut), Err(NotUtf8), "{wrong:?}");
                    }
                }
                let whole = IncomingMessage::from_frame(TEXT, &masked(&bytes), MASK);
                assert_eq!(whole.map(|_| ()), Err(NotUtf8));
            }
        }
    }
}
