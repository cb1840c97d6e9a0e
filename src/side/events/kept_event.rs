//! An event that is kept, with what filters look at.

use crate::engine::Class;
use std::sync::Arc;

/// An event that is kept.
#[derive(Debug)]
pub(in crate::side) struct KeptEvent {
    /// Its number.
    pub(in crate::side) number: u64,
    /// The name of its type.
    pub(in crate::side) kind: &'static str,
    /// The event as JSON, on one line.
    pub(in crate::side) json: Box<str>,
    pub(super) class: Class,
    pub(super) route: Option<Arc<str>>,
    pub(super) user: Option<Box<str>>,
    pub(super) package: Option<Box<str>>,
}

impl KeptEvent {
    /// Returns the memory that the event takes.
    pub(super) fn bytes(&self) -> usize {
        let names = [&self.user, &self.package].into_iter().flatten();
        size_of::<Self>() + self.json.len() + names.map(|name| name.len()).sum::<usize>()
    }
}
