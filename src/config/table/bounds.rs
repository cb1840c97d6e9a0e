//! The bounds that many settings share.

use crate::config::kinds::{Kind, Unit};

/// The longest time, a day: more is not useful, and the wheel stays exact far beyond it.
pub(super) const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// A time from two ticks of the wheel to a day.
pub(super) const TIME: Kind = Kind::Number {
    unit: Unit::Milliseconds,
    least: 10,
    most: DAY_MS,
};

/// A time that may also be zero.
pub(super) const TIME_OR_NONE: Kind = Kind::Number {
    unit: Unit::Milliseconds,
    least: 0,
    most: DAY_MS,
};

/// A percentage; zero means off.
pub(super) const PERCENT: Kind = Kind::Number {
    unit: Unit::Percent,
    least: 0,
    most: 100,
};

/// A number of connections, from one to more than a machine can hold.
pub(super) const CONNECTIONS: Kind = Kind::Number {
    unit: Unit::Connections,
    least: 1,
    most: 10_000_000,
};

/// A number of connections that may also be zero.
pub(super) const CONNECTIONS_OR_NONE: Kind = Kind::Number {
    unit: Unit::Connections,
    least: 0,
    most: 10_000_000,
};
