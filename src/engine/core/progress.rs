//! The progress of work that takes many turns.

use crate::base::id::Class;
use crate::base::time::Micros;
use crate::engine::prepared::Outgoing;
use crate::engine::wheel::Tick;

/// Entries of the timer wheel that are due at one tick, and how many of them are handled.
#[derive(Debug, Default)]
pub(crate) struct Fired {
    pub(crate) tick: Tick,
    pub(crate) slots: Vec<u32>,
    pub(crate) at: usize,
}

impl Fired {
    /// Returns whether all of them are handled.
    pub(crate) fn is_empty(&self) -> bool {
        self.at >= self.slots.len()
    }
}

/// The progress of a change of policies or time limits.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Change {
    /// The next connection slot to process.
    pub(crate) from: u32,
    /// Whether another change was requested in the meantime and must follow.
    pub(crate) again: bool,
}

/// A broadcast that not all of its connections have been sent yet.
pub(crate) struct Broadcast {
    pub(crate) class: Class,
    pub(crate) frame: Outgoing,
    /// The next connection slot to process.
    pub(crate) from: u32,
    /// The newest generation when it was sent: later connections do not receive it.
    pub(crate) newest: u32,
}

/// The progress of the search for connections to close.
#[derive(Debug, Default)]
pub(crate) struct Shortage {
    /// The next connection slot to process.
    pub(crate) from: u32,
    /// Slots processed since the last close.
    pub(crate) in_vain: u32,
    /// When the next step is due.
    pub(crate) due: Micros,
}
