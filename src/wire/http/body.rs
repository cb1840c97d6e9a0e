//! Reading the body of a refusal (RFC 9112 §6).

use super::body_framing::{BodyFraming, body_framing};
use super::chunk_lines::ChunkLines;
use super::response::Response;
use super::response_fault::ResponseFault;
use tungstenite::Bytes;

/// The most bytes of a body that are kept. A longer one is cut here.
pub(crate) const BODY_MAX: usize = 64 << 10;

/// What a body needs after the bytes that have arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyStep {
    /// More bytes, or the end of the stream.
    More,
    /// Nothing: the end of the body has arrived, or the body has been cut.
    Complete,
}

/// Reads the body of a response, whose bytes arrive in any pieces, and removes its transfer coding.
#[derive(Debug)]
pub(crate) struct BodyReader {
    rest: Rest,
    body: Vec<u8>,
    is_cut: bool,
}

/// What is still to come of a body.
#[derive(Debug)]
enum Rest {
    /// This many bytes.
    Length(u64),
    /// Chunks and trailers, from where these lines are.
    Chunks(ChunkLines),
    /// Everything until the end of the stream.
    UntilEnd,
}

impl BodyReader {
    /// Creates the reader of the body that follows this head. A response without a body, such as a
    /// 204, is complete at once: [`push`](Self::push) says so, also without any bytes.
    pub(crate) fn new(response: &Response) -> Result<Self, ResponseFault> {
        let rest = match body_framing(response)? {
            BodyFraming::Length(length) => Rest::Length(length),
            BodyFraming::Chunked => Rest::Chunks(ChunkLines::default()),
            BodyFraming::UntilEnd => Rest::UntilEnd,
        };
        Ok(BodyReader {
            rest,
            body: Vec::new(),
            is_cut: false,
        })
    }

    /// Reads the next bytes. Those behind the end of the body are ignored.
    pub(crate) fn push(&mut self, mut bytes: &[u8]) -> Result<BodyStep, ResponseFault> {
        while !self.is_complete() && !bytes.is_empty() {
            self.step(&mut bytes)?;
            let is_longer = match &mut self.rest {
                Rest::Length(left) => *left > 0,
                Rest::Chunks(lines) => lines.data_left().is_some(),
                Rest::UntilEnd => !bytes.is_empty(),
            };
            self.is_cut = is_longer && self.body.len() == BODY_MAX;
        }
        Ok(if self.is_complete() {
            BodyStep::Complete
        } else {
            BodyStep::More
        })
    }

    /// Ends the body where the stream has ended; a fault unless it may end there.
    pub(crate) fn finish_at_eof(&mut self) -> Result<(), ResponseFault> {
        if matches!(self.rest, Rest::UntilEnd) {
            self.rest = Rest::Length(0);
        }
        if self.is_complete() {
            Ok(())
        } else {
            Err(ResponseFault::BodyEnd)
        }
    }

    /// Returns the bytes of memory that the reader has allocated.
    pub(crate) fn allocated(&self) -> usize {
        let lines = match &self.rest {
            Rest::Chunks(lines) => lines.allocated(),
            Rest::Length(_) | Rest::UntilEnd => 0,
        };
        self.body.capacity() + lines
    }

    /// Returns what has been kept of the body, in memory of that size, and whether it was longer.
    pub(crate) fn into_body(self) -> (Bytes, bool) {
        (self.body.into_boxed_slice().into(), self.is_cut)
    }

    /// Returns whether no more bytes are needed.
    fn is_complete(&self) -> bool {
        self.is_cut
            || match &self.rest {
                Rest::Length(left) => *left == 0,
                Rest::Chunks(lines) => lines.is_complete(),
                Rest::UntilEnd => false,
            }
    }

    /// Keeps bytes of the body, or reads a line between chunks, as far as they have arrived.
    fn step(&mut self, bytes: &mut &[u8]) -> Result<(), ResponseFault> {
        let mut here = bytes.len() as u64;
        let left = match &mut self.rest {
            Rest::Length(left) => left,
            Rest::Chunks(lines) => match lines.data_left() {
                Some(left) => left,
                None => return lines.read(bytes),
            },
            Rest::UntilEnd => &mut here,
        };
        let len = bytes.len().min(BODY_MAX - self.body.len());
        let len = usize::try_from(*left).map_or(len, |left| len.min(left));
        let (kept, rest) = bytes.split_at(len);
        append(&mut self.body, kept);
        *left -= len as u64;
        *bytes = rest;
        Ok(())
    }
}

