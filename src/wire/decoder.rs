//! The in-memory stream between tungstenite and our buffers. It never blocks and never fails; it only runs dry.

use std::io::{self, ErrorKind, Read, Write};

/// Reads one frame, writes to a buffer of the loop.
pub(crate) struct Wire<'i, 'o> {
    /// What is left of the frame.
    pub(crate) input: &'i [u8],
    pub(crate) output: &'o mut Vec<u8>,
}

impl Read for Wire<'_, '_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.input.read(buf)? {
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
