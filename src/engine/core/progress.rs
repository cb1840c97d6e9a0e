//! The progress of work that takes many turns.

use crate::base::id::Class;
use crate::base::time::Micros;
use crate::engine::prepared::Outgoing;
use crate::engine::wheel::Tick;

/// Entries of the timer wheel that are due at one tick, and how many of them are handled.
#[derive(Debug, Default)]
pub(crate) struct FiredSlots {
    pub(crate) tick: Tick,
    pub(crate) slots: Vec<u32>,
    pub(crate) handled: usize,
}

impl FiredSlots {
    /// Returns whether all entries are handled.
    pub(crate) fn is_empty(&self) -> bool {
        self.handled >= self.slots.len()
    }
}

/// The progress of a change of policies or time limits.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct PolicyMigration {
    /// The next connection slot to process.
    pub(crate) next_slot: u32,
    /// Whether another change was requested in the meantime and must follow.
    pub(crate) restart: bool,
}

/// A broadcast that not all of its connections have been sent yet.
pub(crate) struct Broadcast {
    pub(crate) class: Class,
    pub(crate) frame: Outgoing,
    /// The next connection slot to process.
    pub(crate) next_slot: u32,
    /// The newest generation when it was sent: later connections do not receive it.
    pub(crate) newest: u32,
}

/// The progress of the search for connections to close.
#[derive(Debug, Default)]
pub(crate) struct ShortageScan {
    /// The next connection slot to process.
    pub(crate) next_slot: u32,
    /// The number of connection slots processed since the last close.
    pub(crate) fruitless: u32,
    /// When the next step is due.
    pub(crate) due: Micros,
}
