//! The loop's state apart from the host: what [`Io`](crate::engine::Io) reaches, and what the engine acts on.

use super::progress::{Broadcast, Change, Fired, Shortage};
use crate::base::cause::CauseTable;
use crate::base::id::{ConnId, TimerId};
use crate::base::sabotage::{self, Bug};
use crate::base::time::Micros;
use crate::engine::bucket::Bucket;
use crate::engine::config::Config;
use crate::engine::conn::{Conn, Mark, Opening, Phase};
use crate::engine::drain::Drain;
use crate::engine::policies::Policies;
use crate::engine::receipts::Receipts;
use crate::engine::remote::{Inbox, Remote};
use crate::engine::stats::Stats;
use crate::engine::table::Table;
use crate::engine::timers::{Purpose, Timers};
use crate::engine::verdict::Verdict;
use crate::engine::wheel::Wheel;
use crate::engine::work::{LOOKS_PER_TURN, Work};
use crate::health::{Health, Policy};
use crate::wire::decoder::Decoder;
use crate::wire::frame::Role;
use std::collections::VecDeque;

/// Connections with at most this many unsent bytes are exempt from the global buffer limit.
pub(crate) const UNSENT_SMALL: usize = 64 * 1024;

/// A message, or a part of a request, of at most this many bytes is accepted even when memory is short, because it is small.
pub(crate) const SMALL: u64 = 4 * 1024;

/// Bytes that go out in one turn, heartbeats not counted; the rest waits for the next turn, in order.
pub(crate) const FLUSH_PER_TURN: usize = 1024 * 1024;

/// So many neighbouring slots are pinged together: they lie together in memory, as their sockets mostly do in the kernel's, and a
/// wake-up serves all of them. A tenth of the time of a heartbeat, measured at 18 000 connections.
const NEIGHBOURS: usize = 16;

/// Everything that belongs to the loop except the handler.
pub(crate) struct Core {
    pub(crate) config: Config,
    pub(crate) table: Table,
    pub(crate) wheel: Wheel,
    pub(crate) timers: Timers,
    pub(crate) stats: Stats,
    pub(crate) remote: Remote,
    pub(crate) inbox: Inbox,
    /// Verdicts that the host gave later, to be carried out when it has returned.
    pub(crate) answers: VecDeque<(ConnId, Verdict)>,
    /// Connections that are not open any more, with whose last message the host has not finished.
    pub(crate) left_unfinished: Vec<ConnId>,
    /// Connections whose latest heartbeat has gone unanswered for an interval.
    pub(crate) unanswered: Vec<ConnId>,
    /// Connections that health would call stale, before their sockets were looked at once more.
    pub(crate) doubtful: VecDeque<ConnId>,
    /// Stale ones beyond the rate, oldest first.
    pub(crate) deferred: VecDeque<ConnId>,
    pub(crate) bucket: Bucket,
    pub(crate) drain: Drain,
    /// Reads control frames of all connections: their peers are clients.
    pub(crate) decoder: Decoder,
    /// Where it writes its pongs and close replies.
    pub(crate) scratch: Vec<u8>,
    pub(crate) policies: Policies,
    pub(crate) receipts: Receipts,
    /// Accepting is to be tried again.
    pub(crate) accept_retry: bool,
    /// A new cap on connections, which the driver has not taken over yet.
    pub(crate) new_cap: Option<usize>,
    /// Policies or limits of time have changed, and not every connection is judged by the new ones yet.
    pub(crate) change: Option<Change>,
    pub(crate) work: Work,
    /// Connections whose input is to be looked at, though the kernel tells of no more: what they sent was kept outside of a
    /// share, or reading was resumed.
    pub(crate) ready: Vec<ConnId>,
    /// Connections whose reading was paused or resumed in this turn.
    pub(crate) repolled: Vec<ConnId>,
    /// Messages to whole classes that are not sent to all of them yet.
    pub(crate) broadcasts: VecDeque<Broadcast>,
    pub(crate) fired: Fired,
    pub(crate) shortage: Shortage,
    /// Bytes that may go out in this turn.
    pub(crate) flush_left: usize,
    /// Last looks that may be had in this turn.
    pub(crate) looks_left: usize,
}

