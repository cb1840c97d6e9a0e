//! A class drain: closes the connections of one class evenly over a time, while the gateway stays
//! up.

use super::product::Product;
use super::spread_close::SpreadClose;
use crate::base::cause::Cause;
use crate::base::id::ConnId;
use crate::base::time::Micros;
use crate::engine::{Class, ConnView, Io, PhaseView, TimerId};

/// The reason in the close frame, the same as in a drain of the whole gateway.
const REASON: &str = "service restart";

/// A drain of one class.
#[derive(Debug)]
pub(crate) struct ClassDrain {
    class: Class,
    /// Spreads the closes over the connections that the class had at the start.
    walk: SpreadClose,
    /// New connections of the class are refused until this engine time.
    refused_until: Micros,
}

impl ClassDrain {
    pub(crate) fn start(
        io: &mut Io<'_>,
        class: Class,
        (spread, refuse): (Micros, Micros),
        product: &mut dyn Product,
    ) -> Self {
        let live = io.stats().classes[usize::from(class.0)].live;
        let mut drain = ClassDrain {
            class,
            walk: SpreadClose::new(io.now(), spread, live),
            refused_until: io.now() + refuse,
        };
        drain.step(io, product);
        drain
    }

    /// Returns the class.
    pub(crate) fn class(&self) -> Class {
        self.class
    }

    /// Returns how long new connections of the class are still refused.
    pub(crate) fn refusal_remaining(&self, now: Micros) -> Option<Micros> {
        (now < self.refused_until).then(|| self.refused_until - now)
    }

    /// Returns whether all connections are closed and new ones are no longer refused.
    pub(crate) fn is_over(&self, now: Micros) -> bool {
        !self.walk.is_running() && self.refusal_remaining(now).is_none()
    }

    /// Returns the latest engine time at which the drain closes this connection; `None` if it does
    /// not close it.
    pub(crate) fn close_deadline(
        &self,
        id: ConnId,
        view: &ConnView,
        now: Micros,
    ) -> Option<Micros> {
        let deadline = self.walk.deadline(id, now)?;
        includes(self.class, self.walk.started(), view).then_some(deadline)
    }

    pub(crate) fn stop(&mut self, io: &mut Io<'_>) {
        self.walk.stop(io);
    }

    /// Handles a timer that has expired. Returns whether it was the timer of this drain.
    pub(crate) fn on_timer(
        &mut self,
        io: &mut Io<'_>,
        timer: TimerId,
        product: &mut dyn Product,
    ) -> bool {
        let ours = self.walk.owns(timer);
        if ours {
            self.step(io, product);
        }
        ours
    }

    fn step(&mut self, io: &mut Io<'_>, product: &mut dyn Product) {
        let (class, started) = (self.class, self.walk.started());
        self.walk.step(io, |io, id, view| {
            let is_theirs = includes(class, started, view);
            if is_theirs && product.on_drain_close(io, id) {
                let code = Cause::DRAINING.close_code();
                io.close_for(id, Cause::DRAINING, code, REASON);
            }
            is_theirs
        });
    }
}

/// Returns whether a drain of this class that has started then closes the connection. Connections
/// that are newer than the drain stay.
fn includes(class: Class, started: Micros, view: &ConnView) -> bool {
    let theirs = view.class == Some(class) && view.since <= started;
    theirs && view.phase == PhaseView::Open
}
