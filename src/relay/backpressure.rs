//! Glasses that have caught up.

use super::relay::Relay;
use crate::engine::Io;
use crate::host::{Identity, Role};
use crate::id::ConnId;

impl Relay {
    /// Nothing waits for a peer any more.
    pub(super) fn caught_up(&mut self, io: &mut Io<'_>, id: ConnId, who: &Identity) {
        if who.role == Role::Glasses {
            self.backpressure.ends(io, id);
        }
    }
}
