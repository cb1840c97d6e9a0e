//! The recent life of some connections: those that were suspect, those that somebody asked for, and a sample of all.
//!
//! A history takes some 700 bytes. Kept for everybody it would cost more than the connections themselves.

use crate::base::bounded;
use crate::base::id::ConnId;
use crate::base::time::{Micros, UnixMillis};
use crate::engine::Io;
use crate::health::{HealthChange, State};
use std::collections::{HashMap, VecDeque};

/// How many connections have a history at one time; the oldest history makes room.
pub const HISTORIES_MAX: usize = 1_024;

/// Of so many connections one is in the sample ...
const SAMPLE: u32 = 64;

/// ... as long as these are not more.
const SAMPLE_MAX: usize = 256;

/// Round-trip times kept: six minutes of them with the default interval.
const RTTS: usize = 24;

/// Changes of state kept.
const CHANGES: usize = 16;

/// Why a history is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The connection became suspect.
    Suspect,
    /// It is one of the sample.
    Sample,
    /// An operator looked at it.
    Asked,
}

/// The recent life of one connection.
#[derive(Debug, Clone)]
pub struct History {
    /// Since when it is kept.
    pub since: UnixMillis,
    /// Why.
    pub reason: Reason,
    /// Round-trip times, oldest first.
    pub rtts: VecDeque<(UnixMillis, Micros)>,
    /// Changes of state, oldest first.
    pub changes: VecDeque<Change>,
}

/// A change of state.
#[derive(Debug, Clone, Copy)]
pub struct Change {
    /// When.
    pub at: UnixMillis,
    /// To which state.
    pub state: State,
    /// How long nothing had been heard.
    pub silence: Micros,
    /// Pings that had gone unanswered.
    pub unanswered: u16,
}

impl History {
    /// Bytes that it takes.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>()
            + self.rtts.capacity() * size_of::<(UnixMillis, Micros)>()
            + self.changes.capacity() * size_of::<Change>()
    }
}

/// All histories.
#[derive(Debug, Default)]
pub(crate) struct Histories {
    by_id: HashMap<ConnId, Box<History>>,
    /// Oldest first; ended ones may still be named here.
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

    /// A connection has opened: perhaps it is one of the sample.
    pub(crate) fn opened(&mut self, io: &mut Io<'_>, id: ConnId) {
        if id.generation().is_multiple_of(SAMPLE) && self.sampled < SAMPLE_MAX {
            self.sampled += 1;
            self.keep(io, id, Reason::Sample);
        }
    }

    pub(crate) fn changed(&mut self, io: &mut Io<'_>, id: ConnId, change: HealthChange) {
        if !self.by_id.contains_key(&id) {
            self.keep(io, id, Reason::Suspect);
        }
        if let Some(history) = self.by_id.get_mut(&id) {
            bounded::push(
                &mut history.changes,
                CHANGES,
                Change {
                    at: UnixMillis::now(),
                    state: change.state,
                    silence: change.silence,
                    unanswered: change.unanswered,
                },
            );
        }
    }

    /// Somebody looks at a connection: its history is kept from now on.
    pub(crate) fn asked(&mut self, io: &mut Io<'_>, id: ConnId) {
        if !self.by_id.contains_key(&id) && io.class(id).is_some() {
            self.keep(io, id, Reason::Asked);
        }
    }

    /// Returns whether the history of this connection is kept.
    pub(crate) fn answered(&mut self, id: ConnId, rtt: Micros) -> bool {
        let history = self.by_id.get_mut(&id);
        history
            .map(|history| bounded::push(&mut history.rtts, RTTS, (UnixMillis::now(), rtt)))
            .is_some()
    }

    /// A connection has ended, and takes its history along.
    pub(crate) fn take(&mut self, id: ConnId) -> Option<Box<History>> {
        let history = self.by_id.remove(&id)?;
        self.sampled -= usize::from(history.reason == Reason::Sample);
        Some(history)
    }

    fn keep(&mut self, io: &mut Io<'_>, id: ConnId, reason: Reason) {
        while self.by_id.len() >= HISTORIES_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            // With its next pong it is not watched any more, unless somebody else wants to know of it.
            self.take(oldest);
        }
        // Those that have ended are named in the order until their place comes; not for ever.
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
        io.watch(id, true);
    }
}
