//! Requests of one route that wait until an upstream has room for another one.
//!
//! They are in lanes by where they may go, so that those of a full upstream hold up no others. In a
//! lane the clients take turns, so that the requests of one hold up no other's. Every operation
//! takes a time that grows with the logarithm of their number.

use super::block_shares::BlockShares;
use super::pending::PendingRequest;
use super::queue_lane::{Lane, LaneQueue};
use crate::base::address_block::AddressBlock;
use crate::base::sabotage::{self, Bug};
use crate::base::time::Micros;
use crate::engine::DialRequest;
use crate::wire::http::{HeaderName, HeaderValue};
use std::collections::BTreeMap;

/// The most requests of one route that wait.
const WAITING_MAX: usize = 1_000;

/// A request that waits.
pub(super) struct QueuedRequest {
    pub(super) pending: Box<PendingRequest>,
    pub(super) request: DialRequest,
    /// When it has waited long enough.
    pub(super) until: Micros,
}

impl QueuedRequest {
    /// Returns how many bytes the request takes.
    pub(super) fn allocated(&self) -> usize {
        /// What the maps take for a request, its lane and its client.
        const PLACES: usize = 512;
        let request = &self.request;
        let values = request.headers.iter().map(|(_, value)| value.len());
        let field = size_of::<(HeaderName, HeaderValue)>();
        size_of::<Waiting>()
            + PLACES
            + size_of::<PendingRequest>()
            + request.target.capacity()
            + request.headers.capacity() * field
            + values.sum::<usize>()
    }
}

/// A request in a lane.
struct Waiting {
    queued: QueuedRequest,
    lane: Lane,
}

/// A request that has its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Turn {
    /// The place of its lane in the round.
    lane: usize,
    turn: u64,
    pub(super) ticket: u64,
}

/// One walk through the lanes: which requests were not looked at yet.
#[derive(Debug)]
pub(super) struct QueueRound(Vec<(Lane, u64)>);

impl QueueRound {
    /// Leaves out the client of this turn.
    pub(super) fn skip(&mut self, turn: Turn) {
        if let Some((_, from)) = self.0.get_mut(turn.lane) {
            *from = turn.turn + 1;
        }
    }

    /// Leaves out the rest of the lane of this turn.
    pub(super) fn leave_lane(&mut self, turn: Turn) {
        if let Some((_, from)) = self.0.get_mut(turn.lane) {
            *from = u64::MAX;
        }
    }
}

/// The requests of one route that wait.
#[derive(Default)]
pub(super) struct RequestQueue {
    /// By ticket: in the order in which they came.
    requests: BTreeMap<u64, Waiting>,
    lanes: BTreeMap<Lane, LaneQueue>,
    shares: BlockShares<u64>,
    /// The next ticket, or turn.
    next: u64,
}

impl RequestQueue {
    /// Adds a request. Returns its ticket.
    pub(super) fn push(&mut self, queued: QueuedRequest, lane: Lane) -> u64 {
        let (block, ticket) = (queued.pending.block, self.number());
        let lane_queue = self.lanes.entry(lane.clone()).or_default();
        lane_queue.add(block, ticket, ticket);
        self.shares.add(block, ticket);
        self.requests.insert(ticket, Waiting { queued, lane });
        ticket
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Returns whether as many requests wait as may.
    pub(super) fn is_full(&self) -> bool {
        self.requests.len() >= WAITING_MAX
    }

    /// Takes the request that makes room for one of this client: the latest of the client with the
    /// most, if it has at least two more.
    pub(super) fn give_way(&mut self, block: AddressBlock) -> Option<QueuedRequest> {
        if sabotage::on(Bug::CrowdKeepsPlaces) {
            return None;
        }
        let giving = self.shares.giving_way_to(block, 0)?;
        let ticket = self.shares.last(giving)?;
        self.remove(ticket)
    }

    /// Returns a request that waits, and its lane.
    pub(super) fn get(&self, ticket: u64) -> Option<(&QueuedRequest, &Lane)> {
        let waiting = self.requests.get(&ticket)?;
        Some((&waiting.queued, &waiting.lane))
    }

    /// Takes a request. The next one of its client has its turn after all others.
    pub(super) fn take(&mut self, ticket: u64) -> Option<QueuedRequest> {
        let again = self.number();
        self.remove_with(ticket, Some(again))
    }

    /// Removes a request: its client has left, or it is given up. The turns stay as they are.
    pub(super) fn remove(&mut self, ticket: u64) -> Option<QueuedRequest> {
        self.remove_with(ticket, None)
    }

    fn remove_with(&mut self, ticket: u64, again: Option<u64>) -> Option<QueuedRequest> {
        let Waiting { queued, lane } = self.requests.remove(&ticket)?;
        self.shares.remove(queued.pending.block, ticket);
        self.leave_lane(&lane, queued.pending.block, ticket, again);
        Some(queued)
    }

    fn leave_lane(&mut self, lane: &Lane, block: AddressBlock, ticket: u64, again: Option<u64>) {
        if let Some(lane_queue) = self.lanes.get_mut(lane) {
            lane_queue.remove(block, ticket, again);
            if lane_queue.is_empty() {
                self.lanes.remove(lane);
            }
        }
    }

    /// Moves a request to another lane.
    pub(super) fn relocate(&mut self, ticket: u64, lane: Lane) {
        let turn = self.number();
        let Some(waiting) = self.requests.get_mut(&ticket) else {
            return;
        };
        let block = waiting.queued.pending.block;
        let old = std::mem::replace(&mut waiting.lane, lane.clone());
        self.leave_lane(&old, block, ticket, None);
        self.lanes.entry(lane).or_default().add(block, ticket, turn);
    }

    /// Takes the oldest request, if it has waited long enough. All may wait equally long.
    pub(super) fn pop_expired(&mut self, now: Micros) -> Option<QueuedRequest> {
        let (ticket, waiting) = self.requests.first_key_value()?;
        let ticket = *ticket;
        (waiting.queued.until <= now).then(|| self.remove(ticket))?
    }

    /// Takes any request.
    pub(super) fn pop(&mut self) -> Option<QueuedRequest> {
        let ticket = *self.requests.first_key_value()?.0;
        self.remove(ticket)
    }

    /// Returns the lanes, and the clients in each, in the order of their turns.
    pub(super) fn lanes(&self) -> impl Iterator<Item = (&Lane, &LaneQueue)> {
        self.lanes.iter()
    }

    /// Begins a walk through these lanes.
    pub(super) fn round(&self, is_wanted: impl Fn(&Lane) -> bool) -> QueueRound {
        let lanes = self.lanes.keys().filter(|lane| is_wanted(lane));
        QueueRound(lanes.map(|lane| (lane.clone(), 0)).collect())
    }

    /// Returns the request whose turn is next in a walk.
    pub(super) fn next_turn(&self, round: &QueueRound) -> Option<Turn> {
        let lanes = round.0.iter().enumerate();
        let heads = lanes.filter_map(|(at, (lane, from))| {
            let (turn, _, ticket) = self.lanes.get(lane)?.from(*from).next()?;
            Some(Turn {
                lane: at,
                turn,
                ticket,
            })
        });
        heads.min_by_key(|head| head.turn)
    }

    pub(super) fn len(&self) -> usize {
        self.requests.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }
}

impl std::fmt::Debug for RequestQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} requests", self.requests.len())
    }
}

#[cfg(test)]
mod tests;
