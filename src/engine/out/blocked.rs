//! How long bytes have waited, and how many are tried at once.

use crate::base::time::Micros;

/// The most bytes handed to one write. What the kernel has taken stands before the next heartbeat, on a slow link for long.
pub(super) const WRITE: usize = 64 * 1024;

/// The same while the peer is behind; doubled each time its socket has room again within [`SOON`].
const WRITE_BEHIND: usize = 4 * 1024;

const SOON: Micros = Micros::from_millis(20);

/// How long bytes have waited: at `since` there were `ahead` bytes more than have gone out by now. When those are gone the
/// watch starts anew, so that a queue that never empties but moves on is no offence.
#[derive(Debug, Clone, Copy)]
pub(super) struct Blocked {
    pub(super) since: Micros,
    ahead: usize,
    /// When the socket last had no room.
    pub(super) full_at: Micros,
    /// The most bytes of one write.
    write: usize,
}

impl Blocked {
    /// The socket has no room for `ahead` bytes.
    pub(super) fn new(ahead: usize, now: Micros) -> Self {
        Blocked {
            since: now,
            ahead,
            full_at: now,
            write: WRITE_BEHIND / 2,
        }
    }

    /// The most bytes of the next write: more than before if the socket has room again soon.
    pub(super) fn next_write(&mut self, now: Micros) -> usize {
        let is_soon = now - self.full_at <= SOON;
        self.write = match is_soon {
            true => WRITE.min(2 * self.write),
            false => WRITE_BEHIND,
        };
        self.write
    }

    /// The socket took some bytes; so many are waiting still.
    pub(super) fn took(&mut self, taken: usize, waiting: usize, now: Micros) {
        self.ahead = self.ahead.saturating_sub(taken);
        if self.ahead == 0 {
            (self.since, self.ahead) = (now, waiting);
        }
    }
}
