//! All addresses, and the connection of each leg to one of them.

use super::endpoint::{Endpoint, Listing};
use crate::base::id::ConnId;
use crate::base::time::Micros;
use crate::engine::ConnMap;
use std::collections::HashMap;

/// The number of an address, which is not given to another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::bridge) struct EndpointId(u32);

/// A connection to an address.
#[derive(Debug, Clone, Copy)]
struct UpstreamLeg {
    endpoint: EndpointId,
    is_open: bool,
    is_suspect: bool,
}

/// All addresses, and the connections to them.
#[derive(Debug, Default)]
pub(in crate::bridge) struct Endpoints {
    endpoints: HashMap<EndpointId, Endpoint>,
    /// The number of the next address.
    next: u32,
    legs: ConnMap<UpstreamLeg>,
}

impl Endpoints {
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
        now: Micros,
    ) -> Option<EndpointId> {
        let start = start % among.len().max(1);
        let (before, from) = among.split_at(start);
        let candidates = from.iter().chain(before).filter_map(|id| {
            let endpoint = self.get(*id)?;
            let is_candidate = endpoint.listing == Listing::Listed && !tried.contains(id);
            is_candidate.then_some((*id, endpoint))
        });
        let best = candidates.min_by(|(_, a), (_, b)| a.compare(b, now))?;
        Some(best.0)
    }

    /// Notes that a connection to an address is being made.
    pub(in crate::bridge) fn dialed(&mut self, leg: ConnId, to: EndpointId) {
        if let Some(endpoint) = self.get_mut(to) {
            endpoint.dialing += 1;
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
        }
    }

    /// Notes whether an open connection is suspect.
    pub(in crate::bridge) fn set_suspect(&mut self, leg: ConnId, is_suspect: bool) {
        let Some(state) = self.legs.get_mut(leg).filter(|state| state.is_open) else {
            return;
        };
        let was_suspect = std::mem::replace(&mut state.is_suspect, is_suspect);
        if let Some(endpoint) = self.endpoints.get_mut(&state.endpoint) {
            endpoint.suspects += u64::from(is_suspect);
            endpoint.suspects -= u64::from(was_suspect);
        }
    }

    /// Notes that a connection has ended. Returns the address if it is gone, too, because it is not
    /// listed and this was the last connection to it.
    pub(in crate::bridge) fn ended(&mut self, leg: ConnId) -> Option<(EndpointId, Endpoint)> {
        let state = self.legs.remove(leg)?;
        let endpoint = self.endpoints.get_mut(&state.endpoint)?;
        match state.is_open {
            true => endpoint.open -= 1,
            false => endpoint.dialing -= 1,
        }
        endpoint.suspects -= u64::from(state.is_suspect);
        endpoint.frozen.forget(leg);
        self.remove_unused(state.endpoint)
            .map(|endpoint| (state.endpoint, endpoint))
    }

    /// Removes an address that is not listed and to which there is no connection.
    pub(in crate::bridge) fn remove_unused(&mut self, id: EndpointId) -> Option<Endpoint> {
        let endpoint = self.get(id)?;
        let is_gone = endpoint.listing != Listing::Listed && endpoint.is_unused();
        is_gone.then(|| self.endpoints.remove(&id))?
    }

    /// Returns the address of a leg.
    pub(in crate::bridge) fn of_leg(&self, leg: ConnId) -> Option<EndpointId> {
        self.legs.get(leg).map(|state| state.endpoint)
    }

    /// Returns the listing of a leg's address.
    pub(in crate::bridge) fn listing_of(&self, leg: ConnId) -> Option<Listing> {
        let endpoint = self.get(self.of_leg(leg)?)?;
        Some(endpoint.listing)
    }

    /// Returns how many pairs have a leg to an address that the settings no longer have.
    pub(in crate::bridge) fn pairs_to_removed(&self) -> u64 {
        let removed = self.endpoints.values();
        let removed = removed.filter(|endpoint| endpoint.listing == Listing::Removed);
        removed.map(|endpoint| endpoint.open).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bridge::upstream::UpstreamUrl;

    fn endpoints(count: u16) -> (Endpoints, Vec<EndpointId>) {
        let mut all = Endpoints::default();
        let ids = (1..=count).map(|port| {
            let url = UpstreamUrl::parse(&format!("http://127.0.0.1:{port}")).expect("a URL");
            let address = url.fixed_address().expect("an address");
            all.add(Endpoint::new("r".into(), url, address, 1))
        });
        let ids = ids.collect();
        (all, ids)
    }

    #[test]
    fn clients_are_spread_evenly_and_equal_ones_take_turns() {
        let (mut all, ids) = endpoints(3);
        let mut chosen = Vec::new();
        for nth in 0..6 {
            let best = all
                .choose(&ids, &[], nth, Micros::ZERO)
                .expect("an address");
            all.dialed(ConnId::new(nth as u32, 1), best);
            chosen.push(ids.iter().position(|id| *id == best).expect("one of them"));
        }
        assert_eq!(chosen, [0, 1, 2, 0, 1, 2]);
        // One client leaves: its place is taken first.
        assert!(all.ended(ConnId::new(4, 1)).is_none());
        assert_eq!(all.choose(&ids, &[], 0, Micros::ZERO), Some(ids[1]));
        assert_eq!(all.choose(&ids, &ids[1..], 0, Micros::ZERO), Some(ids[0]));
        assert_eq!(all.choose(&ids, &ids, 0, Micros::ZERO), None);
        assert_eq!(all.choose(&[], &[], 5, Micros::ZERO), None);
    }

    #[test]
    fn an_address_that_is_not_listed_stays_until_its_last_connection_has_ended() {
        let (mut all, ids) = endpoints(2);
        let [dialed, open] = [ConnId::new(1, 1), ConnId::new(2, 1)];
        all.dialed(dialed, ids[0]);
        all.dialed(open, ids[0]);
        all.opened(open);
        all.set_suspect(open, true);
        all.set_suspect(dialed, true);
        let state = all.get(ids[0]).expect("there").state();
        assert_eq!((state.open, state.silent), (1, 1));
        all.get_mut(ids[0]).expect("there").listing = Listing::Removed;
        assert_eq!(all.pairs_to_removed(), 1);
        assert!(all.remove_unused(ids[0]).is_none());
        assert_eq!(all.choose(&ids, &[], 0, Micros::ZERO), Some(ids[1]));
        assert!(all.ended(dialed).is_none());
        let (gone, endpoint) = all.ended(open).expect("the last one");
        assert_eq!((gone, endpoint.suspects), (ids[0], 0));
        assert!(all.get(ids[0]).is_none() && all.ended(open).is_none());
    }
}
