//! Random events for the model tests.

use super::super::app_event::{AppEvent, Conduct};
use super::super::graces::{Due, Graces};
use super::super::place::PlaceEvent;
use super::facts::Facts;
use crate::base::cause::Cause;
use crate::base::id::ConnId;
use crate::base::time::Micros;
use crate::relay::session::seat::Parting;

/// Random time, connections and waits.
pub(super) struct World {
    pub(super) rng: fastrand::Rng,
    pub(super) now: Micros,
    graces: Graces,
    conns: u32,
    questions: u64,
    /// Whether connections are rare.
    is_quiet: bool,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        World {
            rng: fastrand::Rng::with_seed(seed),
            now: Micros::from_secs(1),
            graces: Graces::default(),
            conns: 0,
            questions: 0,
            is_quiet: seed.is_multiple_of(3),
        }
    }

    pub(super) fn conn(&mut self) -> ConnId {
        self.conns += 1;
        ConnId::new(self.conns, 1)
    }

    /// Returns the connection that holds a place, or sometimes another.
    pub(super) fn conn_of(&mut self, facts: &Facts) -> ConnId {
        match facts.conn.filter(|_| self.rng.u8(0..4) > 0) {
            Some(conn) => conn,
            None => ConnId::new(self.rng.u32(0..=self.conns), 1),
        }
    }

    pub(super) fn due(&mut self) -> Due {
        let at = self.now + Micros(self.rng.u64(0..20_000_000));
        self.graces.due(at)
    }

    pub(super) fn maybe_due(&mut self) -> Option<Due> {
        let due = self.due();
        self.rng.bool().then_some(due)
    }

    /// Returns the wait for a place, or sometimes another.
    pub(super) fn due_of(&mut self, facts: &Facts) -> Due {
        match facts.due.filter(|_| self.rng.u8(0..4) > 0) {
            Some(due) => due,
            None => self.due(),
        }
    }

    pub(super) fn number_of(&mut self, facts: &Facts) -> u64 {
        match facts.open.filter(|_| self.rng.bool()) {
            Some(number) => number,
            None => self.rng.u64(0..=self.questions),
        }
    }

    pub(super) fn app_event(&mut self, facts: &Facts) -> AppEvent {
        self.now += Micros(self.rng.u64(0..4_000_000));
        let now = self.now;
        let least = if self.is_quiet && self.rng.u8(0..20) > 0 {
            7
        } else {
            0
        };
        match self.rng.u8(least..14) {
            0..=2 => AppEvent::Arrives {
                conn: self.conn(),
                now,
                conduct: Conduct {
                    released: false,
                    insists: self.rng.bool(),
                    deferred: self.rng.bool(),
                },
            },
            3 => AppEvent::Releases {
                conn: self.conn_of(facts),
            },
            4 => AppEvent::GlassesAreHere,
            5 | 6 => AppEvent::Gone {
                conn: self.conn_of(facts),
                now,
                parting: Parting {
                    cause: Cause::STALE,
                    lost: true,
                },
                wait: self.maybe_due(),
                arrival: self.due(),
                has_webhook: self.rng.bool(),
            },
            7 | 8 => AppEvent::Over {
                due: self.due_of(facts),
                again: self.maybe_due(),
            },
            9 => {
                self.questions += 1;
                AppEvent::Asked {
                    number: self.questions,
                    revival: self.rng.bool(),
                }
            }
            10 => AppEvent::Expected {
                now,
                due: self.due(),
            },
            11 => AppEvent::Postponed {
                until: now + Micros(self.rng.u64(0..4_000_000)),
            },
            12 => AppEvent::Answered {
                number: self.number_of(facts),
                now,
                due: self.due(),
            },
            _ if self.rng.bool() => AppEvent::Failed {
                number: self.number_of(facts),
                until: now + Micros(self.rng.u64(0..8_000_000)),
            },
            _ => AppEvent::Cancelled {
                number: self.number_of(facts),
            },
        }
    }

    pub(super) fn place_event(&mut self, facts: &Facts) -> PlaceEvent {
        self.now += Micros(self.rng.u64(0..4_000_000));
        let now = self.now;
        match self.rng.u8(0..6) {
            0 | 1 => PlaceEvent::Arrives {
                conn: self.conn(),
                now,
            },
            2 | 3 => PlaceEvent::Gone {
                conn: self.conn_of(facts),
                now,
                parting: Parting {
                    cause: Cause::STALE,
                    lost: true,
                },
                wait: self.maybe_due(),
            },
            _ => PlaceEvent::Over {
                due: self.due_of(facts),
                again: self.maybe_due(),
            },
        }
    }
}
