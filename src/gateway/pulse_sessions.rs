//! Sessions that outlive their connections, for operators.

use super::gateway::Gateway;
use crate::bridge::PulseSessionRow;
use crate::engine::Io;
use crate::host::LogValue;

/// The most sessions that one slice names.
const SLICE_SESSIONS_MAX: usize = 200;

/// Work units for finding the place of the first.
const SLICE_LOOK_UNITS: u32 = 2;

impl Gateway {
    /// Returns some of the sessions that outlive their connections, those after this one, and
    /// whether more follow: at most `most`, and at most 200.
    pub fn pulse_session_slice(
        &mut self,
        io: &mut Io<'_>,
        after: Option<u64>,
        most: usize,
    ) -> (Vec<PulseSessionRow>, bool) {
        let Some(bridge) = self.bridge() else {
            return (Vec::new(), false);
        };
        let slice = bridge.pulse_sessions_after(after, most.min(SLICE_SESSIONS_MAX));
        io.spend(SLICE_LOOK_UNITS + slice.0.len() as u32 / 2);
        slice
    }

    /// Returns some of the sessions that wait for their clients, at most `most`.
    pub fn held_pulse_sessions(&mut self, io: &mut Io<'_>, most: usize) -> Vec<PulseSessionRow> {
        let bridge = self.bridge();
        let rows = bridge.map_or_else(Vec::new, |bridge| bridge.held_pulse_sessions(most));
        io.spend(rows.len() as u32);
        rows
    }

    /// Ends a session that outlives its connections, with this reason in the close frames. Returns
    /// whether there is one. The result is logged even if the caller no longer waits for it.
    pub fn end_pulse_session(&mut self, io: &mut Io<'_>, number: u64, reason: &str) -> bool {
        let bridge = self.bridge();
        let is_ended = bridge.is_some_and(|bridge| bridge.end_pulse_session(io, number, reason));
        if is_ended {
            log::warn!(
                "operator action=end_session session={number} reason={}",
                LogValue(reason)
            );
        }
        is_ended
    }
}
