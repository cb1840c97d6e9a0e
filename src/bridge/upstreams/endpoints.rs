//! All addresses, and the connection of each leg to one of them.

use super::endpoint::Endpoint;
use super::listing::Listing;
use super::request_kind::RequestKind;
use crate::base::address_block::AddressBlock;
use crate::base::id::ConnId;
use crate::base::sabotage::{self, Bug};
use crate::base::time::Micros;
use crate::bridge::upstream_row::UpstreamCondition;
use crate::engine::ConnMap;
use std::collections::{BTreeMap, HashMap};

/// The number of an address, which is not given to another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::bridge) struct EndpointId(u32);

#[cfg(test)]
impl EndpointId {
    /// Returns the id with this number.
    pub(in crate::bridge) const fn of(number: u32) -> Self {
        EndpointId(number)
    }
}

/// A connection to an address.
#[derive(Debug, Clone, Copy)]
struct UpstreamLeg {
    endpoint: EndpointId,
    is_open: bool,
    is_suspect: bool,
}

/// What a new client asks for.
#[derive(Debug, Clone, Default)]
pub(in crate::bridge) struct Wish {
    /// The value of its sticky cookie; empty if it has none.
    pub(in crate::bridge) token: Box<[u8]>,
    /// The hash of the value by which its route balances.
    pub(in crate::bridge) key: Option<u64>,
}

/// What a route asks of the choice.
#[derive(Debug, Clone, Copy)]
pub(in crate::bridge) struct ChoiceRules {
    /// The most requests that wait for an answer of one address.
    pub(in crate::bridge) max_dialing: u64,
    /// The time over which an address that comes back gets its part.
    pub(in crate::bridge) slow_start: Micros,
    pub(in crate::bridge) kind: RequestKind,
    pub(in crate::bridge) client: AddressBlock,
    /// Whether other clients ask the route, too.
    pub(in crate::bridge) is_contended: bool,
}

/// The address for a new client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::bridge) enum Choice {
    /// This one.
    Endpoint(EndpointId),
    /// None now: at each of them as many requests wait for an answer as are allowed. The client
    /// belongs to this one, if to one.
    Full(Option<EndpointId>),
    /// None.
    Nothing,
}

/// All addresses, and the connections to them.
#[derive(Debug, Default)]
pub(in crate::bridge) struct Endpoints {
    /// In the order in which they were added.
    endpoints: BTreeMap<EndpointId, Endpoint>,
    /// The number of the next address.
    next: u32,
    legs: ConnMap<UpstreamLeg>,
    /// The client of each connection that is not open yet, and the number of the connection.
    dials: HashMap<ConnId, (AddressBlock, u64)>,
    /// How many connections were begun.
    dialed: u64,
}

impl Endpoints {
    /// The most addresses; more are most likely a mistake of a name server.
    pub(in crate::bridge) const MAX: usize = 4_096;

    /// Returns how many addresses there are.
    pub(in crate::bridge) fn len(&self) -> usize {
        self.endpoints.len()
    }

    /// Adds an address.
    pub(in crate::bridge) fn add(&mut self, endpoint: Endpoint) -> EndpointId {
        let id = EndpointId(self.next);
        self.next = self.next.wrapping_add(1);
        self.endpoints.insert(id, endpoint);
        id
    }

    pub(in crate::bridge) fn get(&self, id: EndpointId) -> Option<&Endpoint> {
        self.endpoints.get(&id)
    }

    pub(in crate::bridge) fn get_mut(&mut self, id: EndpointId) -> Option<&mut Endpoint> {
        self.endpoints.get_mut(&id)
    }

    /// Returns the best of these addresses for a new client, but none of `tried`. Of equal ones it
    /// is the first from `start` on.
    pub(in crate::bridge) fn choose(
        &self,
        among: &[EndpointId],
        tried: &[EndpointId],
        start: usize,
        wish: &Wish,
        rules: ChoiceRules,
        now: Micros,
    ) -> Choice {
        let is_own = |e: &Endpoint| e.token.as_bytes() == &*wish.token;
        let start = start % among.len().max(1);
        let (before, from) = among.split_at(start);
        let candidates: Vec<(EndpointId, &Endpoint)> = from
            .iter()
            .chain(before)
            .filter(|id| !tried.contains(id))
            .filter_map(|id| Some((*id, self.get(*id)?)))
            .filter(|(_, e)| e.is_candidate() || is_own(e) && e.keeps_own(now))
            .collect();
        let beyond = u64::from(sabotage::on(Bug::DialingUnlimited));
        let most = rules.max_dialing.saturating_add(beyond);
        let has_room = |e: &Endpoint| e.admits(rules.client, most, rules.is_contended);
        let inviting = |e: &Endpoint| e.is_inviting(rules.kind, now);
        let well = || candidates.iter().filter(|(_, e)| inviting(e));
        // A session may consist of several plain requests, of which other upstreams know nothing.
        let keeps_own = |e: &Endpoint| rules.kind == RequestKind::Http && e.is_well(now);
        let of_cookie = candidates
            .iter()
            .find(|(_, e)| is_own(e) && (inviting(e) || keeps_own(e)));
        let own = of_cookie.or_else(|| {
            let key = wish.key?;
            well().max_by(|(_, a), (_, b)| a.score(key).total_cmp(&b.score(key)))
        });
        let compare = |a: &Endpoint, b: &Endpoint| a.compare(b, now, rules.slow_start);
        let pinned = own.map(|(id, _)| *id);
        // A client waits for the one that it belongs to, rather than go to one that is not well.
        let best = own.or_else(|| {
            let is_any_well = well().next().is_some();
            let with_room = candidates.iter().filter(|(_, e)| has_room(e));
            with_room
                .filter(|(_, e)| !is_any_well || inviting(e))
                .min_by(|(_, a), (_, b)| compare(a, b))
        });
        match best {
            Some((id, endpoint)) if has_room(endpoint) => Choice::Endpoint(*id),
            Some(_) => Choice::Full(pinned),
            None if candidates.is_empty() => Choice::Nothing,
            None => Choice::Full(pinned),
        }
    }

