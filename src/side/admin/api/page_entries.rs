//! A page of a list, with a limit of entries and of bytes.

use serde::Serialize;
use std::io;

/// The largest size of one page's entries as JSON, in bytes: 1 MiB. A page that reaches it ends
/// early, and the next page begins after its last entry. An entry above this size would get a page
/// of its own; none is as large.
pub(super) const PAGE_BYTES: usize = 1024 * 1024;

/// The entries of a page.
#[derive(Debug)]
pub(super) struct PageEntries<T> {
    entries: Vec<T>,
    limit: usize,
    bytes: usize,
}

impl<T: Serialize> PageEntries<T> {
    /// Creates an empty page that holds at most `limit` entries.
    pub(super) fn new(limit: usize) -> Self {
        PageEntries {
            entries: Vec::new(),
            limit,
            bytes: 0,
        }
    }

    /// Adds an entry; returns whether there was room for it.
    pub(super) fn push(&mut self, entry: T) -> bool {
        let bytes = self.bytes + size_of_json(&entry);
        if self.remaining() == 0 || (bytes > PAGE_BYTES && !self.entries.is_empty()) {
            return false;
        }
        self.bytes = bytes;
        self.entries.push(entry);
        true
    }

    /// Returns how many more entries the limit of entries allows.
    pub(super) fn remaining(&self) -> usize {
        self.limit - self.entries.len()
    }

    pub(super) fn into_vec(self) -> Vec<T> {
        self.entries
    }
}

/// Returns the bytes that an entry takes on the wire, including the comma after it.
fn size_of_json(entry: &impl Serialize) -> usize {
    struct Count(usize);

    impl io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    let mut count = Count(1);
    match serde_json::to_writer(&mut count, entry) {
        Ok(()) => count.0,
        // Our own types have only keys that JSON allows. If one had not, the answer would fail,
        // too.
        Err(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_bounded_by_entries_and_by_what_they_take_as_json() {
        let mut page = PageEntries::new(3);
        for n in 0..3 {
            assert!(page.push(n));
        }
        assert!(!page.push(3));
        assert_eq!(page.into_vec(), [0, 1, 2]);

        // A control character takes six bytes.
        let entry = "\u{1}".repeat(10_000);
        let mut page = PageEntries::new(1_000);
        while page.push(entry.clone()) {}
        let json = serde_json::to_string(&page.into_vec()).expect("strings");
        assert!(json.len() <= PAGE_BYTES + 2, "{}", json.len());
        assert!(json.len() + 60_003 > PAGE_BYTES, "{}", json.len());
    }

    #[test]
    fn an_entry_that_is_too_large_for_any_page_is_a_page_of_its_own() {
        let large = "x".repeat(PAGE_BYTES);
        let mut page = PageEntries::new(1_000);
        assert!(page.push(large.clone()));
        assert!(!page.push(large), "and nothing else");
        assert!(!page.push(String::new()));
    }
}
