//! What the state file says, or soon will.

use super::disk::{HEAD, MOST, TAIL};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

/// Users that are written down at a time, before others have their turn on the thread.
const SLICE: usize = 1_000;

/// What the file says, or soon will.
#[derive(Debug, Default)]
pub(super) struct Mirror {
    started: BTreeMap<Box<str>, BTreeSet<Box<str>>>,
    /// As written, not counting what stands around it.
    len: usize,
    pub(super) is_changed: bool,
    /// Whether it was said that there is no more room.
    is_full: bool,
}

impl Mirror {
    pub(super) fn remember(&mut self, user: Box<str>, package: Box<str>) {
        let packages = self.started.get(&user);
        if packages.is_some_and(|p| p.contains(&package)) {
            return;
        }
        let more = len_of(&package) + packages.map_or_else(|| len_of(&user), |_| 0);
        if HEAD.len() + self.len + more + TAIL.len() > MOST {
            if !self.is_full {
                log::error!("state_file error=\"more than {MOST} bytes are not kept\"");
            }
            self.is_full = true;
            return;
        }
        self.len += more;
        self.started.entry(user).or_default().insert(package);
        self.is_changed = true;
    }

    pub(super) fn forget(&mut self, user: &str, package: &str) {
        let Some(packages) = self.started.get_mut(user) else {
            return;
        };
        if packages.remove(package) {
            self.len -= len_of(package);
            (self.is_changed, self.is_full) = (true, false);
        }
        if packages.is_empty() {
            self.started.remove(user);
            self.len -= len_of(user);
        }
    }

    pub(super) fn forget_user(&mut self, user: &str) {
        if let Some(packages) = self.started.remove(user) {
            self.len -= len_of(user) + packages.iter().map(|p| len_of(p)).sum::<usize>();
            (self.is_changed, self.is_full) = (true, false);
        }
    }

    /// Writes down the next users behind this one. The last of them, if there may be more.
    pub(super) fn write_slice(&self, after: Option<&str>, text: &mut String) -> Option<Box<str>> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let behind = self.started.range::<str, _>((from, Bound::Unbounded));
        let mut last = None;
        for (user, packages) in behind.take(SLICE) {
            text.push_str(if text.len() > HEAD.len() { ",\n" } else { "\n" });
            text.push_str(&quoted(user));
            text.push(':');
            // Strings can always be written.
            text.push_str(&serde_json::to_string(packages).unwrap_or_default());
            last = Some(user.clone());
        }
        last
    }
}

fn quoted(name: &str) -> String {
    serde_json::to_string(name).unwrap_or_default()
}

/// Bytes that a name takes, with what stands around it; a user's also takes those of an empty list and of a new line.
fn len_of(name: &str) -> usize {
    quoted(name).len() + 5
}
