//! What a place costs, changes of what is charged, and work units of looking at places.

use crate::engine::Io;

/// What a place without a connection costs besides names: its entry in the session, its absence, its entry among those that
/// are waited for or asked, and its errand.
const PLACE: usize = 176;

/// How often the names of a place are held: by the session, and by the one of those lists that the place is in.
const NAMES: usize = 2;

/// Apps in a list that are looked at for a unit.
const LOOKED_AT: usize = 16;

/// What a place without a connection is charged with. Glasses have no package.
pub(in crate::relay) fn place_bytes(user: &str, package: &str) -> usize {
    PLACE + NAMES * (user.len() + package.len())
}

/// What was allocated has changed.
pub(in crate::relay) fn moved(io: &mut Io<'_>, before: usize, after: usize) {
    if after >= before {
        io.charge(after - before);
    } else {
        io.release(before - after);
    }
}

/// Work units for looking through so many apps.
pub(in crate::relay) fn units(apps: usize) -> u32 {
    (apps / LOOKED_AT) as u32
}
