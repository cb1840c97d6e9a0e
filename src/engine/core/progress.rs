//! How far the loop is with work that goes on over many turns.

use crate::base::id::Class;
use crate::base::time::Micros;
use crate::engine::prepared::Outgoing;
use crate::engine::wheel::Tick;

/// Entries of the wheel that are due, all of one tick, and how many of them were looked at.
#[derive(Debug, Default)]
pub(crate) struct Fired {
    pub(crate) tick: Tick,
    pub(crate) slots: Vec<u32>,
    pub(crate) at: usize,
}

impl Fired {
    /// Returns whether all of them were looked at.
    pub(crate) fn is_empty(&self) -> bool {
        self.at >= self.slots.len()
    }
}

/// How far a change of policies, or of limits of time, is.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Change {
    /// From this slot on.
    pub(crate) from: u32,
    /// There was another one meanwhile, which is to follow.
    pub(crate) again: bool,
}

/// A message that goes to a class.
pub(crate) struct Broadcast {
    pub(crate) class: Class,
    pub(crate) frame: Outgoing,
    /// The next slot.
    pub(crate) from: u32,
    /// The newest generation there was when it was sent: later connections do not get it.
    pub(crate) newest: u32,
}

/// How far the search for connections to close is.
#[derive(Debug, Default)]
pub(crate) struct Shortage {
    /// The next slot.
    pub(crate) from: u32,
    /// Slots that were looked at since one was closed.
    pub(crate) in_vain: u32,
    /// When the next step is due.
    pub(crate) due: Micros,
}
