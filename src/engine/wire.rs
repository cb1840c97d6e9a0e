//! The in-memory stream between tungstenite and our buffers. It never blocks and never fails; it only runs dry.

use std::io::{self, ErrorKind, Read, Write};

/// Reads from the bytes that just came in, writes to a buffer of the loop.
pub(crate) struct Wire<'i, 'o> {
    pub(crate) input: &'i [u8],
    pub(crate) output: &'o mut Vec<u8>,
}

impl Read for Wire<'_, '_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.input.is_empty() {
            // Not Ok(0): that would mean the end of the stream, which only the socket knows.
            return Err(ErrorKind::WouldBlock.into());
        }
        self.input.read(buf)
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
