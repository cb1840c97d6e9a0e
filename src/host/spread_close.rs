//! Closes many connections evenly over a time, a few slots at a time.

use crate::base::id::ConnId;
use crate::base::spread::Spread;
use crate::base::time::Micros;
use crate::engine::{ConnView, Io, TimerId};
use crate::query::SliceCost;

/// The time from one step to the next.
const STEP: Micros = Micros::from_millis(10);

/// The most connection slots that one step checks.
const SLOTS: u32 = 1_024;

/// The most connections that one step closes: 25 600 a second. A spread that would need more takes
/// longer.
const CLOSES: u32 = 256;

/// CPU time to check a slot, in ns.
const SLOT_NS: u32 = 150;

/// CPU time to close a connection, in ns.
const CLOSE_NS: u32 = 1_000;

/// A walk over all slots that closes connections evenly over a time.
#[derive(Debug)]
pub(crate) struct SpreadClose {
    spread: Spread,
    done: u64,
    cursor: u32,
    timer: Option<TimerId>,
}

impl SpreadClose {
    /// Makes a walk that closes `total` connections over `span`. It begins with its first step.
    pub(crate) fn new(now: Micros, span: Micros, total: u64) -> Self {
        SpreadClose {
            spread: Spread {
                started: now,
                span,
                total,
            },
            done: 0,
            cursor: 0,
            timer: None,
        }
    }

    /// Returns the engine time at which the walk began.
    pub(crate) fn started(&self) -> Micros {
        self.spread.started
    }

    /// Returns whether slots are left.
    pub(crate) fn is_running(&self) -> bool {
        self.timer.is_some()
    }

    /// Returns whether this is the walk's timer.
    pub(crate) fn owns(&self, timer: TimerId) -> bool {
        self.timer == Some(timer)
    }

    /// Ends the walk.
    pub(crate) fn stop(&mut self, io: &mut Io<'_>) {
        if let Some(timer) = self.timer.take() {
            io.cancel_timer(timer);
        }
    }

    /// Returns the latest engine time at which the walk comes to this connection; `None` if it has
    /// passed it.
    pub(crate) fn deadline(&self, id: ConnId, now: Micros) -> Option<Micros> {
        self.timer?;
        let slots = (id.slot() as u32).checked_sub(self.cursor)?;
        // Its turn comes after all connections before it. A step closes a limited number of them,
        // and looks at a limited number of slots.
        let turn = self.done + u64::from(slots) + 1;
        let steps = |slots: u32| Micros(STEP.0 * u64::from(slots));
        let due = self.spread.due_at(turn).max(now + steps(slots / CLOSES));
        Some(due + steps(slots / SLOTS))
    }

    /// Closes the connections that are due: after a tenth of the spread, a tenth of them. `close`
    /// closes a connection, if it is one of those to be closed, and returns whether it was.
    pub(crate) fn step(
        &mut self,
        io: &mut Io<'_>,
        mut close: impl FnMut(&mut Io<'_>, ConnId, &ConnView) -> bool,
    ) {
        let quota = self.spread.due(io.now());
        let most = self.cursor.saturating_add(SLOTS).min(io.slots());
        let (begun, mut closed) = (self.cursor, 0);
        while self.done < quota && self.cursor < most && closed < CLOSES {
            let id = io.id_in_slot(self.cursor);
            self.cursor += 1;
            let Some((id, view)) = id.and_then(|id| Some((id, io.view(id)?))) else {
                continue;
            };
            if close(io, id, &view) {
                self.done += 1;
                closed += 1;
            }
        }
        let mut slice_cost = SliceCost::default();
        slice_cost.add(SLOT_NS * (self.cursor - begun) + CLOSE_NS * closed);
        slice_cost.spend(io);
        self.timer = (self.cursor < io.slots()).then(|| io.start_timer(STEP));
    }
}
