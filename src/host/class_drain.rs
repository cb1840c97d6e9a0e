//! A class drain: closes the connections of one class evenly over a time, while the gateway stays
//! up.

use crate::base::cause::Cause;
use crate::base::id::ConnId;
use crate::base::spread::Spread;
use crate::base::time::Micros;
use crate::engine::{Class, ConnView, Io, PhaseView, TimerId};
use crate::query::SliceCost;

/// The time from one step to the next.
const STEP: Micros = Micros::from_millis(10);

/// The most connection slots that one step of a class drain checks.
const SLOTS: u32 = 1_024;

/// The most connections that one step of a class drain closes: 25 600 a second. A spread that would
/// need more takes longer.
const CLOSES: u32 = 256;

/// CPU time to check a slot, in ns.
const SLOT_NS: u32 = 150;

/// CPU time to close a connection, in ns.
const CLOSE_NS: u32 = 1_000;

/// The reason in the close frame, the same as in a drain of the whole gateway.
const REASON: &str = "service restart";

/// A drain of one class.
#[derive(Debug)]
pub(crate) struct ClassDrain {
    class: Class,
    /// Spreads the closes over the connections that the class had at the start.
    spread: Spread,
    /// New connections of the class are refused until this engine time.
    refused_until: Micros,
    done: u64,
    cursor: u32,
    timer: Option<TimerId>,
}

impl ClassDrain {
    pub(crate) fn start(io: &mut Io<'_>, class: Class, spread: Micros, refuse: Micros) -> Self {
        let mut drain = ClassDrain {
            class,
            spread: Spread {
                started: io.now(),
                span: spread,
                total: io.stats().classes[usize::from(class.0)].live,
            },
            refused_until: io.now() + refuse,
            done: 0,
            cursor: 0,
            timer: None,
        };
        drain.step(io);
        drain
    }

    /// Returns how long new connections of the class are still refused.
    pub(crate) fn refusal_remaining(&self, now: Micros) -> Option<Micros> {
        (now < self.refused_until).then(|| self.refused_until - now)
    }

    /// Returns whether all connections are closed and new ones are no longer refused.
    pub(crate) fn is_over(&self, now: Micros) -> bool {
        self.timer.is_none() && self.refusal_remaining(now).is_none()
    }

    /// Returns the latest engine time at which the drain closes this connection; `None` if it does
    /// not close it.
    pub(crate) fn close_deadline(
        &self,
        id: ConnId,
        view: &ConnView,
        now: Micros,
    ) -> Option<Micros> {
        self.timer?;
        let slots = (id.slot() as u32).checked_sub(self.cursor)?;
        if !self.includes(view) {
            return None;
        }
        // Its turn comes after all connections before it. A step closes a limited number of them,
        // and looks at a limited number of slots.
        let turn = self.done + u64::from(slots) + 1;
        let steps = |slots: u32| Micros(STEP.0 * u64::from(slots));
        let due = self.spread.due_at(turn).max(now + steps(slots / CLOSES));
        Some(due + steps(slots / SLOTS))
    }

    /// Returns whether the drain closes this connection. Connections that are newer than the drain
    /// stay.
    fn includes(&self, view: &ConnView) -> bool {
        let theirs = view.class == Some(self.class) && view.since <= self.spread.started;
        theirs && view.phase == PhaseView::Open
    }

    pub(crate) fn stop(&mut self, io: &mut Io<'_>) {
        if let Some(timer) = self.timer.take() {
            io.cancel_timer(timer);
        }
    }

    /// Handles a timer that has expired. Returns whether it was the timer of this drain.
    pub(crate) fn on_timer(&mut self, io: &mut Io<'_>, timer: TimerId) -> bool {
        let ours = self.timer == Some(timer);
        if ours {
            self.step(io);
        }
        ours
    }

    /// Closes the connections that are due: after a tenth of the spread, a tenth of them.
    fn step(&mut self, io: &mut Io<'_>) {
        let quota = self.spread.due(io.now());
        let most = self.cursor.saturating_add(SLOTS).min(io.slots());
        let (begun, mut closed) = (self.cursor, 0);
        while self.done < quota && self.cursor < most && closed < CLOSES {
            let id = io.id_in_slot(self.cursor);
            self.cursor += 1;
            let Some((id, view)) = id.and_then(|id| Some((id, io.view(id)?))) else {
                continue;
            };
            if self.includes(&view) {
                let code = Cause::DRAINING.close_code();
                io.close_for(id, Cause::DRAINING, code, REASON);
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