/// Appends bytes to a body of at most [`BODY_MAX`]. Doubling the capacity alone would exceed that.
fn append(body: &mut Vec<u8>, bytes: &[u8]) {
    let len = body.len() + bytes.len();
    if len > body.capacity() {
        let capacity = (2 * body.capacity()).min(BODY_MAX).max(len);
        body.reserve_exact(capacity - body.len());
    }
    body.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a body was read as: what is kept of it, and whether it was longer.
    type Outcome = Result<(Vec<u8>, bool), ResponseFault>;

    /// The most memory that a reader may have: for the body, and for a line that doubles it.
    const ALLOCATED_MAX: usize = BODY_MAX + (16 << 10);

    /// Reads a body that arrives in these pieces. The stream ends behind it.
    fn read_pieces<'a>(head: &str, pieces: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
        let mut reader = BodyReader::new(&Response::of(head))?;
        for piece in pieces {
            let before = reader.push(&[])?;
            let step = reader.push(piece)?;
            assert!(before == BodyStep::More || step == BodyStep::Complete);
            assert!(
                reader.allocated() <= ALLOCATED_MAX,
                "{}",
                reader.allocated()
            );
        }
        reader.finish_at_eof()?;
        assert_eq!(reader.push(b"tail"), Ok(BodyStep::Complete));
        let (body, is_cut) = reader.into_body();
        Ok((body.to_vec(), is_cut))
    }

    /// Reads a body that arrives in one piece, in two pieces with every cut, and byte by byte.
    #[track_caller]
    fn read(head: &str, body: &[u8]) -> Outcome {
        let whole = read_pieces(head, [body]);
        for cut in 0..=body.len() {
            let (first, second) = body.split_at(cut);
            let cut_there = read_pieces(head, [first, second]);
            assert_eq!(cut_there, whole, "{cut}: {:?}", body.escape_ascii());
        }
        let bytes = read_pieces(head, body.chunks(1));
        assert_eq!(bytes, whole, "{:?}", body.escape_ascii());
        whole
    }

    /// Returns a head with these fields.
    fn with(fields: &str) -> String {
        format!("HTTP/1.1 503 Busy\r\n{fields}\r\n\r\n")
    }

    fn chunked(body: &[u8]) -> Outcome {
        read(&with("Transfer-Encoding: chunked"), body)
    }

    /// Returns how many bytes of a body are read before it is complete.
    fn bytes_until_complete(head: &str, body: &[u8]) -> Option<usize> {
        let mut reader = BodyReader::new(&Response::of(head)).expect("a framing");
        (0..=body.len()).find(|end| {
            let piece = &body[end.saturating_sub(1)..*end];
            reader.push(piece).expect("no fault") == BodyStep::Complete
        })
    }

    #[test]
    fn a_body_ends_where_its_head_says() {
        let whole = |text: &str| Ok((text.as_bytes().to_vec(), false));
        for fields in [
            "Content-Length: 5",
            "Content-Length: 5\r\nContent-Length: 5",
            "Content-Length: 5, 5 ,\t05",
        ] {
            let head = with(fields);
            assert_eq!(read(&head, b"hello"), whole("hello"), "{fields}");
            assert_eq!(read(&head, b"hello, world"), whole("hello"), "{fields}");
            assert_eq!(bytes_until_complete(&head, b"hello, world"), Some(5));
        }
        assert_eq!(read(&with("Content-Length: 0"), b"tail"), whole(""));
        assert_eq!(
            bytes_until_complete(&with("Content-Length: 0"), b""),
            Some(0)
        );
        for head in [
            with("Connection: close"),
            "HTTP/1.0 400 Bad\r\n\r\n".to_owned(),
        ] {
            assert_eq!(read(&head, b"0\r\n\r\n"), whole("0\r\n\r\n"));
            assert_eq!(read(&head, b""), whole(""));
            assert_eq!(bytes_until_complete(&head, b"hello"), None);
        }
        let fields = "Content-Length: 5\r\n\r\n";
        for line in ["HTTP/1.1 204 x", "HTTP/1.1 304 x", "HTTP/1.1 101 x"] {
            let head = format!("{line}\r\n{fields}");
            assert_eq!(read(&head, b"hello"), whole(""), "{line}");
            assert_eq!(bytes_until_complete(&head, b""), Some(0), "{line}");
        }
        let head = format!("HTTP/1.1 205 x\r\n{fields}");
        assert_eq!(read(&head, b"hello"), whole("hello"));
    }

    #[test]
    fn chunks_are_joined() {
        let whole = |text: &str| Ok((text.as_bytes().to_vec(), false));
        for (body, expected) in [
            ("0\r\n\r\n", ""),
            ("5\r\nhello\r\n0\r\n\r\n", "hello"),
            (
                "5\r\nhello\r\n0007\r\n, world\r\n000\r\n\r\n",
                "hello, world",
            ),
            (
                "A\r\n0123456789\r\nb\r\n0123456789a\r\n0\r\n\r\n",
                "01234567890123456789a",
            ),
            (
                "2;a=b\r\nab\r\n2 ; c=\"\u{e9};\"\r\ncd\r\n0;x\r\n\r\n",
                "abcd",
            ),
            ("2\r\n\r\n\r\n4\r\n0\r\n\r\r\n0\r\n\r\n", "\r\n0\r\n\r"),
            ("1\r\na\r\n0\r\nX: y\r\nA: b\r\n\r\n", "a"),
            ("1\r\na\r\n0\r\nX: y\n\n", "a"),
        ] {
            assert_eq!(chunked(body.as_bytes()), whole(expected), "{body:?}");
            let head = with("Transfer-Encoding:, CHUNKED ,");
            let tail = format!("{body}\r\n5\r\n");
            assert_eq!(read(&head, tail.as_bytes()), whole(expected), "{body:?}");
            let end = bytes_until_complete(&head, tail.as_bytes());
            assert_eq!(end, Some(body.len()), "{body:?}");
        }
    }

    /// Returns a body of chunks with these lengths, without its last chunk.
    fn chunks_of(lengths: &[usize]) -> Vec<u8> {
        let mut body = Vec::new();
        for len in lengths {
            body.extend(format!("{len:x}\r\n").bytes());
            body.extend(vec![b'x'; *len]);
            body.extend(b"\r\n");
        }
        body
    }

    #[test]
    fn a_long_body_is_cut() {
        let coded = with("Transfer-Encoding: chunked");
        let (until_end, half) = (with("A: b"), BODY_MAX / 2);
        let length = |len: usize| with(&format!("Content-Length: {len}"));
        let last = |lengths: &[usize]| [chunks_of(lengths), b"0\r\n\r\n".to_vec()].concat();
        for (head, body, is_cut) in [
            (&length(BODY_MAX), vec![b'x'; BODY_MAX + 1], false),
            (&length(BODY_MAX + 1), vec![b'x'; BODY_MAX], true),
            (&length(usize::MAX), vec![b'x'; 3 * BODY_MAX], true),
            (&until_end, vec![b'x'; BODY_MAX], false),
            (&until_end, vec![b'x'; BODY_MAX + 1], true),
            (&coded, last(&[BODY_MAX]), false),
            (&coded, last(&[half, half]), false),
            (&coded, chunks_of(&[BODY_MAX + 1]), true),
            (
                &coded,
                [chunks_of(&[half, half]), b"1\r\n".to_vec()].concat(),
                true,
            ),
            (&coded, chunks_of(&[1, BODY_MAX, 5]), true),
        ] {
            for piece in [1, 7, 1_000, half, BODY_MAX, usize::MAX] {
                let read = read_pieces(head, body.chunks(piece));
                let expected = Ok((vec![b'x'; BODY_MAX], is_cut));
                // Not assert_eq: it would print 64 KiB.
                assert!(read == expected, "{head:?}, {is_cut}, {piece}");
            }
        }
        // Nothing is waited for when it is known that more follows.
        let complete = bytes_until_complete(&length(BODY_MAX + 1), &[0; BODY_MAX]);
        assert_eq!(complete, Some(BODY_MAX));
    }

    #[test]
    fn memory_follows_what_has_arrived() {
        let mut reader = BodyReader::new(&Response::of(&with("A: b"))).expect("a framing");
        assert_eq!(reader.allocated(), 0);
        for len in 1..=BODY_MAX {
            assert_eq!(reader.push(b"x"), Ok(BodyStep::More));
            let allocated = reader.allocated();
            assert!(
                (len..=BODY_MAX.min(2 * len)).contains(&allocated),
                "{len}: {allocated}"
            );
        }
        let head = with("Content-Length: 60000");
        let mut reader = BodyReader::new(&Response::of(&head)).expect("a framing");
        assert_eq!(reader.push(b"x"), Ok(BodyStep::More));
        assert_eq!(
            reader.allocated(),
            1,
            "a length that is only announced costs nothing"
        );
    }

    #[test]
    fn a_stream_that_ends_early_is_a_fault() {
        for body in [
            "",
            "5",
            "5\r\nhell",
            "5\r\nhello",
            "5\r\nhello\r\n",
            "5\r\nhello\r\n0\r\n",
            "0\r\nX: y\r\n",
        ] {
            assert_eq!(
                chunked(body.as_bytes()),
                Err(ResponseFault::BodyEnd),
                "{body:?}"
            );
        }
        let read = read(&with("Content-Length: 5"), b"hell");
        assert_eq!(read, Err(ResponseFault::BodyEnd));
    }
}
