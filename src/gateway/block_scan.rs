//! Closing all connections of an identity that an operator has blocked.

use super::gateway::Gateway;
use crate::base::cause::Cause;
use crate::engine::Io;
use crate::host::Identity;
use crate::query::Progress;

/// The slots that are looked at in one slice, and in one unit of work.
const SLOTS_PER_SLICE: u32 = 4_000;
const SLOTS_PER_UNIT: u32 = 50;

impl Gateway {
    /// Closes all connections of an identity with this reason, and ends its plain HTTP requests,
    /// over as many turns as needed. A user of a service may have many.
    pub(super) fn close_identity(&mut self, io: &Io<'_>, identity: Identity, reason: &str) {
        self.end_http_of(io, identity.clone());
        let (mut slot, reason) = (0, reason.to_owned());
        let scan = move |gateway: &mut Gateway, io: &mut Io<'_>| {
            let end = io.slots().min(slot + SLOTS_PER_SLICE);
            io.spend((end - slot) / SLOTS_PER_UNIT);
            for id in (slot..end)
                .filter_map(|slot| io.id_in_slot(slot))
                .collect::<Vec<_>>()
            {
                if gateway.identities.get(id) == Some(&identity) {
                    io.spend(1);
                    io.close(id, Cause::KICKED.close_code(), &reason);
                }
            }
            slot = end;
            match slot < io.slots() {
                true => Progress::More,
                false => Progress::Done,
            }
        };
        self.queries.start_sliced(io, Box::new(scan));
    }
}
