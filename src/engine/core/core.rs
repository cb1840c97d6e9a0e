//! The loop's state without the host: [`Io`](crate::engine::Io) gives access to it, and the engine
//! acts on it.

use super::progress::{Broadcast, FiredSlots, PolicyMigration, ShortageScan};
use crate::base::cause::{Cause, CauseTable};
use crate::base::id::{Class, ConnId, TimerId};
use crate::base::sabotage::{self, Bug};
use crate::base::time::Micros;
use crate::engine::bucket::Bucket;
use crate::engine::config::Config;
use crate::engine::conn::{Conn, Opening, Phase};
use crate::engine::dial::DialAddress;
use crate::engine::drain::DrainState;
use crate::engine::entropy::Entropy;
use crate::engine::flags::Flag;
use crate::engine::foresight::Foresight;
use crate::engine::handed_over::HandedOver;
use crate::engine::late_queue::LateQueue;
use crate::engine::life_news::LifeNews;
use crate::engine::link::Legs;
use crate::engine::policies::Policies;
use crate::engine::receipts::Receipts;
use crate::engine::remote::{Inbox, Remote};
use crate::engine::silence::LateRecord;
use crate::engine::stats::Stats;
use crate::engine::table::Table;
use crate::engine::timers::{TimerPurpose, Timers};
use crate::engine::verdict::Verdict;
use crate::engine::wheel::Wheel;
use crate::engine::work::{FINAL_CHECKS_PER_TURN, LATE_PER_TURN, WorkBudget};
use crate::health::{Health, Policy};
use crate::wire::control_decoder::ControlDecoder;
use crate::wire::frame::Role;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

/// Connections with at most this many unsent bytes are exempt from the global buffer limit.
pub(crate) const UNSENT_SMALL: usize = 64 * 1024;

/// Messages, and parts of a request, of at most this many bytes are accepted even when memory is
/// short.
pub(crate) const HELD_SMALL: u64 = 4 * 1024;

/// The most bytes sent in one turn, heartbeats not counted; the rest wait for the next turn, in
/// order.
pub(crate) const FLUSH_PER_TURN: usize = 1024 * 1024;

/// The number of neighbouring slots that are pinged together. They are adjacent in memory, as their
/// sockets mostly are in the kernel, and one wake-up serves all of them. This saves a tenth of the
/// time of a heartbeat, measured at 18 000 connections.
const NEIGHBOURS: usize = 16;

