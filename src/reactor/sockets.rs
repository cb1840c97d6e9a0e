//! A connection's socket, and whether its peer is behind.

use mio::net::TcpStream;

pub(super) struct Socket {
    pub(super) stream: TcpStream,
    pub(super) write_state: WriteState,
    pub(super) refused: bool,
    /// Whether the socket is on the list of sockets to read.
    pub(super) ready: bool,
    /// Whether an event reported a FIN or an error. It is not reported again, so reads continue
    /// until they return it.
    pub(super) closed: bool,
}

/// Whether the kernel took fewer bytes than there were, so that WRITABLE is requested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WriteState {
    Clear,
    /// The connect is not complete.
    Connecting,
    /// The kernel has not reported room yet. No write is tried until then, so that messages to a
    /// slow reader cost no system call each.
    Blocked,
    /// The kernel has reported room.
    Writable,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The memory of a connection besides its slot in the engine. A change that makes it larger
    /// must be deliberate.
    #[test]
    fn a_socket_entry_has_8_bytes() {
        // With debug assertions mio stores in each stream which poll it belongs to.
        let checks = if cfg!(debug_assertions) { 16 } else { 0 };
        assert_eq!(size_of::<Option<Socket>>(), 8 + checks);
    }
}
