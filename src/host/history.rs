//! The recent history of some connections: those that became suspect, those that an operator looked
//! at, and a sample of all.
//!
//! A history takes about 700 bytes. Kept for every connection it would cost more than the
//! connections themselves.

use crate::base::bounded;
use crate::base::id::ConnId;
use crate::base::time::{Micros, UnixMillis};
use crate::engine::Io;
use crate::health::{HealthChange, HealthState};
use std::collections::{HashMap, VecDeque};

/// The most connections with a history at one time; a new history replaces the oldest.
pub const HISTORIES_MAX: usize = 1_024;

/// One in this many new connections gets a history as a sample.
const SAMPLE: u32 = 64;

/// The most sampled connections with a history at one time.
const SAMPLE_MAX: usize = 256;

/// How many round-trip times a history keeps: with the default heartbeat interval those of six
/// minutes.
const RTTS: usize = 24;

/// How many changes of state a history keeps.
const CHANGES: usize = 16;

/// Why a history is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HistoryReason {
    /// The connection became suspect.
    Suspect,
    /// The connection was sampled.
    Sample,
    /// An operator looked at the connection.
    Inspected,
}

/// The recent history of one connection.
#[derive(Debug, Clone)]
pub struct History {
    /// When the history was begun.
    pub since: UnixMillis,
    /// Why the history is kept.
    pub reason: HistoryReason,
    /// Round-trip times, oldest first.
    pub rtts: VecDeque<(UnixMillis, Micros)>,
    /// State changes, oldest first.
    pub changes: VecDeque<StateChange>,
}

/// A state change.
#[derive(Debug, Clone, Copy)]
pub struct StateChange {
    /// When the state changed.
    pub at: UnixMillis,
    /// The new state.
    pub state: HealthState,
    /// How long nothing had been received at that time.
    pub silence: Micros,
    /// The number of unanswered pings at that time.
    pub unanswered: u16,
}

impl History {
    /// Returns the bytes of memory that the history takes.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>()
            + self.rtts.capacity() * size_of::<(UnixMillis, Micros)>()
            + self.changes.capacity() * size_of::<StateChange>()
    }
}

/// The histories of all connections that have one.
#[derive(Debug, Default)]
pub(crate) struct Histories {
    by_id: HashMap<ConnId, Box<History>>,
    /// The connections in the order in which their histories began, oldest first. Ended connections
    /// may still be in it.
    order: VecDeque<ConnId>,
    sampled: usize,
}

impl Histories {
    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(crate) fn get(&self, id: ConnId) -> Option<&History> {
        self.by_id.get(&id).map(|history| &**history)
    }

    /// Starts a history if the new connection belongs to the sample.
    pub(crate) fn on_open(&mut self, io: &mut Io<'_>, id: ConnId) {
        if id.generation().is_multiple_of(SAMPLE) && self.sampled < SAMPLE_MAX {
            self.sampled += 1;
            self.start(io, id, HistoryReason::Sample);
        }
    }

    pub(crate) fn on_health(&mut self, io: &mut Io<'_>, id: ConnId, change: HealthChange) {
        if !self.by_id.contains_key(&id) {
            self.start(io, id, HistoryReason::Suspect);
        }
        if let Some(history) = self.by_id.get_mut(&id) {
            bounded::push(
                &mut history.changes,
                CHANGES,
                StateChange {
                    at: UnixMillis::now(),
                    state: change.state,
                    silence: change.silence,
                    unanswered: change.unanswered,
                },
            );
        }
    }

    /// Starts a history for a connection that an operator looks at.
    pub(crate) fn on_inspect(&mut self, io: &mut Io<'_>, id: ConnId) {
        if !self.by_id.contains_key(&id) && io.class(id).is_some() {
            self.start(io, id, HistoryReason::Inspected);
        }
    }

    /// Records an answered ping. Returns whether the connection has a history.
    pub(crate) fn on_pong(&mut self, id: ConnId, rtt: Micros) -> bool {
        let history = self.by_id.get_mut(&id);
        history
            .map(|history| bounded::push(&mut history.rtts, RTTS, (UnixMillis::now(), rtt)))
            .is_some()
    }

    /// Removes the history of a connection that has ended, and returns it.
    pub(crate) fn take(&mut self, id: ConnId) -> Option<Box<History>> {
        let history = self.by_id.remove(&id)?;
        self.sampled -= usize::from(history.reason == HistoryReason::Sample);
        Some(history)
    }

    fn start(&mut self, io: &mut Io<'_>, id: ConnId, reason: HistoryReason) {
        while self.by_id.len() >= HISTORIES_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            // After its next pong it is no longer watched, unless the product watches it too.
            self.take(oldest);
        }
        // Entries of ended connections stay in the order until they are the oldest; this removes
        // them earlier if there are many.
        if self.order.len() >= 4 * HISTORIES_MAX {
            self.order.retain(|id| self.by_id.contains_key(id));
        }
        self.order.push_back(id);
        self.by_id.insert(
            id,
            Box::new(History {
                since: UnixMillis::now(),
                reason,
                rtts: VecDeque::new(),
                changes: VecDeque::new(),
            }),
        );
        io.report_pongs(id, true);
    }
}
