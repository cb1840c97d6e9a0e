//! `tests/pulse_vectors.json`, which the TypeScript client runs too. A section or a field that this
//! reader does not know is an error, so nothing is left out silently.

mod format;
mod frames;
mod ledgers;
mod schedule;
mod watchdog;
