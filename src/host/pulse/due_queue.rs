//! What is due for sessions, in the order of time.

use crate::base::time::Micros;
use crate::engine::{Io, TimerId};
use std::collections::BTreeSet;

/// Entries are gathered for this time, so that a step handles several.
const STEP: Micros = Micros::from_millis(5);

/// The time from one step to the next, if more entries are due already.
const BUSY_STEP: Micros = Micros::from_millis(1);

/// The kinds of what may be due for one session.
pub(crate) trait DueKind: Copy + Ord + 'static {
    /// All of them; the position equals the number that [`index`](Self::index) returns.
    const ALL: &'static [Self];

    /// Returns the position in [`ALL`](Self::ALL).
    fn index(self) -> usize;
}

/// The time of what is not due: each session keeps one word a kind, not an `Option`, which takes
/// two.
const NOT_DUE: Micros = Micros(u64::MAX);

/// When something of each of the `N` kinds is due for one session.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DueTimes<const N: usize>([Micros; N]);

impl<const N: usize> DueTimes<N> {
    /// Nothing is due.
    pub(crate) const NOTHING: Self = DueTimes([NOT_DUE; N]);

    /// Notes that the time of something has come.
    pub(crate) fn clear(&mut self, due: impl DueKind) {
        self.0[due.index()] = NOT_DUE;
    }
}

/// What is due for sessions, in the order of time, and the timer that runs when the next entry is
/// due. Each session has at most one entry of each kind; its [`DueTimes`] say when.
#[derive(Debug)]
pub(crate) struct DueQueue<K, D> {
    entries: BTreeSet<(Micros, K, D)>,
    timer: Option<(Micros, TimerId)>,
}

impl<K, D> Default for DueQueue<K, D> {
    fn default() -> Self {
        DueQueue {
            entries: BTreeSet::new(),
            timer: None,
        }
    }
}

impl<K: Copy + Ord, D: DueKind> DueQueue<K, D> {
    /// Sets when something is due for a session, unless it is due earlier. Call
    /// [`set_timer`](Self::set_timer) then.
    pub(crate) fn arm<const N: usize>(
        &mut self,
        times: &mut DueTimes<N>,
        (key, due): (K, D),
        at: Micros,
    ) {
        let armed = &mut times.0[due.index()];
        if *armed <= at {
            return;
        }
        let before = std::mem::replace(armed, at);
        if before != NOT_DUE {
            self.entries.remove(&(before, key, due));
        }
        self.entries.insert((at, key, due));
    }

    /// Sets that something is not due any more.
    pub(crate) fn disarm<const N: usize>(&mut self, times: &mut DueTimes<N>, (key, due): (K, D)) {
        let at = std::mem::replace(&mut times.0[due.index()], NOT_DUE);
        if at != NOT_DUE {
            self.entries.remove(&(at, key, due));
        }
    }

    /// Sets that nothing is due for a session.
    pub(crate) fn disarm_all<const N: usize>(&mut self, times: &mut DueTimes<N>, key: K) {
        for due in D::ALL {
            self.disarm(times, (key, *due));
        }
    }

    /// Takes the next entry, if it is due. The caller [clears](DueTimes::clear) its time.
    pub(crate) fn take_due(&mut self, now: Micros) -> Option<(K, D)> {
        let (at, key, due) = *self.entries.first()?;
        (at <= now).then(|| {
            self.entries.pop_first();
            (key, due)
        })
    }

    /// Handles a timer. Returns whether it is the one of the queue.
    pub(crate) fn on_timer(&mut self, timer: TimerId) -> bool {
        self.timer.take_if(|(_, own)| *own == timer).is_some()
    }

    /// Sets the timer for the next entry.
    pub(crate) fn set_timer(&mut self, io: &mut Io<'_>) {
        let Some((next, ..)) = self.entries.first().copied() else {
            return;
        };
        if let Some((at, timer)) = self.timer {
            if at <= next {
                return;
            }
            io.cancel_timer(timer);
        }
        let at = next.max(io.now());
        let after = match next <= io.now() {
            true => BUSY_STEP,
            false => (at - io.now()).max(STEP),
        };
        self.timer = Some((at, io.start_timer(after)));
    }

    /// Returns how many entries there are.
    #[cfg(feature = "testing")]
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }
}
