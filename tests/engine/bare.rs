//! An engine whose turns the test runs, for what [`Net`](pulsegate::testing::Net) does not offer:
//! refusal at accepting, and time to the microsecond.

use crate::echo::{Host, Told};
use pulsegate::engine::{Config, Engine, FlushOutcome};
use pulsegate::{ConnId, Micros};
use std::io::IoSlice;

/// An engine whose turns the test runs, for what [`Net`] does not offer: refusal at accepting, and
/// time to the µs.
pub struct Bare {
    pub engine: Engine<Host>,
    pub now: Micros,
    pub endings: Vec<(ConnId, Micros)>,
    pub written: Vec<u8>,
}

impl Bare {
    pub fn new(config: Config) -> Self {
        let engine =
            Engine::new(config, Host::default(), Box::new(|| {})).expect("a valid configuration");
        Bare {
            engine,
            now: Micros::ZERO,
            endings: Vec::new(),
            written: Vec::new(),
        }
    }

    pub fn accept(&mut self, refuse: bool) -> ConnId {
        self.engine
            .accept(([127, 0, 0, 1], 1).into(), refuse, self.now)
    }

    pub fn turn(&mut self) {
        let (now, told) = (self.now, self.engine.handler().diary.len());
        self.engine.advance(now);
        while let Some(id) = self.engine.next_final_check() {
            self.engine.final_check(id, None, now);
        }
        let (mut dirty, written) = (Vec::new(), &mut self.written);
        self.engine.take_dirty(&mut dirty);
        for id in dirty {
            let mut socket = |slices: &[IoSlice<'_>]| {
                slices.iter().for_each(|s| written.extend_from_slice(s));
                Ok(slices.iter().map(|s| s.len()).sum())
            };
            assert_ne!(
                self.engine.flush(id, now, &mut socket),
                FlushOutcome::Blocked
            );
        }
        self.engine.reap(now, &mut |_, _| {});
        let news = &self.engine.handler().diary[told..];
        let closed = news
            .iter()
            .filter(|(_, t)| *t == Told::Closed)
            .filter_map(|(id, _)| *id);
        self.endings.extend(closed.map(|id| (id, now)));
    }

    /// Runs turns like the loop, until `at`.
    pub fn sleep_until(&mut self, at: Micros) {
        self.turn();
        while let Some(sleep) = self
            .engine
            .sleep_time(self.now)
            .filter(|s| self.now + *s <= at)
        {
            self.now += sleep;
            self.turn();
        }
        self.now = at;
    }
}
