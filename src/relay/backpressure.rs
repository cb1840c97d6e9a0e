//! Reading goes on from the apps of glasses that have caught up.

use super::relay::Relay;
use crate::base::id::ConnId;
use crate::engine::Io;
use crate::host::Identity;
use crate::relay::role::Role;

impl Relay {
    /// Nothing waits for a peer any more.
    pub(super) fn caught_up(&mut self, io: &mut Io<'_>, id: ConnId, who: &Identity) {
        if Role::of(who) == Role::Glasses {
            self.backpressure.ends(io, id);
        }
    }
}
