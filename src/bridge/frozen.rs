//! A frozen service: many silent connections to one upstream are one fault, not many dead peers.
//!
//! While more than half of the connections to an upstream are suspect, the upstream itself is
//! unresponsive. Its connections are then closed only after three timeouts, and slowly: a process
//! that was stopped for a minute, or collects garbage, loses no client. This holds until something
//! shows that the service answers: also for the last few connections, when the others are closed.

use crate::base::id::ConnId;
use crate::base::time::Micros;
use crate::engine::Overdue;
use std::collections::HashMap;

/// With fewer suspect connections than this, each is judged by itself.
const SILENT_MIN: u64 = 10;

/// After this many timeouts connections to an unresponsive upstream are closed.
const TIMEOUTS: u64 = 3;

/// The time over which all connections to an unresponsive upstream are closed.
const CLOSE_ALL: Micros = Micros::from_secs(60);

/// The connections to an upstream, as far as they say whether it is frozen.
#[derive(Debug, Clone, Copy)]
pub(super) struct UpstreamState {
    /// Open connections.
    pub(super) open: u64,
    /// The part of them that is suspect: a ping has been unanswered for a whole interval.
    pub(super) silent: u64,
    /// Whether it was unresponsive, and nothing has shown since that it answers.
    pub(super) is_latched: bool,
}

impl UpstreamState {
    /// Returns whether the upstream is unresponsive.
    pub(super) fn is_unresponsive(self) -> bool {
        self.is_latched || is_service_unresponsive(self.open, self.silent)
    }

    /// Returns the silence after which a connection with this timeout may be closed, if the
    /// upstream is unresponsive.
    pub(super) fn patience(self, timeout: Micros) -> Option<Micros> {
        self.is_unresponsive()
            .then_some(Micros(TIMEOUTS * timeout.0))
    }
}

/// Returns whether a service is unresponsive: more than half of the open connections to it, and at
/// least ten, are suspect.
pub(crate) fn is_service_unresponsive(open: u64, silent: u64) -> bool {
    silent >= SILENT_MIN && 2 * silent > open
}

/// The order in which connections to an unresponsive upstream are closed.
#[derive(Debug, Default)]
pub(super) struct FrozenGuard {
    /// When each connection may be closed.
    turns: HashMap<ConnId, Micros>,
    /// The next free turn.
    next: Micros,
}

impl FrozenGuard {
    /// Decides whether a connection to the upstream that has been silent for this long, with this
    /// timeout, may be closed now.
    pub(super) fn judge(
        &mut self,
        id: ConnId,
        silence: Micros,
        timeout: Micros,
        state: UpstreamState,
        now: Micros,
    ) -> Overdue {
        let Some(patience) = state.patience(timeout) else {
            self.turns.clear();
            return Overdue::Close;
        };
        if silence < patience {
            // It was heard since a turn of an earlier freeze.
            self.turns.remove(&id);
            return Overdue::Wait(patience - silence);
        }
        let turn = *self.turns.entry(id).or_insert_with(|| {
            let turn = self.next.max(now);
            self.next = turn + Micros(CLOSE_ALL.0 / state.open.max(1));
            turn
        });
        // It keeps its turn until it has ended: the limit on stale closes may delay the close.
        match turn <= now {
            true => Overdue::Close,
            false => Overdue::Wait(turn - now),
        }
    }

    /// Returns when a connection may be closed, if it has a turn.
    pub(super) fn turn(&self, id: ConnId) -> Option<Micros> {
        self.turns.get(&id).copied()
    }

    /// Forgets a connection that has ended.
    pub(super) fn forget(&mut self, id: ConnId) {
        self.turns.remove(&id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Micros = Micros::from_secs(45);

    fn judge(guard: &mut FrozenGuard, slot: u32, silence: u64, open: u64, silent: u64) -> Overdue {
        let state = UpstreamState {
            open,
            silent,
            is_latched: false,
        };
        let (id, silence) = (ConnId::new(slot, 1), Micros::from_secs(silence));
        guard.judge(id, silence, TIMEOUT, state, silence)
    }

    #[test]
    fn few_silent_connections_are_judged_by_themselves() {
        for (open, silent) in [(9, 9), (100, 50), (20, 10), (1, 1), (0, 0)] {
            let judged = judge(&mut FrozenGuard::default(), 1, 46, open, silent);
            assert_eq!(judged, Overdue::Close, "{silent} of {open}");
        }
        for (open, silent) in [(10, 10), (19, 10), (100, 51)] {
            let judged = judge(&mut FrozenGuard::default(), 1, 46, open, silent);
            assert_eq!(
                judged,
                Overdue::Wait(Micros::from_secs(89)),
                "{silent} of {open}"
            );
        }
    }

    #[test]
    fn after_three_timeouts_each_has_its_turn_within_a_minute() {
        let mut guard = FrozenGuard::default();
        assert_eq!(judge(&mut guard, 0, 135, 120, 120), Overdue::Close);
        let half_second = Micros::from_millis(500);
        for slot in 1..120 {
            let wait = Micros(u64::from(slot) * half_second.0);
            assert_eq!(judge(&mut guard, slot, 135, 120, 120), Overdue::Wait(wait));
        }
        assert_eq!(judge(&mut guard, 1, 136, 119, 119), Overdue::Close);
        assert_eq!(
            judge(&mut guard, 119, 194, 60, 60),
            Overdue::Wait(half_second)
        );
        // A close that waits for its token does not go back to the end of the line.
        assert_eq!(judge(&mut guard, 1, 137, 119, 119), Overdue::Close);
        // The service answers again: what is silent now is dead by itself.
        assert_eq!(judge(&mut guard, 7, 195, 60, 1), Overdue::Close);
        assert!(guard.turns.is_empty());
    }

    #[test]
    fn the_last_few_of_a_frozen_service_are_as_patient_as_the_others_were() {
        let state = |is_latched| UpstreamState {
            open: 3,
            silent: 3,
            is_latched,
        };
        assert_eq!(state(true).patience(TIMEOUT), Some(Micros(3 * TIMEOUT.0)));
        assert_eq!(state(false).patience(TIMEOUT), None);
        let mut guard = FrozenGuard::default();
        let silence = Micros::from_secs(46);
        let judged = guard.judge(ConnId::new(1, 1), silence, TIMEOUT, state(true), silence);
        assert_eq!(judged, Overdue::Wait(Micros::from_secs(89)));
    }

    #[test]
    fn a_second_freeze_gives_new_turns() {
        let mut guard = FrozenGuard::default();
        let at = |seconds| Micros::from_secs(seconds);
        let state = UpstreamState {
            open: 120,
            silent: 120,
            is_latched: true,
        };
        let id = |slot| ConnId::new(slot, 1);
        for slot in 0..120 {
            guard.judge(id(slot), at(135), TIMEOUT, state, at(1000));
        }
        // The service goes on before the minute is over, and stops again: each is silent for one
        // timeout, and then for three.
        for slot in 0..120 {
            let judged = guard.judge(id(slot), at(45), TIMEOUT, state, at(2000));
            assert_eq!(judged, Overdue::Wait(at(90)));
        }
        let closes = (0..120).filter(|slot| {
            guard.judge(id(*slot), at(135), TIMEOUT, state, at(2090)) == Overdue::Close
        });
        assert_eq!(closes.count(), 1);
    }
}
