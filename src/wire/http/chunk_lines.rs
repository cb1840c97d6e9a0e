//! The lines around the data of chunks (RFC 9112 §7.1).

use super::fields::quoted;
use super::response_fault::ResponseFault;
use httparse::Status;

/// The most bytes of a chunk-size line, its extensions and its end included.
const SIZE_LINE_MAX: usize = 256;

/// The most bytes of the trailers, the blank line included.
const TRAILERS_MAX: usize = 8 << 10;

/// Reads the lines around the data of chunks, in any pieces. Extensions and trailers are skipped.
#[derive(Debug, Default)]
pub(super) struct ChunkLines {
    place: Place,
    /// Whether a trailer must end with CRLF. A bare LF is a line end to some recipients and not to
    /// others (RFC 9112 §2.2), so a request with one could be read in two ways.
    needs_crlf: bool,
    /// What has arrived of the present line, or the whole last line.
    line: Vec<u8>,
}

/// A place in a chunked body.
#[derive(Debug, Default)]
enum Place {
    /// A chunk-size line is next.
    #[default]
    Size,
    /// This many bytes of data are next, and then the end of their line.
    Data(u64),
    /// Trailer lines are next, after this many bytes of them.
    Trailers(usize),
    /// The end of the body.
    End,
}

impl ChunkLines {
    /// Creates a reader that rejects trailers whose lines do not end with CRLF.
    #[cfg(feature = "gateway")]
    pub(super) fn strict() -> Self {
        ChunkLines {
            needs_crlf: true,
            ..ChunkLines::default()
        }
    }

    /// Returns how many bytes of data are next, to be reduced by those that are taken; `None` if a
    /// line is next.
    pub(super) fn data_left(&mut self) -> Option<&mut u64> {
        match &mut self.place {
            Place::Data(left) if *left > 0 => Some(left),
            _ => None,
        }
    }

    /// Returns whether the blank line behind the trailers has been read.
    pub(super) fn is_complete(&self) -> bool {
        matches!(self.place, Place::End)
    }

    /// Returns the bytes of memory that are allocated.
    pub(super) fn allocated(&self) -> usize {
        self.line.capacity()
    }

    /// Reads the line that is next, or what has arrived of it, and removes it from `bytes`.
    pub(super) fn read(&mut self, bytes: &mut &[u8]) -> Result<(), ResponseFault> {
        let (most, too_long) = match self.place {
            Place::Size => (SIZE_LINE_MAX, ResponseFault::ChunkLine(SIZE_LINE_MAX)),
            Place::Data(_) => (2, ResponseFault::ChunkEnd),
            Place::Trailers(len) => (TRAILERS_MAX - len, ResponseFault::Trailers(TRAILERS_MAX)),
            Place::End => return Ok(()),
        };
        let is_whole = self.take_line(bytes, most).ok_or(too_long)?;
        // The line end is checked at its first byte: data follows if the size was too small.
        if matches!(self.place, Place::Data(_)) && !b"\r\n".starts_with(&self.line) {
            return Err(ResponseFault::ChunkEnd);
        }
        let is_trailer = matches!(self.place, Place::Trailers(_));
        if is_whole && is_trailer && self.needs_crlf && !self.line.ends_with(b"\r\n") {
            return Err(ResponseFault::TrailerEnd);
        }
        if is_whole {
            self.place = match self.place {
                Place::Size => match chunk_size(&self.line)? {
                    0 => Place::Trailers(0),
                    size => Place::Data(size),
                },
                Place::Data(_) => Place::Size,
                Place::Trailers(_) if [&b"\r\n"[..], b"\n"].contains(&&*self.line) => Place::End,
                Place::Trailers(len) => Place::Trailers(len + self.line.len()),
                Place::End => Place::End,
            };
        }
        Ok(())
    }

    /// Takes the bytes of a line of at most `most` bytes. Returns whether its end has arrived;
    /// `None` if it is longer.
    fn take_line(&mut self, bytes: &mut &[u8], most: usize) -> Option<bool> {
        if self.line.ends_with(b"\n") {
            self.line.clear();
        }
        let end = bytes.iter().position(|b| *b == b'\n');
        let len = end.map_or(bytes.len(), |end| end + 1);
        if self.line.len() + len > most {
            return None;
        }
        let (line, rest) = bytes.split_at(len);
        self.line.extend_from_slice(line);
        *bytes = rest;
        Some(end.is_some())
    }
}

