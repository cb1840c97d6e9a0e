//! The tables that the relay keeps besides its sessions.

mod backpressure;
mod chores;
mod flapping;
mod introductions;
mod missed;
mod readings;
mod starts;
mod sweeps;

pub(in crate::relay) use self::backpressure::Backpressure;
pub(in crate::relay) use self::chores::{Chore, Chores, Ended};
pub(in crate::relay) use self::flapping::Flapping;
pub(in crate::relay) use self::introductions::{Greeting, Headers, Introductions};
pub(crate) use self::missed::MissedSink;
pub use self::missed::{Missed, MissedBox};
pub(in crate::relay) use self::readings::{Fields, Read, Readings, Text};
pub(in crate::relay) use self::starts::Starts;
pub(in crate::relay) use self::sweeps::{Spot, Sweep};