    /// Notes that a connection to an address is being made for a client.
    pub(in crate::bridge) fn dialed(&mut self, leg: ConnId, to: EndpointId, client: AddressBlock) {
        self.dialed += 1;
        let number = self.dialed;
        if let Some(endpoint) = self.get_mut(to) {
            endpoint.dialing += 1;
            endpoint.shares.add(client, (number, leg));
            self.dials.insert(leg, (client, number));
            let leg_state = UpstreamLeg {
                endpoint: to,
                is_open: false,
                is_suspect: false,
            };
            self.legs.insert(leg, leg_state);
        }
    }

    /// Notes that a connection has become one leg of a pair.
    pub(in crate::bridge) fn opened(&mut self, leg: ConnId) {
        let Some(state) = self.legs.get_mut(leg).filter(|state| !state.is_open) else {
            return;
        };
        state.is_open = true;
        if let Some(endpoint) = self.endpoints.get_mut(&state.endpoint) {
            endpoint.dialing -= 1;
            endpoint.open += 1;
            end_dial(&mut self.dials, endpoint, leg);
        }
    }

    /// Notes whether an open connection is suspect.
    pub(in crate::bridge) fn set_suspect(&mut self, leg: ConnId, is_suspect: bool, now: Micros) {
        let Some(state) = self.legs.get_mut(leg).filter(|state| state.is_open) else {
            return;
        };
        let was_suspect = std::mem::replace(&mut state.is_suspect, is_suspect);
        if let Some(endpoint) = self.endpoints.get_mut(&state.endpoint) {
            endpoint.suspects += u64::from(is_suspect);
            endpoint.suspects -= u64::from(was_suspect);
            endpoint.judge_pings(!is_suspect, now);
        }
    }

    /// Notes that a connection has ended. Returns the address if it is gone, too, because it is not
    /// listed and this was the last connection to it.
    pub(in crate::bridge) fn ended(
        &mut self,
        leg: ConnId,
        now: Micros,
    ) -> Option<(EndpointId, Endpoint)> {
        let state = self.legs.remove(leg)?;
        let endpoint = self.endpoints.get_mut(&state.endpoint)?;
        match state.is_open {
            true if sabotage::on(Bug::LegStaysCounted) => {}
            true => endpoint.open -= 1,
            false => {
                endpoint.dialing -= 1;
                end_dial(&mut self.dials, endpoint, leg);
            }
        }
        endpoint.suspects -= u64::from(state.is_suspect);
        endpoint.frozen.forget(leg);
        endpoint.judge_end(now);
        self.remove_unused(state.endpoint)
            .map(|endpoint| (state.endpoint, endpoint))
    }

    /// Removes an address that is not listed and to which there is no connection.
    pub(in crate::bridge) fn remove_unused(&mut self, id: EndpointId) -> Option<Endpoint> {
        let endpoint = self.get(id)?;
        // A name may have an address again that an operator has drained.
        let is_gone = endpoint.listing != Listing::Listed
            && !endpoint.is_drained
            && endpoint.is_unused()
            && !sabotage::on(Bug::UpstreamKept);
        is_gone.then(|| self.endpoints.remove(&id))?
    }

    /// Returns whether a leg is part of a pair.
    pub(in crate::bridge) fn is_open(&self, leg: ConnId) -> bool {
        self.legs.get(leg).is_some_and(|state| state.is_open)
    }

    /// Returns the address of a leg.
    pub(in crate::bridge) fn of_leg(&self, leg: ConnId) -> Option<EndpointId> {
        self.legs.get(leg).map(|state| state.endpoint)
    }

    /// Returns all addresses.
    pub(in crate::bridge) fn iter(&self) -> impl Iterator<Item = &Endpoint> {
        self.endpoints.values()
    }

    /// Returns all addresses, for changes.
    pub(in crate::bridge) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Endpoint> {
        self.endpoints.values_mut()
    }

    /// Notes what has become of the conditions of all addresses. `why` is for those that get
    /// clients again.
    pub(in crate::bridge) fn settle(&mut self, now: Micros, why: &str) {
        for endpoint in self.endpoints.values_mut() {
            let why = match endpoint.condition() {
                UpstreamCondition::Drained => "drained by an operator",
                UpstreamCondition::Vanished => "its name no longer has the address",
                UpstreamCondition::Removed => "the settings no longer have it",
                _ => why,
            };
            endpoint.settle(now, why);
        }
    }

    /// Gives the addresses that pairs are to leave from now on to the walk with this number.
    /// Returns how many pairs they have.
    pub(in crate::bridge) fn begin_leaving(&mut self, walk: u32) -> u64 {
        let mut pairs = 0;
        for endpoint in self.endpoints.values_mut() {
            match endpoint.leaving {
                None if endpoint.is_left() => {
                    endpoint.leaving = Some(walk);
                    pairs += endpoint.open;
                }
                Some(_) if !endpoint.is_left() => endpoint.leaving = None,
                _ => {}
            }
        }
        pairs
    }
}

/// Notes that a connection is no longer one that is being made.
fn end_dial(
    dials: &mut HashMap<ConnId, (AddressBlock, u64)>,
    endpoint: &mut Endpoint,
    leg: ConnId,
) {
    if let Some((client, number)) = dials.remove(&leg) {
        endpoint.shares.remove(client, (number, leg));
    }
}

#[cfg(test)]
mod tests;
