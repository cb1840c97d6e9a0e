//! The memory cost of a place, changes of the charge, and the work units for looking at places.

use crate::engine::Io;

/// Bytes that a place without a connection costs besides names: its entry in the session, its wait,
/// its entry in the table of waits or questions, and its errand.
const PLACE: usize = 176;

/// How often the names of a place are stored: in the session, and in the table of waits or of
/// questions.
const NAMES: usize = 2;

/// How many apps of a list can be checked per work unit.
const LOOKED_AT: usize = 16;

/// Returns the bytes of memory that a place without a connection accounts for. Glasses have no
/// package.
pub(in crate::relay) fn place_bytes(user: &str, package: &str) -> usize {
    PLACE + NAMES * (user.len() + package.len())
}

/// Updates the memory that is counted for the relay, after the allocated bytes have changed.
pub(in crate::relay) fn moved(io: &mut Io<'_>, before: usize, after: usize) {
    if after >= before {
        io.charge(after - before);
    } else {
        io.release(before - after);
    }
}

/// Returns the work units for checking this many apps.
pub(in crate::relay) fn units(apps: usize) -> u32 {
    (apps / LOOKED_AT) as u32
}
