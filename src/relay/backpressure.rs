//! Ends the backpressure on apps when the glasses of their session have room again.

use super::relay::Relay;
use crate::base::id::ConnId;
use crate::engine::Io;
use crate::host::Identity;
use crate::relay::role::PeerRole;

impl Relay {
    /// Resumes reading the apps of glasses whose send queue is empty again. Glasses that speak
    /// pulse must also have acknowledged enough.
    pub(super) fn resume_apps(&mut self, io: &mut Io<'_>, id: ConnId, who: &Identity) {
        let has_room = |key| self.pulse.has_room(key);
        if PeerRole::of(who) == PeerRole::Glasses && self.pulse.key_of(id).is_none_or(has_room) {
            self.paused_apps.resume_next(io, id);
        }
    }
}
