//! Going away in order.

use crate::cause::Cause;
use crate::engine::conn::Phase;
use crate::engine::core::Core;
use crate::engine::timers::Purpose;
use crate::engine::wheel::TICK;
use crate::id::ConnId;
use crate::time::Micros;

/// How far a drain is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Drain {
    /// There is none.
    No,
    /// `/healthz` answers 503; load balancers are given time to notice, and connections are still accepted.
    Announced { spread: Micros },
    /// Who waits in the accept queue is taken in once more; then nobody is.
    LastAccept { spread: Micros },
    /// Connections are closed, evenly over the spread.
    Closing {
        started: Micros,
        spread: Micros,
        total: u64,
        done: u64,
        cursor: u32,
    },
}

/// The reason in the close frame.
const REASON: &str = "service restart";

impl Core {
    pub(crate) fn announce_drain(&mut self, delay: Micros, spread: Micros, now: Micros) {
        if let Drain::No = self.drain {
            self.drain = Drain::Announced { spread };
            self.start_timer(Purpose::Drain, now + delay, now);
        }
    }

    /// The drain's timer has run out.
    pub(crate) fn drain_on(&mut self, now: Micros) {
        match self.drain {
            Drain::Announced { spread } => self.drain = Drain::LastAccept { spread },
            Drain::Closing { .. } => self.drain_step(now),
            Drain::No | Drain::LastAccept { .. } => {}
        }
    }

    /// The accept queue is empty and the listener gone.
    pub(crate) fn accepting_is_over(&mut self, now: Micros) {
        if let Drain::LastAccept { spread } = self.drain {
            let total = self.table.len() as u64;
            self.drain = Drain::Closing {
                started: now,
                spread,
                total,
                done: 0,
                cursor: 0,
            };
            self.drain_step(now);
        }
    }

    /// Closes those whose turn it is: after a tenth of the spread, a tenth of all.
    fn drain_step(&mut self, now: Micros) {
        let Drain::Closing {
            started,
            spread,
            total,
            mut done,
            mut cursor,
        } = self.drain
        else {
            return;
        };
        let elapsed = now - started;
        let over = elapsed >= spread;
        let quota = if over {
            // Whoever finished a handshake behind the cursor goes now, too.
            cursor = 0;
            u64::MAX
        } else {
            (u128::from(total) * u128::from(elapsed.0) / u128::from(spread.0)) as u64
        };
        while done < quota && cursor < self.table.bound() {
            let id = self.table.id_in(cursor);
            cursor += 1;
            if id.is_some_and(|id| self.drain_one(id, over, now)) {
                done += 1;
            }
        }
        self.drain = Drain::Closing {
            started,
            spread,
            total,
            done,
            cursor,
        };
        if self.table.len() > 0 {
            self.start_timer(Purpose::Drain, now + TICK, now);
        }
    }

    /// Handshakes may finish until the spread is over.
    fn drain_one(&mut self, id: ConnId, over: bool, now: Micros) -> bool {
        let closable = self.table.get(id).is_some_and(|c| match c.phase {
            Phase::Open(_) => true,
            Phase::Opening(_) => over,
            Phase::Closing(_) | Phase::Dead(_) => false,
        });
        if closable {
            self.close(
                id,
                Cause::Draining,
                Cause::Draining.close_code(),
                REASON,
                now,
            );
        }
        closable
    }
}
