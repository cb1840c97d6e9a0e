//! Lanes and turns of the requests that wait.

use super::*;
use crate::base::id::ConnId;
use crate::bridge::offer::Offer;
use crate::bridge::route::Route;
use crate::bridge::upstreams::{EndpointId, Wish};
use crate::engine::Request;
use std::net::IpAddr;
use std::sync::Arc;

fn block(last: u8) -> AddressBlock {
    AddressBlock::of(IpAddr::from([10, 0, 0, last]))
}

/// Returns a request of a client, with its number.
fn request(last: u8, number: u32) -> QueuedRequest {
    let head = Request::of("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    QueuedRequest {
        pending: Box::new(PendingRequest {
            client: ConnId::new(number, 1),
            block: block(last),
            route: Arc::new(Route::to("r", Vec::new())),
            offer: Offer::read(&head).expect("well-formed").0,
            wish: Wish::default(),
            is_https: false,
            session: None,
            dialed_at: Micros::ZERO,
            expires: None,
            request: None,
            sources: 0,
            sources_tried: 0,
            tried: Vec::new(),
        }),
        request: DialRequest::new("/", HeaderValue::from_static("h")),
        until: Micros::from_secs(u64::from(number)),
    }
}

fn any() -> Lane {
    Lane::of(None, &[])
}

/// Takes all requests that may go to an upstream, in the order of their turns.
fn served(queue: &mut RequestQueue, upstream: EndpointId) -> Vec<u32> {
    let round = queue.round(|lane| lane.may_use(upstream));
    std::iter::from_fn(|| {
        let turn = queue.next_turn(&round)?;
        Some(queue.take(turn.ticket)?.pending.client.slot_u32())
    })
    .collect()
}

#[test]
fn clients_take_turns_and_each_ones_requests_stay_in_their_order() {
    let mut queue = RequestQueue::default();
    for number in 0..4 {
        queue.push(request(1, number), any());
    }
    for (last, number) in [(2, 4), (2, 5), (3, 6)] {
        queue.push(request(last, number), any());
    }
    assert_eq!(served(&mut queue, EndpointId::of(0)), [0, 4, 6, 1, 5, 2, 3]);
    assert!(queue.is_empty() && queue.lanes.is_empty());
}

#[test]
fn requests_for_a_full_upstream_hold_up_no_others() {
    let [full, other] = [0, 1].map(EndpointId::of);
    let mut queue = RequestQueue::default();
    for number in 0..100 {
        queue.push(request(1, number), Lane::To(full));
    }
    queue.push(request(1, 100), any());
    queue.push(request(2, 101), Lane::of(None, &[full]));
    queue.push(request(2, 102), Lane::of(None, &[other]));
    assert_eq!(served(&mut queue, other), [100, 101]);
    // A walk leaves out a lane, or a client, that finds no room.
    queue.push(request(2, 103), Lane::To(full));
    let mut round = queue.round(|lane| lane.may_use(full));
    let turn = queue.next_turn(&round).expect("the first client's");
    round.skip(turn);
    let turn = queue.next_turn(&round).expect("the one that was tried");
    assert_eq!(
        queue
            .take(turn.ticket)
            .expect("it waits")
            .pending
            .client
            .slot_u32(),
        102
    );
    let turn = queue.next_turn(&round).expect("the second client's");
    let (queued, lane) = queue.get(turn.ticket).expect("it waits");
    assert_eq!(
        (queued.pending.client.slot_u32(), lane),
        (103, &Lane::To(full))
    );
    round.leave_lane(turn);
    assert_eq!(queue.next_turn(&round), None);
    // Those of an upstream that is not well go to any.
    queue.relocate(turn.ticket, any());
    assert_eq!(served(&mut queue, other), [103]);
}

#[test]
fn a_full_queue_gives_every_client_its_part() {
    let mut queue = RequestQueue::default();
    for number in 0..WAITING_MAX as u32 {
        assert!(!queue.is_full());
        queue.push(request(1, number), any());
    }
    assert!(queue.is_full());
    let more = WAITING_MAX as u32;
    for number in more..more + 500 {
        let given = queue.give_way(block(2)).expect("the first has more");
        assert_eq!(given.pending.block, block(1));
        assert_eq!(
            given.pending.client.slot_u32(),
            2 * more - 1 - number,
            "the latest"
        );
        queue.push(request(2, number), any());
    }
    // Both have as many, and neither gives way to the other; a third has its part of both.
    assert!(queue.give_way(block(2)).is_none() && queue.give_way(block(1)).is_none());
    assert!(queue.give_way(block(3)).is_some());
    assert!(queue.requests.len() < WAITING_MAX);
}

#[test]
fn what_has_left_or_expired_leaves_nothing_behind() {
    let mut queue = RequestQueue::default();
    let tickets: Vec<u64> = (0..9)
        .map(|number| queue.push(request(number as u8 % 2, number), any()))
        .collect();
    assert!(queue.remove(tickets[4]).is_some() && queue.remove(tickets[4]).is_none());
    assert!(queue.take(tickets[4]).is_none() && queue.get(tickets[4]).is_none());
    let now = Micros::from_secs(6);
    let expired = std::iter::from_fn(|| queue.pop_expired(now));
    let expired: Vec<u32> = expired
        .map(|queued| queued.pending.client.slot_u32())
        .collect();
    assert_eq!(expired, [0, 1, 2, 3, 5, 6]);
    let rest = std::iter::from_fn(|| queue.pop());
    assert_eq!(rest.count(), 2);
    assert!(queue.requests.is_empty() && queue.lanes.is_empty());
    assert!(queue.shares.giving_way_to(block(9), 0).is_none());
}