/// The loop's complete state except the handler.
pub(crate) struct Core {
    pub(crate) config: Config,
    pub(crate) table: Table,
    pub(crate) wheel: Wheel,
    pub(crate) timers: Timers,
    pub(crate) stats: Stats,
    pub(crate) remote: Remote,
    pub(crate) inbox: Inbox,
    /// Deferred verdicts from the host, applied when its call has returned.
    pub(crate) answers: VecDeque<(ConnId, Verdict)>,
    /// What the host must be told of heartbeats that it has found answers to, when its call has
    /// returned.
    pub(crate) life_news: VecDeque<(ConnId, LifeNews)>,
    /// Connections that are no longer open and whose last message the host has not finished.
    pub(crate) left_unfinished: Vec<ConnId>,
    /// Connections whose latest heartbeat has been unanswered for an interval.
    pub(crate) unanswered: Vec<ConnId>,
    /// Heartbeats that were sent and may become late.
    pub(crate) late: LateQueue,
    /// What was seen of connections with a late heartbeat, until they end.
    pub(crate) late_records: HashMap<ConnId, LateRecord>,
    /// What heartbeats say about cohorts and about all connections.
    pub(crate) foresight: Foresight,
    /// The work on heartbeats that may be late that is left in this turn.
    pub(crate) late_left: usize,
    /// Connections that seem stale and whose sockets need a final check.
    pub(crate) final_checks: VecDeque<ConnId>,
    /// Stale connections above the rate limit of closes, oldest first.
    pub(crate) deferred: VecDeque<ConnId>,
    pub(crate) bucket: Bucket,
    pub(crate) drain: DrainState,
    /// Open connections that a drain closes as soon as the host was told.
    pub(crate) drained: Vec<ConnId>,
    /// Read the control frames of all connections in the role of a server, and of a client.
    pub(crate) decoder: ControlDecoder,
    pub(crate) client_decoder: ControlDecoder,
    /// Random bytes for keys, masks and payloads.
    pub(crate) entropy: Entropy,
    /// Addresses that the driver must connect to.
    pub(crate) dials: VecDeque<(ConnId, DialAddress)>,
    /// Addresses whose servers had no room for a connection; they are tried again.
    pub(crate) busy_dials: Vec<(ConnId, DialAddress)>,
    /// The legs of linked pairs.
    pub(crate) legs: Legs,
    /// For linked connections whose partner has ended first, the cause of that end and the
    /// partner's class; until they end.
    pub(crate) first_ends: HashMap<ConnId, (Cause, Class)>,
    /// Linked connections that are no longer open, whose partners must end.
    pub(crate) ended_legs: Vec<ConnId>,
    /// The buffer for the decoder's pongs and close replies.
    pub(crate) scratch: Vec<u8>,
    pub(crate) policies: Policies,
    pub(crate) receipts: Receipts,
    /// The peer of the last message, if that message does not introduce it.
    pub(crate) stays_unidentified: Option<ConnId>,
    /// Whether the driver must try to accept again.
    pub(crate) accept_retry: bool,
    /// A new limit on connections that the driver has not fetched yet.
    pub(crate) new_max_connections: Option<usize>,
    /// The most accepted connections that the driver admits, once it has said so.
    pub(crate) max_connections: Option<usize>,
    /// A change of policies or time limits that does not apply to every connection yet.
    pub(crate) migration: Option<PolicyMigration>,
    /// The time at which the deadlines of this turn, or the last one, were processed.
    pub(crate) turn_now: Micros,
    /// How many closes wait for the end of a frame, so that forwarding need not look for them.
    pub(crate) closes_waiting: u32,
    /// Connections that were handed over and whose sockets the driver has not taken yet.
    pub(crate) handed_over: Vec<HandedOver>,
    /// How many connections that were handed over have not ended.
    pub(crate) places: Arc<AtomicUsize>,
    pub(crate) work: WorkBudget,
    /// Connections with input to process although the kernel reports nothing new: it was kept
    /// because it exceeded a share, or reading was resumed.
    pub(crate) ready: Vec<ConnId>,
    /// Connections whose reading was paused or resumed in this turn.
    pub(crate) poll_changes: Vec<ConnId>,
    /// Messages to whole classes that are not sent to all connections yet.
    pub(crate) broadcasts: VecDeque<Broadcast>,
    pub(crate) fired: FiredSlots,
    pub(crate) shortage: ShortageScan,
    /// Bytes that may still be sent in this turn.
    pub(crate) flush_left: usize,
    /// How many final checks at connections that seem stale are left in this turn.
    pub(crate) final_checks_left: usize,
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
            life_news: VecDeque::new(),
            left_unfinished: Vec::new(),
            unanswered: Vec::new(),
            late: LateQueue::default(),
            late_records: HashMap::new(),
            foresight: Foresight::default(),
            late_left: LATE_PER_TURN,
            final_checks: VecDeque::new(),
            deferred: VecDeque::new(),
            bucket: Bucket::new(config.stale_closes_per_second),
            drain: DrainState::Off,
            drained: Vec::new(),
            decoder: ControlDecoder::new(Role::Server),
            client_decoder: ControlDecoder::new(Role::Client),
            entropy: Entropy::default(),
            dials: VecDeque::new(),
            busy_dials: Vec::new(),
            legs: Legs::new(),
            ended_legs: Vec::new(),
            first_ends: HashMap::new(),
            scratch: Vec::new(),
            policies: {
                let classes = config.classes.iter().map(|c| c.policy);
                Policies::new(classes.collect(), config.cadence.is_some())
            },
            receipts: Receipts::default(),
            stays_unidentified: None,
            accept_retry: false,
            new_max_connections: None,
            max_connections: None,
            migration: None,
            turn_now: Micros::ZERO,
            closes_waiting: 0,
            handed_over: Vec::new(),
            places: Arc::default(),
            work: WorkBudget::default(),
            ready: Vec::new(),
            poll_changes: Vec::new(),
            broadcasts: VecDeque::new(),
            fired: FiredSlots::default(),
            shortage: ShortageScan::default(),
            flush_left: FLUSH_PER_TURN,
            final_checks_left: FINAL_CHECKS_PER_TURN,
            config,
        }
    }

    // ---- deadlines ----

    /// Adds the connection's deadline to the timer wheel, unless the wheel has an earlier entry for
    /// it.
    pub(crate) fn arm(&mut self, id: ConnId) {
        // A deferred connection waits for its close to be granted, not for its deadline.
        let Some(conn) = self
            .table
            .get(id)
            .filter(|c| !c.flags.has(Flag::StaleQueued))
        else {
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

    pub(crate) fn start_timer(
        &mut self,
        purpose: TimerPurpose,
        due: Micros,
        now: Micros,
    ) -> TimerId {
        self.wheel.catch_up(now);
        self.timers.start(&mut self.wheel, purpose, due)
    }

    // ---- memory ----

    /// Counts bytes held for input of a connection.
    pub(crate) fn charge_held(&mut self, id: ConnId, bytes: u64) {
        self.stats.held_bytes += bytes;
        if self.table.get(id).is_some_and(Conn::is_unidentified) {
            self.stats.unidentified_bytes += bytes;
        }
    }

    pub(crate) fn release_held(&mut self, id: ConnId, bytes: u64) {
        if sabotage::on(Bug::HeldLeaks) {
            return;
        }
        self.stats.held_bytes -= bytes;
        if self.table.get(id).is_some_and(Conn::is_unidentified) {
            self.stats.unidentified_bytes -= bytes;
        }
    }

    /// Returns whether all connections together have reached the buffer limit.
    pub(crate) fn is_full(&self) -> bool {
        self.stats.buffered_bytes() > self.config.max_buffered_bytes as u64
    }

    /// Returns whether the buffer limit is reached for input of this connection. Peers that have
    /// not identified themselves have a separate part, so that they cannot take memory from the
    /// others.
    pub(crate) fn is_full_for(&self, id: ConnId) -> bool {
        let unidentified = self.table.get(id).is_some_and(Conn::is_unidentified);
        self.is_full()
            || unidentified && self.stats.unidentified_bytes > self.config.unidentified_limit()
    }

    /// Counts the received part of a request, or of a response. Returns whether there is room for
    /// it.
    pub(crate) fn update_held_head(&mut self, id: ConnId) -> bool {
        let Some(conn) = self.table.get_mut(id) else {
            return true;
        };
        let (held, before) = match &mut conn.phase {
            Phase::Opening(Some(opening)) => {
                let request = opening.deferred.as_ref().map_or(0, |r| r.allocated());
                let held = (size_of::<Opening>() + opening.bytes.capacity() + request) as u64;
                (held, std::mem::replace(&mut opening.held, held))
            }
            Phase::Dialing(dialing) => {
                let held = dialing.allocated();
                (held, std::mem::replace(&mut dialing.held, held))
            }
            Phase::Opening(None) | Phase::Open(_) | Phase::Closing(_) | Phase::Dead(_) => {
                return true;
            }
        };
        self.charge_held(id, held);
        self.release_held(id, before);
        held <= HELD_SMALL || !self.is_full_for(id)
    }

    // ---- work ----

    /// Counts `units` of work against the budget of this turn.
    pub(crate) fn spend(&mut self, units: u32) {
        self.work.spend(units, &mut self.stats);
    }

    /// Counts the work for a frame, or a part of one, of this many bytes.
    pub(crate) fn spend_frame(&mut self, bytes: usize) {
        self.spend(1);
        self.work.spend_bytes(bytes, &mut self.stats);
    }

    /// Returns whether more of this connection's input may be processed now.
    pub(crate) fn can_continue(&self, id: ConnId) -> bool {
        let waits = |c: &Conn| c.is_paused() || c.is_busy();
        self.work.is_current(id)
            && self.work.can_continue()
            && !self.table.get(id).is_some_and(waits)
    }

    /// Records that the host has not finished with the last message of an open connection and keeps
    /// `bytes` of it.
    pub(crate) fn set_unfinished(&mut self, id: ConnId, bytes: usize) {
        if let Some(conn) = self.table.get_mut(id)
            && let Phase::Open(input) = &mut conn.phase
        {
            input.get_or_insert_default().unfinished = Some(bytes as u64);
            self.queue_ready(id);
        }
    }

    /// Defers the rest of a connection's input to its next share of the loop's time.
    pub(crate) fn queue_ready(&mut self, id: ConnId) {
        if !self.work.is_current(id) {
            self.ready.push(id);
        }
    }

    /// Records that a connection's input waits for its next share of the loop's time.
    pub(crate) fn throttle(&mut self, id: ConnId, now: Micros) {
        let Some(conn) = self.table.get_mut(id) else {
            return;
        };
        // The loop itself delays the pong.
        conn.health.discard_rtt();
        if let Phase::Open(Some(input)) = &mut conn.phase {
            input.slow = true;
            if input.throttled_since.is_none() {
                input.throttled_since = Some(now);
                input.throttled_counted = now;
                self.stats.classes[usize::from(conn.class.0)].throttled += 1;
            }
        }
    }

    /// Adds the time that a connection's input has waited since the last count to the statistics.
    /// Returns that time if it is at least `least`.
    pub(crate) fn count_wait(&mut self, id: ConnId, least: Micros, now: Micros) -> Option<Micros> {
        let conn = self.table.get_mut(id)?;
        let Phase::Open(Some(input)) = &mut conn.phase else {
            return None;
        };
        input.throttled_since?;
        let waited = now - input.throttled_counted;
        if waited < least {
            return None;
        }
        input.throttled_counted = now;
        self.stats.classes[usize::from(conn.class.0)].throttled_time += waited;
        Some(waited)
    }

    /// Records that a connection's input no longer waits. Returns how long it has waited since the
    /// last count.
    pub(crate) fn unthrottle(&mut self, id: ConnId, now: Micros) -> Option<Micros> {
        let waited = self.count_wait(id, Micros::ZERO, now)?;
        if let Some(conn) = self.table.get_mut(id)
            && let Phase::Open(Some(input)) = &mut conn.phase
        {
            input.throttled_since = None;
            self.stats.classes[usize::from(conn.class.0)].throttled -= 1;
        }
        Some(waited)
    }

    /// Records that a peer is identified. What it holds then counts as an identified peer's.
    pub(crate) fn identify(&mut self, id: ConnId) {
        let Some(conn) = self.table.get_mut(id) else {
            return;
        };
        if conn.is_unidentified() {
            let held = match &conn.phase {
                Phase::Opening(Some(opening)) => opening.held,
                Phase::Dialing(dialing) => dialing.held,
                Phase::Open(Some(input)) => input.held,
                _ => 0,
            };
            conn.flags.set(Flag::Identified);
            self.stats.unidentified_bytes -= held;
        }
    }

    // ---- looking ----

    /// Returns the policy of a connection.
    pub(crate) fn policy_of(&self, conn: &Conn) -> &Policy {
        self.policies.of(conn.class, conn.policy)
    }

    pub(crate) fn is_draining(&self) -> bool {
        !matches!(self.drain, DrainState::Off)
    }

    /// Opens a connection whose class and policy are set. Returns whether it exists.
    pub(crate) fn open(&mut self, id: ConnId, now: Micros) -> bool {
        let random = self
            .table
            .get(id)
            .filter(|c| c.flags.has(Flag::Linked))
            .map(|_| u32::from_ne_bytes(self.entropy.take()));
        let Some(conn) = self.table.get_mut(id) else {
            return false;
        };
        let policy = self.policies.of(conn.class, conn.policy);
        conn.health = Health::new(policy, now, seed(id));
        if let Some(random) = random {
            conn.health.draw_payloads(random);
            // Its messages do not reach the host, so an answer to a text would not either.
            conn.health.use_pings();
        }
        conn.since = now;
        conn.phase = Phase::Open(None);
        self.foresight.join(conn, now);
        conn.flags.set(Flag::Upgraded);
        let is_dialed = conn.flags.has(Flag::Dialed);
        let class = &mut self.stats.classes[usize::from(conn.class.0)];
        class.opened += 1;
        class.live += 1;
        self.stats.dialed_open += u64::from(is_dialed);
        self.arm(id);
        true
    }

    /// Returns a mask for a frame of ours to a server; `None` for one to a client.
    pub(crate) fn mask_for(&mut self, id: ConnId) -> Option<[u8; 4]> {
        let is_dialed = self
            .table
            .get(id)
            .is_some_and(|c| c.flags.has(Flag::Dialed));
        (is_dialed && !sabotage::on(Bug::MasksMixed)).then(|| self.entropy.take())
    }
}

/// Returns the seed that determines at which point of the interval a connection is pinged.
pub(crate) fn seed(id: ConnId) -> u64 {
    (id.slot() / NEIGHBOURS) as u64
}
