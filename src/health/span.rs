//! Spans of time in half the memory.

use crate::base::time::Micros;

/// A span of time in 32 bits. Exact up to 67 minutes, longer than any byte may wait. Above that it
/// is rounded up to a millisecond, and its maximum is 75 hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Span(u32);

impl Span {
    pub(super) const ZERO: Span = Span(0);

    /// Stored values up to this are microseconds; above it they count milliseconds.
    const EXACT: u32 = 0xF000_0000;

    pub(super) fn of(span: Micros) -> Self {
        match u32::try_from(span.0) {
            Ok(us) if us <= Self::EXACT => Span(us),
            Ok(_) | Err(_) => {
                let ms = (span.0 - u64::from(Self::EXACT)).div_ceil(1_000);
                Span(Self::EXACT.saturating_add(u32::try_from(ms).unwrap_or(u32::MAX)))
            }
        }
    }

    pub(super) fn micros(self) -> Micros {
        match self.0.checked_sub(Self::EXACT) {
            None => Micros(u64::from(self.0)),
            Some(ms) => Micros(u64::from(Self::EXACT) + u64::from(ms) * 1_000),
        }
    }
}
