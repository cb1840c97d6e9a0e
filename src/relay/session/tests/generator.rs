//! Random events for the model tests.

use super::super::app_event::{AppEvent, ConnFlags};
use super::super::glasses_slot::GlassesEvent;
use super::super::grace_queue::{GraceQueue, SlotDeadline};
use super::model::Model;
use crate::base::cause::Cause;
use crate::base::id::ConnId;
use crate::base::time::Micros;
use crate::relay::session::slot::LastEnding;

/// Random time, connections and waits.
pub(super) struct Generator {
    pub(super) rng: fastrand::Rng,
    pub(super) now: Micros,
    grace_queue: GraceQueue,
    conns: u32,
    questions: u64,
    /// Whether connections are rare.
    is_quiet: bool,
}

impl Generator {
    pub(super) fn new(seed: u64) -> Self {
        Generator {
            rng: fastrand::Rng::with_seed(seed),
            now: Micros::from_secs(1),
            grace_queue: GraceQueue::default(),
            conns: 0,
            questions: 0,
            is_quiet: seed.is_multiple_of(3),
        }
    }

    pub(super) fn conn(&mut self) -> ConnId {
        self.conns += 1;
        ConnId::new(self.conns, 1)
    }

    /// Returns the connection that holds a slot, or sometimes another.
    pub(super) fn conn_of(&mut self, model: &Model) -> ConnId {
        match model.conn.filter(|_| self.rng.u8(0..4) > 0) {
            Some(conn) => conn,
            None => ConnId::new(self.rng.u32(0..=self.conns), 1),
        }
    }

    pub(super) fn deadline(&mut self) -> SlotDeadline {
        let at = self.now + Micros(self.rng.u64(0..20_000_000));
        self.grace_queue.new_deadline(at)
    }

    pub(super) fn maybe_deadline(&mut self) -> Option<SlotDeadline> {
        let deadline = self.deadline();
        self.rng.bool().then_some(deadline)
    }

    /// Returns the wait for a slot, or sometimes another.
    pub(super) fn deadline_of(&mut self, model: &Model) -> SlotDeadline {
        match model.deadline.filter(|_| self.rng.u8(0..4) > 0) {
            Some(deadline) => deadline,
            None => self.deadline(),
        }
    }

    pub(super) fn number_of(&mut self, model: &Model) -> u64 {
        match model.open.filter(|_| self.rng.bool()) {
            Some(number) => number,
            None => self.rng.u64(0..=self.questions),
        }
    }

    pub(super) fn app_event(&mut self, model: &Model) -> AppEvent {
        self.now += Micros(self.rng.u64(0..4_000_000));
        let now = self.now;
        let least = if self.is_quiet && self.rng.u8(0..20) > 0 {
            7
        } else {
            0
        };
        match self.rng.u8(least..14) {
            0..=2 => AppEvent::Attached {
                conn: self.conn(),
                now,
                flags: ConnFlags {
                    released: false,
                    has_newer_sdk: self.rng.bool(),
                    deferred: self.rng.bool(),
                },
            },
            3 => AppEvent::Released {
                conn: self.conn_of(model),
            },
            4 => AppEvent::GlassesConnected,
            5 | 6 => AppEvent::Ended {
                conn: self.conn_of(model),
                now,
                last_ending: LastEnding {
                    cause: Cause::STALE,
                    lost: true,
                },
                wait: self.maybe_deadline(),
                arrival: self.deadline(),
                has_webhook: self.rng.bool(),
            },
            7 | 8 => AppEvent::WaitOver {
                deadline: self.deadline_of(model),
                extended: self.maybe_deadline(),
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
                deadline: self.deadline(),
            },
            11 => AppEvent::Postponed {
                until: now + Micros(self.rng.u64(0..4_000_000)),
            },
            12 => AppEvent::Answered {
                number: self.number_of(model),
                now,
                deadline: self.deadline(),
            },
            _ if self.rng.bool() => AppEvent::Failed {
                number: self.number_of(model),
                until: now + Micros(self.rng.u64(0..8_000_000)),
            },
            _ => AppEvent::Cancelled {
                number: self.number_of(model),
            },
        }
    }

    pub(super) fn place_event(&mut self, model: &Model) -> GlassesEvent {
        self.now += Micros(self.rng.u64(0..4_000_000));
        let now = self.now;
        match self.rng.u8(0..6) {
            0 | 1 => GlassesEvent::Attached {
                conn: self.conn(),
                now,
            },
            2 | 3 => GlassesEvent::Ended {
                conn: self.conn_of(model),
                now,
                last_ending: LastEnding {
                    cause: Cause::STALE,
                    lost: true,
                },
                wait: self.maybe_deadline(),
            },
            _ => GlassesEvent::WaitOver {
                deadline: self.deadline_of(model),
                extended: self.maybe_deadline(),
            },
        }
    }
}
