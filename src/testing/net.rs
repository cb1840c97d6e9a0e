//! The network and its time.

use super::link::STEP;
use super::peer::{OnDial, Peer, PeerId};
use super::recorder::Recorder;
use crate::base::time::{Micros, Stalls};
use crate::engine::{Config, DialAddress, Engine, Handler, Io};

/// A network with one server.
pub struct Net<H> {
    pub(super) engine: Engine<Recorder<H>>,
    pub(super) raw: Micros,
    pub(super) stalls: Stalls,
    pub(super) asked: Micros,
    pub(super) peers: Vec<Peer>,
    /// The index of the peer that is read first.
    pub(super) first: usize,
    /// Whether the last turn has left input for the next one.
    pub(super) more: bool,
    /// Whether heartbeats are judged late.
    pub(super) judges_late: bool,
    /// What becomes of new dials.
    pub(super) on_dial: OnDial,
    /// The servers that were dialled, until a test has taken them.
    pub(super) dialed: Vec<(PeerId, DialAddress)>,
}

impl<H: Handler> Net<H> {
    /// Creates a server with this host and without peers, at engine time zero.
    ///
    /// # Panics
    /// If the configuration is not valid.
    pub fn new(config: Config, host: H) -> Self {
        let recorder = Recorder {
            host,
            endings: Vec::new(),
        };
        let engine = match Engine::new(config, recorder, Box::new(|| {})) {
            Ok(engine) => engine,
            Err(e) => panic!("{e}"),
        };
        Net {
            engine,
            raw: Micros::ZERO,
            stalls: Stalls::default(),
            asked: Micros::ZERO,
            peers: Vec::new(),
            first: 0,
            more: false,
            judges_late: true,
            on_dial: OnDial::default(),
            dialed: Vec::new(),
        }
    }

    /// Sets the server's connection limit: see [`Engine::set_max_connections`].
    pub fn set_max_connections(&mut self, most: usize) {
        self.engine.set_max_connections(most);
    }

    /// Leaves out the step that judges late heartbeats, as a driver may.
    pub fn judge_no_late(&mut self) {
        self.judges_late = false;
    }

    // ---- time ----

    /// Returns the engine time.
    pub fn now(&self) -> Micros {
        self.stalls.engine_time(self.raw)
    }

    /// Lets time pass, during which the server and its peers act. All pending work is done when
    /// this returns.
    pub fn advance(&mut self, ms: u64) {
        let target = self.now() + Micros::from_millis(ms);
        self.settle();
        while self.now() < target {
            let arrival = self
                .peers
                .iter()
                .filter(|p| !p.unread && self.engine.can_read(p.id))
                .filter_map(|p| p.inbound.front().map(|(at, _)| *at))
                .min();
            let wake = self.engine.sleep_time(self.now()).map(|s| self.now() + s);
            let is_moving = |p: &Peer| p.link.as_ref().is_some_and(|l| !l.queue.is_empty());
            let link = self.peers.iter().any(is_moving);
            let link = link.then(|| self.now() + STEP);
            let next = [arrival, wake, link]
                .into_iter()
                .flatten()
                .fold(target, Micros::min)
                .max(self.now() + Micros(1));
            let step = next.min(target) - self.now();
            self.asked = step;
            self.raw += step;
            self.settle();
        }
    }

    /// Stalls the server's loop for this long.
    pub fn stall(&mut self, ms: u64) {
        self.raw += Micros::from_millis(ms);
        self.settle();
    }

    /// Lets time pass, then runs one turn of the server, even if work is left: this is how a busy
    /// loop behaves.
    pub fn run_turn_after(&mut self, ms: u64) {
        self.asked = Micros::from_millis(ms);
        self.raw += self.asked;
        self.run_turn();
    }

    /// Runs turns until nothing more happens at this time.
    ///
    /// # Panics If that is never reached.
    pub fn settle(&mut self) {
        for _ in 0..10_000 {
            self.run_turn();
            let arrived = |p: &Peer| {
                let waits = p.inbound.front().is_some_and(|(at, _)| *at <= self.now());
                waits && !p.unread && self.engine.can_read(p.id)
            };
            let busy = self.engine.sleep_time(self.now()) == Some(Micros::ZERO);
            if !busy
                && !self.more
                && !self.engine.is_final_accept()
                && !self.peers.iter().any(arrived)
            {
                return;
            }
        }
        panic!("the engine finds no rest at {}", self.now());
    }

    /// Returns the host.
    pub fn host(&mut self) -> &mut H {
        &mut self.engine.handler_mut().host
    }

    /// Calls the host with an [`Io`] to act with.
    pub fn with_io<T>(&mut self, f: impl FnOnce(&mut H, &mut Io<'_>) -> T) -> T {
        let now = self.now();
        self.engine
            .with_io(now, |recorder, io| f(&mut recorder.host, io))
    }

    /// Returns the engine for inspection.
    pub fn engine(&self) -> &Engine<impl Handler + use<H>> {
        &self.engine
    }

    /// Ends every connection of the server at once.
    pub fn shutdown(&mut self) {
        self.engine.shutdown();
        self.run_turn();
    }

    /// Checks the invariants after a turn.
    ///
    /// # Errors The first invariant that does not hold.
    pub fn check(&self) -> Result<(), AuditError> {
        self.engine.audit(self.now()).map_err(AuditError)
    }

    /// Returns how many heartbeats that may become late are kept, plus of how many connections late
    /// ones are remembered.
    pub fn late_entries(&self) -> usize {
        self.engine.late_entries()
    }

    /// Returns the number of entries in the timer wheel, including those that are no longer valid.
    pub fn wheel_entries(&self) -> usize {
        self.engine.wheel_entries()
    }
}

/// A mismatch between the engine's counters and its connections: a bug of the engine, not of the
/// host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct AuditError(String);

impl From<AuditError> for String {
    fn from(broken: AuditError) -> String {
        broken.0
    }
}
