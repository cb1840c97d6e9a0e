//! Requests in a queue that may go to the same upstreams.

use super::upstreams::EndpointId;
use crate::base::address_block::AddressBlock;
use std::collections::{BTreeMap, BTreeSet};

/// Where a request in a queue may go.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lane {
    /// To this upstream: its cookie or its hash says so.
    To(EndpointId),
    /// To any but these: connecting to them has failed.
    AnyBut(Box<[EndpointId]>),
}

impl Lane {
    /// Returns where a request may go that belongs to `pinned`, or else to none that was `tried`.
    pub(super) fn of(pinned: Option<EndpointId>, tried: &[EndpointId]) -> Self {
        if let Some(id) = pinned {
            return Lane::To(id);
        }
        let mut tried: Box<[_]> = tried.into();
        tried.sort_unstable();
        Lane::AnyBut(tried)
    }

    /// Returns whether its requests may go to an upstream.
    pub(super) fn may_use(&self, id: EndpointId) -> bool {
        match self {
            Lane::To(only) => *only == id,
            Lane::AnyBut(tried) => !tried.contains(&id),
        }
    }
}

/// The requests of one lane, by client. The clients have their turns one after the other.
#[derive(Debug, Default)]
pub(super) struct LaneQueue {
    /// The client of each turn; the lowest is next.
    turns: BTreeMap<u64, AddressBlock>,
    /// The turn of each client, and the tickets of its requests.
    waiting: BTreeMap<AddressBlock, (u64, BTreeSet<u64>)>,
}

impl LaneQueue {
    /// Adds a request. If it is the only one of its client, it has this turn.
    pub(super) fn add(&mut self, block: AddressBlock, ticket: u64, turn: u64) {
        let (_, tickets) = self.waiting.entry(block).or_insert_with(|| {
            self.turns.insert(turn, block);
            (turn, BTreeSet::new())
        });
        tickets.insert(ticket);
    }

    /// Removes a request. Its client's next one has its turn at `again`, if there is one.
    pub(super) fn remove(&mut self, block: AddressBlock, ticket: u64, again: Option<u64>) {
        let Some((turn, tickets)) = self.waiting.get_mut(&block) else {
            return;
        };
        tickets.remove(&ticket);
        if tickets.is_empty() {
            self.turns.remove(turn);
            self.waiting.remove(&block);
        } else if let Some(again) = again {
            self.turns.remove(turn);
            self.turns.insert(again, block);
            *turn = again;
        }
    }

    /// Returns the clients from a turn on, in the order of their turns: the turn, the client, and
    /// the ticket of its first request.
    pub(super) fn from(&self, turn: u64) -> impl Iterator<Item = (u64, AddressBlock, u64)> {
        self.turns.range(turn..).filter_map(|(turn, block)| {
            let (_, tickets) = self.waiting.get(block)?;
            Some((*turn, *block, *tickets.first()?))
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}
