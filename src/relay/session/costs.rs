//! The memory cost of a slot, changes of the charge, and the work units for looking at slots.

use crate::engine::Io;

/// Bytes that a slot without a connection costs besides names: its entry in the session, its wait,
/// its entry in the table of waits or requests, and its job.
const SLOT_BYTES: usize = 192;

/// How often the names of a slot are stored: in the session, and in the table of waits or of
/// requests.
const NAME_COPIES: usize = 2;

/// How many apps of a list can be checked per work unit.
const APPS_PER_UNIT: usize = 16;

/// Returns the bytes of memory that a slot without a connection accounts for. Glasses have no
/// package.
pub(in crate::relay) fn slot_bytes(user: &str, package: &str) -> usize {
    SLOT_BYTES + NAME_COPIES * (user.len() + package.len())
}

/// Updates the memory that is counted for the relay, after the allocated bytes have changed.
pub(in crate::relay) fn adjust_charge(io: &mut Io<'_>, before: usize, after: usize) {
    if after >= before {
        io.charge(after - before);
    } else {
        io.release(before - after);
    }
}

/// Returns the work units for checking this many apps.
pub(in crate::relay) fn scan_units(apps: usize) -> u32 {
    (apps / APPS_PER_UNIT) as u32
}
