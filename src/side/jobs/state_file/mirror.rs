//! The contents of the state file, now or after the next write.

use super::disk::{BYTES_MAX, JSON_HEAD, JSON_TAIL};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

/// The most users that are written in one slice, before other tasks of the thread run.
const SLICE_USERS: usize = 1_000;

/// The contents of the state file, now or after the next write.
#[derive(Debug, Default)]
pub(super) struct Mirror {
    started: BTreeMap<Box<str>, BTreeSet<Box<str>>>,
    /// The size of all entries in the file, in bytes, without the text before and after them.
    len: usize,
    pub(super) is_changed: bool,
    /// Whether the log line that the file is full was written.
    is_full: bool,
}

impl Mirror {
    pub(super) fn remember(&mut self, user: Box<str>, package: Box<str>) {
        let packages = self.started.get(&user);
        if packages.is_some_and(|p| p.contains(&package)) {
            return;
        }
        let more = len_of(&package) + packages.map_or_else(|| len_of(&user), |_| 0);
        if JSON_HEAD.len() + self.len + more + JSON_TAIL.len() > BYTES_MAX {
            if !self.is_full {
                log::error!(
                    "state_file error=\"the content is above the limit of {BYTES_MAX} bytes, and \
                     further users are not kept\""
                );
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

    /// Appends the next users after `after` to `text`. Returns the last one if there may be more.
    pub(super) fn write_slice(&self, after: Option<&str>, text: &mut String) -> Option<Box<str>> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let behind = self.started.range::<str, _>((from, Bound::Unbounded));
        let mut last = None;
        for (user, packages) in behind.take(SLICE_USERS) {
            text.push_str(if text.len() > JSON_HEAD.len() {
                ",\n"
            } else {
                "\n"
            });
            text.push_str(&quoted(user));
            text.push(':');
            // Serializing strings does not fail.
            text.push_str(&serde_json::to_string(packages).unwrap_or_default());
            last = Some(user.clone());
        }
        last
    }
}

fn quoted(name: &str) -> String {
    serde_json::to_string(name).unwrap_or_default()
}

/// Returns the bytes that a name takes in the file, with its punctuation. For a user this includes
/// an empty list and a line break.
fn len_of(name: &str) -> usize {
    quoted(name).len() + 5
}