/// Returns the size that a whole chunk-size line states.
fn chunk_size(line: &[u8]) -> Result<u64, ResponseFault> {
    // httparse reads a line without digits as 0.
    let begins_with_digit = line.first().is_some_and(u8::is_ascii_hexdigit);
    match httparse::parse_chunk_size(line) {
        Ok(Status::Complete((len, size))) if len == line.len() && begins_with_digit => Ok(size),
        _ => Err(ResponseFault::ChunkSize(quoted(line.trim_ascii_end()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What chunks were read as: their data, and whether their end has arrived.
    type Outcome = Result<(Vec<u8>, bool), ResponseFault>;

    /// Reads chunks that arrive in these pieces.
    fn read_pieces<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
        let mut lines = ChunkLines::default();
        let mut data = Vec::new();
        for mut piece in pieces {
            while !piece.is_empty() && !lines.is_complete() {
                if let Some(left) = lines.data_left() {
                    let len = piece.len().min(usize::try_from(*left).expect("64 bits"));
                    data.extend_from_slice(&piece[..len]);
                    *left -= len as u64;
                    piece = &piece[len..];
                } else {
                    let before = piece.len();
                    lines.read(&mut piece)?;
                    assert!(piece.len() < before, "a step that takes nothing");
                }
            }
        }
        Ok((data, lines.is_complete()))
    }

    /// Reads chunks in one piece, in two pieces with every cut, and byte by byte.
    #[track_caller]
    fn read(body: &[u8]) -> Outcome {
        let whole = read_pieces([body]);
        for cut in 0..=body.len() {
            let (first, second) = body.split_at(cut);
            let cut_there = read_pieces([first, second]);
            assert_eq!(cut_there, whole, "{cut}: {:?}", body.escape_ascii());
        }
        let bytes = read_pieces(body.chunks(1));
        assert_eq!(bytes, whole, "{:?}", body.escape_ascii());
        whole
    }

    #[test]
    fn every_malformed_line_has_its_fault() {
        use ResponseFault::ChunkEnd;
        let size = |shown: &str| ResponseFault::ChunkSize(format!("{shown:?}"));
        for (body, expected) in [
            ("5\r\nhello!\r\n0\r\n\r\n", ChunkEnd),
            ("5\r\nhello\n0\r\n\r\n", ChunkEnd),
            ("5\r\nhello\r0\r\n\r\n", ChunkEnd),
            ("5\r\nhello5\r\n", ChunkEnd),
            ("\r\n", size("")),
            (";a\r\n", size(";a")),
            ("-1\r\n", size("-1")),
            (" 5\r\n", size(" 5")),
            ("0x5\r\n", size("0x5")),
            ("5 5\r\n", size("5 5")),
            ("5\n", size("5")),
            ("5;a\nb\r\n", size("5;a")),
            ("5\r\r\n", size("5")),
            ("5;a\rb\r\n", size("5;a?b")),
            ("10000000000000000\r\n", size("10000000000000000")),
            ("<html>\r\n", size("<html>")),
        ] {
            assert_eq!(read(body.as_bytes()), Err(expected), "{body:?}");
        }
        // A size of 16 digits is read.
        assert_eq!(
            read(b"ffffffffffffffff\r\nhello"),
            Ok((b"hello".to_vec(), false))
        );
    }

    #[test]
    fn lines_have_bounds() {
        let line = |len: usize| format!("0;{}\r\n", "x".repeat(len - 4));
        let fault = Err(ResponseFault::ChunkLine(256));
        assert_eq!(
            read((line(256) + "\r\n").as_bytes()),
            Ok((Vec::new(), true))
        );
        assert_eq!(read((line(257) + "\r\n").as_bytes()), fault);
        assert_eq!(read(&[b'0'; 257]), fault, "a line without an end");
        // The bound holds for each line alone.
        let many = format!("1;{}\r\na\r\n", "x".repeat(200)).repeat(5) + "0\r\n\r\n";
        assert_eq!(read(many.as_bytes()), Ok((b"aaaaa".to_vec(), true)));

        // Lines of 594 bytes in all, one of the rest, and the blank line.
        let lines = "a: b\r\n".repeat(99);
        let trailers = |len: usize| format!("0\r\n{lines}{}\r\n\r\n", "x".repeat(len - 598));
        assert_eq!(trailers(TRAILERS_MAX).len(), "0\r\n".len() + TRAILERS_MAX);
        let fault = Err(ResponseFault::Trailers(TRAILERS_MAX));
        for piece in [1, 2, 3, 1_000, 10_000] {
            let pieces = |text: &str| read_pieces(text.as_bytes().chunks(piece));
            assert_eq!(
                pieces(&trailers(TRAILERS_MAX)),
                Ok((Vec::new(), true)),
                "{piece}"
            );
            assert_eq!(pieces(&trailers(TRAILERS_MAX + 1)), fault, "{piece}");
            let endless = "0\r\n".to_owned() + &"x".repeat(TRAILERS_MAX + 1);
            assert_eq!(pieces(&endless), fault, "{piece}");
            let many = "0\r\n".to_owned() + &"a: b\r\n".repeat(TRAILERS_MAX);
            assert_eq!(pieces(&many), fault, "{piece}");
        }
    }
}
