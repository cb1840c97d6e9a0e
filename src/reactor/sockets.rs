//! The socket of a connection, and whether its peer is behind.

use mio::net::TcpStream;

pub(super) struct Socket {
    pub(super) stream: TcpStream,
    pub(super) behind: Behind,
    pub(super) refused: bool,
    /// On the list of those to be read from.
    pub(super) ready: bool,
    /// An event told of a FIN or an error, which will not be told again: read on until it shows.
    pub(super) closed: bool,
}

/// Whether the kernel took less than there was, so that WRITABLE is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Behind {
    No,
    /// Until the kernel says that it takes more, writing is not tried: a reader that has fallen back costs no system call for
    /// each message that it is sent.
    Waiting,
    /// It has said so.
    Writable,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a connection costs beside its slot in the engine. It may grow only on purpose.
    #[test]
    fn a_socket_entry_has_8_bytes() {
        // With debug assertions mio keeps in each stream which poll it belongs to.
        let checks = if cfg!(debug_assertions) { 16 } else { 0 };
        assert_eq!(size_of::<Option<Socket>>(), 8 + checks);
    }
}
