//! Which requests of a route's queue go to an upstream next, and which ones make room for them.

use super::block_shares::share_of;
use super::queue_lane::Lane;
use super::request_queue::{QueueRound, QueuedRequest};
use super::route_table::LiveRoute;
use super::upstreams::{Choice, Endpoint, EndpointId, Endpoints, RequestKind};
use crate::base::address_block::AddressBlock;
use crate::base::id::ConnId;
use crate::base::sabotage::{self, Bug};
use crate::base::time::Micros;

/// How many clients of a lane are looked at for one that an upstream admits. Fewer have more than
/// their share of its places.
const CLIENTS_LOOK: usize = 17;

/// How many clients that wait are looked at in the search for upstreams that are crowded.
pub(super) const CROWD_LOOK: usize = 64;

/// What becomes of the request whose turn it is.
pub(super) enum Served {
    /// It goes to an upstream, or none is left for it.
    Chosen(Box<QueuedRequest>, Choice),
    /// It waits for another one.
    Waits,
}

impl LiveRoute {
    /// Begins a walk through the requests that may go to an upstream with room: to `freed`, or to
    /// any if that is `None`.
    pub(super) fn begin_round(
        &self,
        all: &Endpoints,
        freed: Option<EndpointId>,
        now: Micros,
    ) -> QueueRound {
        self.queue.round(|lane| {
            let is_meant = freed.is_none_or(|id| lane.may_use(id));
            is_meant && self.has_room_in(lane, all, now)
        })
    }

    /// Looks at the request whose turn is next. `None`: there is no further one.
    pub(super) fn serve_next(
        &mut self,
        all: &Endpoints,
        round: &mut QueueRound,
        now: Micros,
    ) -> Option<Served> {
        let turn = self.queue.next_turn(round)?;
        let (queued, lane) = self.queue.get(turn.ticket)?;
        let pending = &queued.pending;
        let rules = self.rules(pending.block, RequestKind::WebSocket, now);
        let (tried, wish) = (&pending.tried, &pending.wish);
        let choice = all.choose(&self.endpoints, tried, self.start, wish, rules, now);
        self.start = self.start.wrapping_add(1);
        let Choice::Full(pinned) = choice else {
            let queued = self.queue.take(turn.ticket)?;
            return Some(Served::Chosen(Box::new(queued), choice));
        };
        let now_in = Lane::of(pinned, &pending.tried);
        if now_in != *lane {
            self.queue.relocate(turn.ticket, now_in);
        } else if self.has_room_in(&now_in, all, now) {
            // Its client has its share; others of the lane may go.
            round.skip(turn);
        } else {
            round.leave_lane(turn);
        }
        Some(Served::Waits)
    }

    /// Returns whether a request of a lane of any client may find room.
    fn has_room_in(&self, lane: &Lane, all: &Endpoints, now: Micros) -> bool {
        let most = u64::from(self.route.max_dialing);
        match lane {
            // Its requests go elsewhere while it is not well.
            Lane::To(id) => match all.get(*id).filter(|e| is_open_to(e, now)) {
                Some(endpoint) => endpoint.has_room(most),
                None => self.has_room(all),
            },
            Lane::AnyBut(_) => {
                let mut usable = self.endpoints.iter().filter(|id| lane.may_use(**id));
                usable.any(|id| all.get(*id).is_some_and(|e| e.has_room(most)))
            }
        }
    }

    /// Returns whether requests that wait may go to an upstream now. A new one must not overtake
    /// them.
    pub(super) fn is_awaited(&self, id: EndpointId, all: &Endpoints, now: Micros) -> bool {
        let Some(endpoint) = all.get(id) else {
            return false;
        };
        let most = u64::from(self.route.max_dialing);
        let admits = |block: AddressBlock| {
            let is_contended = self.recent.has_other(block, now);
            endpoint.admits(block, most, is_contended)
        };
        let mut lanes = self.queue.lanes().filter(|(lane, _)| lane.may_use(id));
        lanes.any(|(_, clients)| {
            let mut clients = clients.from(0).take(CLIENTS_LOOK);
            clients.any(|(_, block, _)| admits(block))
        })
    }

    /// Returns connections that are given up for requests that came before `before` and still wait:
    /// at each crowded upstream the oldest one of the client with the most.
    pub(super) fn giving_way(&self, all: &Endpoints, before: Micros, now: Micros) -> Vec<ConnId> {
        let mut given: Vec<(EndpointId, ConnId)> = Vec::new();
        if sabotage::on(Bug::CrowdKeepsPlaces) {
            return Vec::new();
        }
        let lanes = self.queue.lanes();
        let clients = lanes.flat_map(|(lane, clients)| clients.from(0).map(move |c| (lane, c)));
        for (lane, (_, block, ticket)) in clients.take(CROWD_LOOK) {
            let queued = self.queue.get(ticket);
            if queued.is_none_or(|(queued, _)| queued.until > before) {
                continue;
            }
            let crowded = self.crowded_for(lane, block, all, now);
            let crowded = crowded.filter(|(id, _)| given.iter().all(|(other, _)| other != id));
            given.extend(crowded);
        }
        given.into_iter().map(|(_, leg)| leg).collect()
    }

    /// Returns the upstream with the client that has the most places, if it must give one to a
    /// client in this lane; and the oldest connection of that client.
    fn crowded_for(
        &self,
        lane: &Lane,
        block: AddressBlock,
        all: &Endpoints,
        now: Micros,
    ) -> Option<(EndpointId, ConnId)> {
        let most = u64::from(self.route.max_dialing);
        let usable = self.endpoints.iter().filter(|id| lane.may_use(**id));
        let usable = usable.filter_map(|id| Some((*id, all.get(*id)?)));
        let giving = usable.filter(|(_, e)| is_open_to(e, now));
        let giving = giving.filter_map(|(id, endpoint)| {
            let client = endpoint.shares.giving_way_to(block, share_of(most))?;
            Some((endpoint.shares.count(client), id, endpoint, client))
        });
        let (_, id, endpoint, client) = giving.max_by_key(|(count, ..)| *count)?;
        Some((id, endpoint.shares.first(client)?.1))
    }
}

/// Returns whether requests wait for an upstream rather than go elsewhere.
fn is_open_to(endpoint: &Endpoint, now: Micros) -> bool {
    endpoint.is_candidate() && endpoint.is_inviting(RequestKind::WebSocket, now)
}