impl Core {
    pub(crate) fn new(config: Config, (remote, inbox): (Remote, Inbox)) -> Self {
        Core {
            table: Table::default(),
            wheel: Wheel::new(),
            timers: Timers::default(),
            stats: Stats::new(config.classes.len(), CauseTable::with(config.causes)),
            remote,
            inbox,
            answers: VecDeque::new(),
            left_unfinished: Vec::new(),
            unanswered: Vec::new(),
            doubtful: VecDeque::new(),
            deferred: VecDeque::new(),
            bucket: Bucket::new(config.stale_closes_per_second),
            drain: Drain::No,
            decoder: Decoder::new(Role::Server),
            scratch: Vec::new(),
            policies: Policies::new(config.classes.iter().map(|c| c.policy).collect()),
            receipts: Receipts::default(),
            accept_retry: false,
            new_cap: None,
            change: None,
            work: Work::default(),
            ready: Vec::new(),
            repolled: Vec::new(),
            broadcasts: VecDeque::new(),
            fired: Fired::default(),
            shortage: Shortage::default(),
            flush_left: FLUSH_PER_TURN,
            looks_left: LOOKS_PER_TURN,
            config,
        }
    }

    // ---- deadlines ----

    /// Puts the connection's deadline in the wheel, unless an entry comes back before it anyway.
    pub(crate) fn arm(&mut self, id: ConnId) {
        // A deferred connection waits for its turn, not for its deadline.
        let Some(conn) = self.table.get(id).filter(|c| !c.marks.has(Mark::Deferred)) else {
            return;
        };
        let Some(due) = conn.due(self.policy_of(conn), &self.config) else {
            return;
        };
        if conn
            .armed()
            .is_some_and(|armed| !self.wheel.is_earlier(due, armed))
        {
            return;
        }
        let at = self.wheel.arm(id.slot_u32(), due);
        if let Some(conn) = self.table.get_mut(id) {
            conn.set_armed(Some(at));
        }
    }

    pub(crate) fn start_timer(&mut self, purpose: Purpose, due: Micros, now: Micros) -> TimerId {
        self.wheel.catch_up(now);
        self.timers.start(&mut self.wheel, purpose, due)
    }

    // ---- memory ----

    /// Counts bytes that a connection holds for what it has sent.
    pub(crate) fn hold(&mut self, id: ConnId, bytes: u64) {
        self.stats.held_bytes += bytes;
        if self.table.get(id).is_some_and(Conn::is_stranger) {
            self.stats.stranger_bytes += bytes;
        }
    }

    pub(crate) fn release_held(&mut self, id: ConnId, bytes: u64) {
        if sabotage::on(Bug::HeldLeaks) {
            return;
        }
        self.stats.held_bytes -= bytes;
        if self.table.get(id).is_some_and(Conn::is_stranger) {
            self.stats.stranger_bytes -= bytes;
        }
    }

    /// Returns whether all connections together hold as much as they may.
    pub(crate) fn is_full(&self) -> bool {
        self.stats.buffered_bytes() > self.config.max_buffered_bytes as u64
    }

    /// Whether there is no room for more that this connection sends: peers that have not introduced themselves have a part of
    /// their own, so that they cannot take it from the others.
    pub(crate) fn is_full_for(&self, id: ConnId) -> bool {
        let stranger = self.table.get(id).is_some_and(Conn::is_stranger);
        self.is_full() || stranger && self.stats.stranger_bytes > self.config.strangers_bytes()
    }

    /// Counts what has come of a request. Returns whether there is room for it.
    pub(crate) fn account_for_head(&mut self, id: ConnId) -> bool {
        let Some(conn) = self.table.get_mut(id) else {
            return true;
        };
        let Phase::Opening(Some(opening)) = &mut conn.phase else {
            return true;
        };
        let held = (size_of::<Opening>() + opening.bytes.capacity()) as u64;
        let before = std::mem::replace(&mut opening.held, held);
        self.hold(id, held);
        self.release_held(id, before);
        held <= SMALL || !self.is_full_for(id)
    }

