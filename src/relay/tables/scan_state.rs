//! The state of the walk that follows a reload. It stops apps that are no longer known, and asks
//! servers that have moved at their new URLs. It visits all sessions, a slice at a time.

use crate::host::Credentials;

/// The most replaced lists of apps that are kept during one walk. After more reloads than this the
/// oldest list is dropped: apps that only it has are stopped, but their servers are not told.
const REPLACED_MAX: usize = 8;

/// The walk over all sessions that follows a reload.
#[derive(Default)]
pub(in crate::relay) struct ScanState {
    /// Lists that were replaced since the last finished walk, oldest first, each with the number of
    /// the last start before its replacement.
    pub(in crate::relay) replaced: Vec<(Credentials, u64)>,
    /// Where the walk continues; `None`: at the first session.
    pub(in crate::relay) at: Option<ScanCursor>,
    pub(in crate::relay) stopped: usize,
}

/// A position in the walk. Apps are sorted by package, so a name stays a valid position while apps
/// come and go.
pub(in crate::relay) struct ScanCursor {
    pub(in crate::relay) user: Box<str>,
    /// The last app of this session that was visited; `None`: no app of it was.
    pub(in crate::relay) after: Option<Box<str>>,
}

impl ScanState {
    /// Starts the walk over from the first session, because a list was replaced. Returns whether no
    /// walk was under way.
    pub(in crate::relay) fn restart(&mut self, older: Credentials, last_start: u64) -> bool {
        let begins = self.replaced.is_empty();
        if self.replaced.len() == REPLACED_MAX {
            self.replaced.remove(0);
        }
        self.replaced.push((older, last_start));
        self.at = None;
        begins
    }
}
