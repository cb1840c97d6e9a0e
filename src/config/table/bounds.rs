//! The bounds that many settings share.

use crate::config::value_kind::{Unit, ValueKind};

/// The longest time, a day: more is not useful, and the wheel stays exact far beyond it.
pub(super) const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// A time from two ticks of the wheel to a day.
pub(super) const TIME: ValueKind = ValueKind::Number {
    unit: Unit::Milliseconds,
    min: 10,
    max: DAY_MS,
};

/// A time that may also be zero.
pub(super) const TIME_OR_NONE: ValueKind = ValueKind::Number {
    unit: Unit::Milliseconds,
    min: 0,
    max: DAY_MS,
};

/// The longest heartbeat interval: round-trip times are measured up to an hour.
pub(super) const HEARTBEAT_MAX: ValueKind = ValueKind::Number {
    unit: Unit::Milliseconds,
    min: 10,
    max: 60 * 60 * 1_000,
};

/// A percentage; zero means off.
pub(super) const PERCENT: ValueKind = ValueKind::Number {
    unit: Unit::Percent,
    min: 0,
    max: 100,
};

/// A number of connections, from one to more than a machine can hold.
pub(super) const CONNECTIONS: ValueKind = ValueKind::Number {
    unit: Unit::Connections,
    min: 1,
    max: 10_000_000,
};

/// A number of connections that may also be zero.
pub(super) const CONNECTIONS_OR_NONE: ValueKind = ValueKind::Number {
    unit: Unit::Connections,
    min: 0,
    max: 10_000_000,
};

/// What counts as a sign of life of a peer.
pub(super) const ALIVE_BY: ValueKind = ValueKind::Word(&["any", "data", "pong"]);
