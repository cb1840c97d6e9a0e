//! What is done for sessions when its time has come.

use super::session_due::Due;
use super::session_key::SessionKey;
use crate::base::time::Micros;
use crate::bridge::bridge::Bridge;
use crate::engine::{Io, TimerId};

/// The most entries that are handled in one step.
const DUES: usize = 128;

/// No further entry is handled in a step that has sent this many messages.
const SENDS: usize = 512;

impl Bridge {
    /// Handles the timer of the sessions. Returns whether it is theirs.
    pub(in crate::bridge) fn sessions_on_timer(&mut self, io: &mut Io<'_>, timer: TimerId) -> bool {
        if !self.sessions.dues.on_timer(timer) {
            return false;
        }
        let now = io.now();
        let mut sent = 0;
        for _ in 0..DUES {
            if sent >= SENDS {
                break;
            }
            let Some((key, due)) = self.sessions.dues.take_due(now) else {
                break;
            };
            io.spend(1);
            if let Some(session) = self.sessions.live.get_mut(&key) {
                session.times.clear(due);
                sent += self.handle_due(io, key, due);
            }
        }
        self.sessions.dues.set_timer(io);
        true
    }

    /// Does what is due. Returns how many messages were sent for it.
    fn handle_due(&mut self, io: &mut Io<'_>, key: SessionKey, due: Due) -> usize {
        match due {
            Due::Ack => self.acknowledge(io, key),
            Due::Sign => self.give_sign(io, key),
            Due::Acks => self.watch_acks(io, key),
            Due::Send => return self.send_more(io, key),
            Due::Room => self.control_upstream(io, key),
            Due::End => self.end_late(io, key),
            Due::Hold => self.expire_hold(io, key),
            Due::Full => self.end_full(io, key),
            Due::Expiry => self.expire_client(io, key),
        }
        1
    }

    /// Sets when something is due for a session, unless it is due earlier.
    pub(super) fn plan(&mut self, io: &mut Io<'_>, key: SessionKey, due: Due, at: Micros) {
        self.sessions.arm(key, due, at);
        self.sessions.dues.set_timer(io);
    }
}