    // ---- work ----

    /// Counts work.
    pub(crate) fn spend(&mut self, units: u32) {
        self.work.spend(units, &mut self.stats);
    }

    /// Counts a frame, or a part of one, of this many bytes.
    pub(crate) fn spend_frame(&mut self, bytes: usize) {
        self.spend(1);
        self.work.spend_bytes(bytes, &mut self.stats);
    }

    /// Returns whether more of this connection's input may be worked on now.
    pub(crate) fn may_go_on(&self, id: ConnId) -> bool {
        let waits = |c: &Conn| c.marks.has(Mark::Paused) || c.is_busy();
        self.work.is_current(id) && self.work.may_go_on() && !self.table.get(id).is_some_and(waits)
    }

    /// Notes that the host has not finished with the last message of an open connection, and keeps `bytes` of it.
    pub(crate) fn set_unfinished(&mut self, id: ConnId, bytes: usize) {
        if let Some(conn) = self.table.get_mut(id)
            && let Phase::Open(middle) = &mut conn.phase
        {
            middle.get_or_insert_default().unfinished = Some(bytes as u64);
            self.hold_back(id);
        }
    }

    /// Leaves the next step of what a connection has sent to its share of the loop's work.
    pub(crate) fn hold_back(&mut self, id: ConnId) {
        if !self.work.is_current(id) {
            self.ready.push(id);
        }
    }

    /// Notes that a connection waits for its next share.
    pub(crate) fn throttle(&mut self, id: ConnId, now: Micros) {
        let Some(conn) = self.table.get_mut(id) else {
            return;
        };
        // It is we that keep the pong waiting.
        conn.health.forget_outstanding();
        if let Phase::Open(Some(middle)) = &mut conn.phase {
            middle.slow = true;
            if middle.throttled_since.is_none() {
                middle.throttled_since = Some(now);
                middle.throttled_counted = now;
                self.stats.classes[usize::from(conn.class.0)].throttled += 1;
            }
        }
    }

    /// Counts how long a connection has waited for its shares since that was last counted. Returns it if it is at least `least`.
    pub(crate) fn count_wait(&mut self, id: ConnId, least: Micros, now: Micros) -> Option<Micros> {
        let conn = self.table.get_mut(id)?;
        let Phase::Open(Some(middle)) = &mut conn.phase else {
            return None;
        };
        middle.throttled_since?;
        let waited = now - middle.throttled_counted;
        if waited < least {
            return None;
        }
        middle.throttled_counted = now;
        self.stats.classes[usize::from(conn.class.0)].throttled_time += waited;
        Some(waited)
    }

    /// Notes that a connection waits for no share any more. Returns how long it has waited since that was last counted.
    pub(crate) fn unthrottle(&mut self, id: ConnId, now: Micros) -> Option<Micros> {
        let waited = self.count_wait(id, Micros::ZERO, now)?;
        if let Some(conn) = self.table.get_mut(id)
            && let Phase::Open(Some(middle)) = &mut conn.phase
        {
            middle.throttled_since = None;
            self.stats.classes[usize::from(conn.class.0)].throttled -= 1;
        }
        Some(waited)
    }

    // ---- looking ----

    /// The policy that holds for a connection.
    pub(crate) fn policy_of(&self, conn: &Conn) -> &Policy {
        self.policies.of(conn.class, conn.policy)
    }

    pub(crate) fn is_draining(&self) -> bool {
        !matches!(self.drain, Drain::No)
    }

    /// Starts the health of a connection that opens.
    pub(crate) fn new_health(&self, id: ConnId, policy: &Policy, now: Micros) -> Health {
        Health::new(policy, now, seed(id))
    }
}

/// What picks the point of the interval at which a connection is pinged.
pub(crate) fn seed(id: ConnId) -> u64 {
    (id.slot() / NEIGHBOURS) as u64
}
