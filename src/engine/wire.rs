//! The in-memory stream between tungstenite and our buffers. It never blocks and never fails; it only runs dry.

use crate::engine::chunks::Chunks;
use std::io::{self, ErrorKind, Read, Write};

/// Reads one frame, writes to a buffer of the loop.
pub(crate) struct Wire<'i, 'o> {
    /// The frame, or its beginning.
    pub(crate) input: &'i [u8],
    /// The rest of it, if it came in pieces.
    pub(crate) rest: Option<&'i mut Chunks>,
    pub(crate) output: &'o mut Vec<u8>,
}

impl Read for Wire<'_, '_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let from_input = self.input.read(buf)?;
        let buf = &mut buf[from_input..];
        let from_rest = self.rest.as_mut().map_or(0, |rest| rest.read(buf));
        match from_input + from_rest {
            // Not Ok(0): that would mean the end of the stream, which only the socket knows.
            0 => Err(ErrorKind::WouldBlock.into()),
            read => Ok(read),
        }
    }
}

impl Write for Wire<'_, '_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.output.extend_from_slice(buf);
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
