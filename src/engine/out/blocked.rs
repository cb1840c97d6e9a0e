//! How long bytes have waited, and how many are written at once.

use crate::base::time::Micros;

/// The most bytes handed to one write. Bytes in the kernel delay the next heartbeat, and on a slow
/// link for long.
pub(super) const WRITE: usize = 64 * 1024;

/// The most bytes handed to one write while the peer is behind. It doubles each time the socket has
/// room again within [`SOON`].
const WRITE_BEHIND: usize = 4 * 1024;

const SOON: Micros = Micros::from_millis(20);

/// How long bytes have waited to be sent. `ahead` is the number of bytes that were unsent at
/// `since` and still are. When those are sent, the wait starts again: a queue that is never empty
/// but progresses is allowed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Blocked {
    pub(super) since: Micros,
    ahead: usize,
    /// When a byte was last sent, or the wait began.
    pub(super) moved_at: Micros,
    /// When the socket last had no room.
    pub(super) full_at: Micros,
    /// The most bytes of the next write.
    write: usize,
}

impl Blocked {
    /// Starts the wait: the socket has no room for `ahead` bytes.
    pub(super) fn new(ahead: usize, now: Micros) -> Self {
        Blocked {
            since: now,
            ahead,
            moved_at: now,
            full_at: now,
            write: WRITE_BEHIND / 2,
        }
    }

    /// Returns the most bytes of the next write: more than before if the socket had room again
    /// soon.
    pub(super) fn next_write(&mut self, now: Micros) -> usize {
        let is_soon = now - self.full_at <= SOON;
        self.write = match is_soon {
            true => WRITE.min(2 * self.write),
            false => WRITE_BEHIND,
        };
        self.write
    }

    /// Records that the socket took `taken` bytes and `waiting` bytes are still unsent.
    pub(super) fn took(&mut self, taken: usize, waiting: usize, now: Micros) {
        self.ahead = self.ahead.saturating_sub(taken);
        self.moved_at = now;
        if self.ahead == 0 {
            (self.since, self.ahead) = (now, waiting);
        }
    }
}
