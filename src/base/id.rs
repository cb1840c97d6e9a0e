//! Ids of connections, classes and timers.

use std::fmt;
use std::str::FromStr;

/// The id of one connection, unique over time: its slot and the generation of that slot.
///
/// Slots are reused at once. Generations are not: one repeats only after 2^32 accepted connections.
/// So an id that a handler keeps after the connection's end refers to no connection. Printed as
/// `slot.generation`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId {
    slot: u32,
    generation: u32,
}

impl ConnId {
    pub(crate) const fn new(slot: u32, generation: u32) -> Self {
        ConnId { slot, generation }
    }

    /// Returns the index of the slot: dense, below the largest number of connections that existed
    /// at one time.
    pub const fn slot(self) -> usize {
        self.slot as usize
    }

    /// Returns the generation, which distinguishes the connections that used the same slot.
    pub const fn generation(self) -> u32 {
        self.generation
    }

    pub(crate) const fn slot_u32(self) -> u32 {
        self.slot
    }
}

/// A kind of peer: the index of its policy in [`Config::classes`](crate::engine::Config::classes).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "a number")]
pub struct Class(pub u8);

/// The id of a timer of the host; never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TimerId {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

impl fmt::Display for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.slot, self.generation)
    }
}

impl FromStr for ConnId {
    type Err = InvalidConnId;

    /// Parses the printed form, `slot.generation`.
    fn from_str(text: &str) -> Result<Self, InvalidConnId> {
        let parts = text.split_once('.').ok_or(InvalidConnId)?;
        let number = |part: &str| {
            let plain = part.bytes().all(|b| b.is_ascii_digit());
            part.parse().ok().filter(|_| plain).ok_or(InvalidConnId)
        };
        Ok(ConnId::new(number(parts.0)?, number(parts.1)?))
    }
}

/// A text that is not an id: expected is `slot.generation`, two decimal numbers below 2^32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an id is slot.generation, two whole numbers")]
#[expect(clippy::exhaustive_structs, reason = "it has nothing more to tell")]
pub struct InvalidConnId;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_being_printed() {
        for (slot, generation) in [(0, 0), (7, 1), (u32::MAX - 1, u32::MAX), (1, u32::MAX)] {
            let id = ConnId::new(slot, generation);
            assert_eq!(id.to_string().parse(), Ok(id));
        }
        for text in [
            "",
            ".",
            "1",
            "1.",
            ".1",
            "1.2.3",
            "+1.2",
            "-1.2",
            "1.4294967296",
            "a.b",
        ] {
            assert_eq!(text.parse::<ConnId>(), Err(InvalidConnId), "{text}");
        }
    }
}
