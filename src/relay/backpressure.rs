//! Ends the backpressure on apps when the glasses of their session have room again.

use super::relay::Relay;
use crate::base::id::ConnId;
use crate::engine::Io;
use crate::host::Identity;
use crate::relay::role::PeerRole;

impl Relay {
    /// Resumes reading the apps of glasses whose send queue is empty again.
    pub(super) fn resume_apps(&mut self, io: &mut Io<'_>, id: ConnId, who: &Identity) {
        if PeerRole::of(who) == PeerRole::Glasses {
            self.paused_apps.resume_all(io, id);
        }
    }
}
