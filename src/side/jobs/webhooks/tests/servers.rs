//! Servers that are down, and many concurrent webhooks.

use super::super::breaker::PAUSE_MIN;
use super::super::queue::{IN_FLIGHT_MAX, IN_FLIGHT_PER_APP_MAX};
use super::super::webhook_stats::{WebhookResult, WebhookType};
use super::queue_harness::{OK, QueueHarness, REFUSED, failed, ms};
use crate::base::time::Micros;
use crate::gateway::RetryPolicy::{TwoAttempts, UntilCancelled};
use crate::side::outgoing::PostResult;
use std::collections::{BTreeMap, BTreeSet};

#[test]
fn a_server_that_fails_for_one_user_is_not_down() {
    let mut harness = QueueHarness::new();
    harness.start(1, "ada", "p", UntilCancelled);
    for status in [500, 403, 500, 404, 500, 501, 505, 500] {
        assert_eq!(harness.in_flight.len(), 1);
        harness.answer(&PostResult::Refused(status));
        harness.advance_time(Micros::from_secs(100));
    }
    assert_eq!(harness.queue.stats(harness.now).breakers_open, 0);
    harness.start(2, "bob", "p", TwoAttempts);
    assert_eq!(harness.in_flight.len(), 2, "others are asked");
}

#[test]
fn the_breaker_opens_and_lets_one_through() {
    let mut harness = QueueHarness::new();
    harness.open_breaker("p");
    let stats = harness.queue.stats(harness.now);
    assert_eq!(&*stats.down[0].last_error, "answered with status 503");
    // Waiters with `TwoAttempts` are refused at once. Others wait.
    harness.start(1, "alice", "p", TwoAttempts);
    assert_eq!(harness.outcomes(), [failed(1, "the app's server is down")]);
    harness.stop("alice", "p");
    let (kind, result) = (WebhookType::StopRequest, WebhookResult::BreakerOpen);
    assert_eq!(harness.count(kind, result), 1);
    for number in 2..5 {
        harness.start(number, &format!("user{number}"), "p", UntilCancelled);
    }
    // Other apps are not affected.
    harness.start(9, "alice", "q", TwoAttempts);
    assert_eq!(&*harness.answer(&OK).key.package, "q");
    harness.outcomes();
    assert_eq!(harness.in_flight.len(), 0);
    assert_eq!(harness.advance_to_due(), PAUSE_MIN);
    assert_eq!(harness.in_flight.len(), 1, "one is let through");
    harness.start(5, "alice", "p", TwoAttempts);
    assert_eq!(
        (harness.in_flight.len(), harness.outcomes()),
        (1, vec![]),
        "a later caller waits for it"
    );
    harness.answer(&REFUSED);
    assert_eq!(harness.outcomes(), [failed(5, "the app's server is down")]);
    harness.advance_time(ms(19_999));
    assert_eq!(harness.in_flight.len(), 0, "twice as long now");
    harness.advance_time(ms(1));
    assert_eq!(harness.in_flight.len(), 1);
    harness.answer(&OK);
    let stats = harness.queue.stats(harness.now);
    assert_eq!((stats.breakers_open, harness.in_flight.len()), (0, 2));
    harness.answer(&OK);
    harness.answer(&OK);
    let outcomes: BTreeSet<u64> = harness.outcomes().iter().map(|(n, _)| *n).collect();
    assert_eq!(outcomes, BTreeSet::from([2, 3, 4]));
    assert!(harness.is_empty());
}

#[test]
fn what_waits_without_patience_fails_when_the_breaker_opens() {
    let mut harness = QueueHarness::new();
    for number in 0..1_000 {
        harness.start(number, &format!("user{number}"), "p", TwoAttempts);
    }
    assert_eq!(harness.in_flight.len(), IN_FLIGHT_PER_APP_MAX);
    for _ in 0..5 {
        harness.answer(&PostResult::Timeout);
    }
    // Others have taken the places of the first four.
    let begun = IN_FLIGHT_PER_APP_MAX + 4;
    assert_eq!(harness.outcomes().len(), 1_000 - begun);
    // Requests that have begun return, and their second attempt is refused; nothing else is sent.
    while !harness.in_flight.is_empty() {
        harness.answer(&PostResult::Timeout);
    }
    while !harness.is_empty() {
        harness.advance_to_due();
    }
    assert_eq!(harness.outcomes().len(), begun);
}

#[test]
fn a_flood_to_one_app_does_not_delay_another() {
    let mut harness = QueueHarness::new();
    for number in 0..10_000 {
        harness.start(number, &format!("user{number}"), "dead", UntilCancelled);
    }
    assert_eq!(harness.in_flight.len(), IN_FLIGHT_PER_APP_MAX);
    for number in 20_000..20_010 {
        harness.start(number, &format!("user{number}"), "well", TwoAttempts);
    }
    let well = harness
        .in_flight
        .iter()
        .filter(|p| &*p.key.package == "well");
    assert_eq!(well.count(), 10, "at once");
    assert_eq!(harness.queue.stats(harness.now).waiting, 10_000 - 16);
    for number in 0..10_000 {
        harness.cancel(number);
    }
    assert_eq!(harness.queue.stats(harness.now).waiting, 0);
}

#[test]
fn apps_have_their_turns_when_places_are_few() {
    let mut harness = QueueHarness::new();
    // Five apps with more requests than their limit: 64 places for 80.
    for n in 0..100u64 {
        for package in 0..5u64 {
            let user = format!("user{n}");
            harness.start(
                n * 5 + package,
                &user,
                &format!("p{package}"),
                UntilCancelled,
            );
        }
    }
    assert_eq!(harness.in_flight.len(), IN_FLIGHT_MAX);
    let mut served: BTreeMap<String, u32> = BTreeMap::new();
    for _ in 0..250 {
        let request = harness.answer(&OK);
        *served.entry(request.key.package.to_string()).or_default() += 1;
        let of_app = |p: &str| {
            harness
                .in_flight
                .iter()
                .filter(|u| &*u.key.package == p)
                .count()
        };
        assert!((0..5).all(|n| of_app(&format!("p{n}")) <= IN_FLIGHT_PER_APP_MAX));
    }
    assert!(served.values().all(|n| (40..=60).contains(n)), "{served:?}");
}
