//! Ends the backpressure on apps when the glasses of their session have room again.

use super::relay::Relay;
use crate::base::id::ConnId;
use crate::engine::Io;
use crate::host::Identity;
use crate::relay::role::Role;

impl Relay {
    /// Resumes reading the apps of glasses whose send queue is empty again.
    pub(super) fn caught_up(&mut self, io: &mut Io<'_>, id: ConnId, who: &Identity) {
        if Role::of(who) == Role::Glasses {
            self.backpressure.ends(io, id);
        }
    }
}
