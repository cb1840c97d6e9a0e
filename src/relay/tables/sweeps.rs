//! What a reload means to apps that are here: those that are not known any more are stopped, and servers that have moved are
//! asked at their new addresses. All sessions are walked, a slice at a time.

use crate::host::Credentials;

/// Lists of apps that are kept while a walk goes on. With more reloads than this during one walk the oldest list is forgotten:
/// apps that it alone has are stopped, but their servers are not told.
const REPLACED_MAX: usize = 8;

/// The walk over all sessions that follows a reload.
#[derive(Default)]
pub(in crate::relay) struct Sweep {
    /// Lists that held since the last walk was through, oldest first, each with the last errand of its time.
    pub(in crate::relay) replaced: Vec<(Credentials, u64)>,
    /// Where the walk goes on; `None`: at the first session.
    pub(in crate::relay) at: Option<Spot>,
    pub(in crate::relay) stopped: usize,
}

/// A place in the walk. Apps stand in the order of their packages, so a name is a place that stays while apps come and go.
pub(in crate::relay) struct Spot {
    pub(in crate::relay) user: Box<str>,
    /// The last app of this session that was looked at; `None`: none was.
    pub(in crate::relay) after: Option<Box<str>>,
}

impl Sweep {
    /// A list was replaced: all sessions are looked at, from the first one on, whether a walk was going on or not. Returns
    /// whether none was.
    pub(in crate::relay) fn begin(&mut self, older: Credentials, last_errand: u64) -> bool {
        let begins = self.replaced.is_empty();
        if self.replaced.len() == REPLACED_MAX {
            self.replaced.remove(0);
        }
        self.replaced.push((older, last_errand));
        self.at = None;
        begins
    }
}
