//! Servers that are down, and many concurrent webhooks.

use super::super::breaker::LEAST_PAUSE;
use super::super::queue::{IN_FLIGHT, IN_FLIGHT_PER_APP};
use super::super::stats::{WebhookResult, WebhookType};
use super::bench::{Bench, OK, REFUSED, failed, ms};
use crate::base::time::Micros;
use crate::gateway::Patience::{Once, Persistent};
use crate::side::outgoing::Reply;
use std::collections::{BTreeMap, BTreeSet};

#[test]
fn a_server_that_fails_for_one_user_is_not_down() {
    let mut bench = Bench::new();
    bench.start(1, "ada", "p", Persistent);
    for status in [500, 403, 500, 404, 500, 501, 505, 500] {
        assert_eq!(bench.under_way.len(), 1);
        bench.answer(&Reply::Refused(status));
        bench.pass(Micros::from_secs(100));
    }
    assert_eq!(bench.queue.stats(bench.now).breakers_open, 0);
    bench.start(2, "bob", "p", Once);
    assert_eq!(bench.under_way.len(), 2, "others are asked");
}

#[test]
fn the_breaker_opens_and_lets_one_through() {
    let mut bench = Bench::new();
    bench.break_down("p");
    let stats = bench.queue.stats(bench.now);
    assert_eq!(&*stats.down[0].last_error, "answered with status 503");
    // Waiters with `Once` are refused at once. Others wait.
    bench.start(1, "alice", "p", Once);
    assert_eq!(bench.told(), [failed(1, "the app's server is down")]);
    bench.stop("alice", "p");
    let (kind, result) = (WebhookType::StopRequest, WebhookResult::BreakerOpen);
    assert_eq!(bench.count(kind, result), 1);
    for number in 2..5 {
        bench.start(number, &format!("user{number}"), "p", Persistent);
    }
    // Other apps are not affected.
    bench.start(9, "alice", "q", Once);
    assert_eq!(&*bench.answer(&OK).key.package, "q");
    bench.told();
    assert_eq!(bench.under_way.len(), 0);
    assert_eq!(bench.pass_to_due(), LEAST_PAUSE);
    assert_eq!(bench.under_way.len(), 1, "one is let through");
    bench.start(5, "alice", "p", Once);
    assert_eq!(
        (bench.under_way.len(), bench.told()),
        (1, vec![]),
        "a later caller waits for it"
    );
    bench.answer(&REFUSED);
    assert_eq!(bench.told(), [failed(5, "the app's server is down")]);
    bench.pass(ms(19_999));
    assert_eq!(bench.under_way.len(), 0, "twice as long now");
    bench.pass(ms(1));
    assert_eq!(bench.under_way.len(), 1);
    bench.answer(&OK);
    let stats = bench.queue.stats(bench.now);
    assert_eq!((stats.breakers_open, bench.under_way.len()), (0, 2));
    bench.answer(&OK);
    bench.answer(&OK);
    let told: BTreeSet<u64> = bench.told().iter().map(|(n, _)| *n).collect();
    assert_eq!(told, BTreeSet::from([2, 3, 4]));
    assert!(bench.is_empty());
}

#[test]
fn what_waits_without_patience_fails_when_the_breaker_opens() {
    let mut bench = Bench::new();
    for number in 0..1_000 {
        bench.start(number, &format!("user{number}"), "p", Once);
    }
    assert_eq!(bench.under_way.len(), IN_FLIGHT_PER_APP);
    for _ in 0..5 {
        bench.answer(&Reply::Timeout);
    }
    // Others have taken the places of the first four.
    let begun = IN_FLIGHT_PER_APP + 4;
    assert_eq!(bench.told().len(), 1_000 - begun);
    // Requests that have begun return, and their second attempt is refused; nothing else is sent.
    while !bench.under_way.is_empty() {
        bench.answer(&Reply::Timeout);
    }
    while !bench.is_empty() {
        bench.pass_to_due();
    }
    assert_eq!(bench.told().len(), begun);
}

#[test]
fn a_flood_to_one_app_does_not_delay_another() {
    let mut bench = Bench::new();
    for number in 0..10_000 {
        bench.start(number, &format!("user{number}"), "dead", Persistent);
    }
    assert_eq!(bench.under_way.len(), IN_FLIGHT_PER_APP);
    for number in 20_000..20_010 {
        bench.start(number, &format!("user{number}"), "well", Once);
    }
    let well = bench.under_way.iter().filter(|p| &*p.key.package == "well");
    assert_eq!(well.count(), 10, "at once");
    assert_eq!(bench.queue.stats(bench.now).waiting, 10_000 - 16);
    for number in 0..10_000 {
        bench.cancel(number);
    }
    assert_eq!(bench.queue.stats(bench.now).waiting, 0);
}

#[test]
fn apps_have_their_turns_when_places_are_few() {
    let mut bench = Bench::new();
    // Five apps with more requests than their limit: 64 places for 80.
    for n in 0..100u64 {
        for package in 0..5u64 {
            let user = format!("user{n}");
            bench.start(n * 5 + package, &user, &format!("p{package}"), Persistent);
        }
    }
    assert_eq!(bench.under_way.len(), IN_FLIGHT);
    let mut served: BTreeMap<String, u32> = BTreeMap::new();
    for _ in 0..250 {
        let post = bench.answer(&OK);
        *served.entry(post.key.package.to_string()).or_default() += 1;
        let of_app = |p: &str| {
            bench
                .under_way
                .iter()
                .filter(|u| &*u.key.package == p)
                .count()
        };
        assert!((0..5).all(|n| of_app(&format!("p{n}")) <= IN_FLIGHT_PER_APP));
    }
    assert!(served.values().all(|n| (40..=60).contains(n)), "{served:?}");
}
