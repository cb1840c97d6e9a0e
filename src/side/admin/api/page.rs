//! A page of a list: bounded by the number of its entries, and by their bytes.

use serde::Serialize;
use std::io;

/// The most bytes that the entries of one page take as JSON: 1 MiB. A page is shorter than its limit if they take more, and
/// goes on behind its last entry. An entry that takes more alone would be a page of its own; none does.
pub(super) const PAGE_BYTES: usize = 1024 * 1024;

/// The entries of a page.
#[derive(Debug)]
pub(super) struct Entries<T> {
    entries: Vec<T>,
    most: usize,
    bytes: usize,
}

impl<T: Serialize> Entries<T> {
    /// An empty page with room for so many entries.
    pub(super) fn new(most: usize) -> Self {
        Entries {
            entries: Vec::new(),
            most,
            bytes: 0,
        }
    }

    /// Adds an entry; returns whether there was room for it.
    pub(super) fn push(&mut self, entry: T) -> bool {
        let bytes = self.bytes + size_of_json(&entry);
        if self.left() == 0 || (bytes > PAGE_BYTES && !self.entries.is_empty()) {
            return false;
        }
        self.bytes = bytes;
        self.entries.push(entry);
        true
    }

    /// How many entries there is room for by their number.
    pub(super) fn left(&self) -> usize {
        self.most - self.entries.len()
    }

    pub(super) fn into_vec(self) -> Vec<T> {
        self.entries
    }
}

/// What an entry takes on the wire, with the comma behind it.
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
        // What we write down ourselves has no keys that JSON refuses; if it had, the answer would be an error, too.
        Err(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_bounded_by_entries_and_by_what_they_take_as_json() {
        let mut page = Entries::new(3);
        for n in 0..3 {
            assert!(page.push(n));
        }
        assert!(!page.push(3));
        assert_eq!(page.into_vec(), [0, 1, 2]);

        // A control character takes six bytes.
        let entry = "\u{1}".repeat(10_000);
        let mut page = Entries::new(1_000);
        while page.push(entry.clone()) {}
        let json = serde_json::to_string(&page.into_vec()).expect("strings");
        assert!(json.len() <= PAGE_BYTES + 2, "{}", json.len());
        assert!(json.len() + 60_003 > PAGE_BYTES, "{}", json.len());
    }

    #[test]
    fn an_entry_that_is_too_large_for_any_page_is_a_page_of_its_own() {
        let large = "x".repeat(PAGE_BYTES);
        let mut page = Entries::new(1_000);
        assert!(page.push(large.clone()));
        assert!(!page.push(large), "and nothing else");
        assert!(!page.push(String::new()));
    }
}
