//! Which of two addresses is better, and when one is avoided.

use super::*;

fn endpoint(weight: u32) -> Endpoint {
    let url = UpstreamUrl::parse("http://127.0.0.1:1").expect("a location");
    let address = url.fixed_address().expect("an address");
    Endpoint::new("r".into(), url, address, weight)
}

#[test]
fn the_fewest_connections_for_the_weight_come_first() {
    let now = Micros::from_secs(9);
    for (loads, weights, better) in [
        ([0, 0], [1, 1], Ordering::Equal),
        ([0, 1], [1, 1], Ordering::Less),
        ([1, 1], [1, 2], Ordering::Greater),
        ([0, 1], [1, 2], Ordering::Equal),
        ([9, 20], [1, 2], Ordering::Less),
    ] {
        let [mut a, mut b] = weights.map(endpoint);
        (a.open, b.dialing) = (loads[0], loads[1]);
        assert_eq!(
            a.compare(&b, now, Micros::ZERO),
            better,
            "{loads:?} {weights:?}"
        );
        assert_eq!(b.compare(&a, now, Micros::ZERO), better.reverse());
    }
}

#[test]
fn an_address_is_avoided_twice_as_long_after_each_failure() {
    let (mut failing, other) = (endpoint(256), endpoint(1));
    let mut now = Micros::from_secs(100);
    for seconds in [1, 2, 4, 8, 16, 30, 30] {
        assert_eq!(failing.compare(&other, now, Micros::ZERO), Ordering::Less);
        failing.unreachable(now, "");
        // Others that were under way fail, too.
        failing.unreachable(now + Micros(1), "");
        let end = now + Micros::from_secs(seconds);
        assert_eq!(
            failing.compare(&other, end - Micros(1), Micros::ZERO),
            Ordering::Greater
        );
        now = end;
    }
    now += Micros::from_secs(60);
    failing.answered(now);
    failing.unreachable(now, "");
    now += Micros::from_secs(1);
    assert_eq!(failing.compare(&other, now, Micros::ZERO), Ordering::Less);
    // Requests without an answer count if they are of three clients.
    failing.answered(now);
    let client = |last| AddressBlock::of(IpAddr::from([192, 0, 2, last]));
    for _ in 0..9 {
        failing.unanswered(client(0), now, now, "");
    }
    // A client with IPv6 has as many addresses as it likes.
    let mut of_one = endpoint(1);
    for last in 0..9 {
        let address = std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, last, 0, 0, last);
        of_one.unanswered(AddressBlock::of(address.into()), now, now, "");
    }
    assert_eq!(of_one.condition(), UpstreamCondition::Up);
    // Answers to plain HTTP requests between them are answers, too.
    let mut serving = endpoint(1);
    for last in 0..9 {
        serving.unanswered(client(last), now, now, "");
        serving.requests.begin().answered();
    }
    assert_eq!(serving.condition(), UpstreamCondition::Up);
    // Those that were sent before an answer to another request do not.
    for last in 3..9 {
        failing.unanswered(client(last), now - Micros(1), now, "");
    }
    for (last, expected) in [(1, Ordering::Less), (2, Ordering::Greater)] {
        failing.unanswered(client(last), now, now, "");
        assert_eq!(failing.compare(&other, now, Micros::ZERO), expected);
    }
    // A health check may be answered by an upstream that answers nothing else.
    failing.checked(Ok(()), now);
    assert_eq!(failing.condition(), UpstreamCondition::Avoided);
    failing.answered(now);
    failing.unreachable(now, "");
    assert_eq!(failing.condition(), UpstreamCondition::Avoided);
    failing.checked(Ok(()), now);
    assert_eq!(failing.condition(), UpstreamCondition::Up);
    assert!(failing.is_well(now));
}

#[test]
fn a_frozen_service_gets_no_clients_while_another_is_well() {
    let now = Micros::ZERO;
    let (mut frozen, mut other) = (endpoint(1), endpoint(1));
    (frozen.open, frozen.suspects, other.open) = (19, 10, 500);
    frozen.judge_pings(false, now);
    assert_eq!(frozen.compare(&other, now, Micros::ZERO), Ordering::Greater);
    other.unreachable(now, "");
    assert_eq!(frozen.compare(&other, now, Micros::ZERO), Ordering::Less);
    other.answered(now);
    // The last few are as patient as the others were, until something is heard.
    (frozen.open, frozen.suspects) = (3, 3);
    let timeout = Micros::from_secs(90);
    assert_eq!(
        frozen.state().patience(timeout),
        Some(Micros::from_secs(270))
    );
    // Its connections are closed: it is not well because nothing tells that it is frozen.
    (frozen.open, frozen.suspects) = (0, 0);
    frozen.judge_end(now);
    let later = now + Micros::from_secs(29);
    let row = frozen.row(later, &[]);
    assert!(!frozen.is_well(later) && row.is_frozen && row.state.is_failing());
    frozen.answered(later);
    assert!(frozen.is_well(later));
    // A connection that is heard again tells that it goes on.
    (frozen.open, frozen.suspects) = (19, 10);
    frozen.judge_pings(false, now);
    frozen.suspects = 9;
    frozen.judge_pings(true, now);
    assert!(frozen.is_well(later));
}

#[test]
fn an_address_that_comes_back_gets_its_part_little_by_little() {
    let (mut cold, mut warm) = (endpoint(1), endpoint(1));
    let start = Micros::from_secs(10);
    cold.begin(start);
    warm.open = 99;
    // 100 to 100 once the new one has its whole weight: until then it gets fewer.
    for (open, seconds, better) in [
        (8, 0, Ordering::Less),
        (10, 0, Ordering::Greater),
        (48, 5, Ordering::Less),
        (50, 5, Ordering::Greater),
        (98, 10, Ordering::Less),
        (100, 10, Ordering::Greater),
    ] {
        cold.open = open;
        let now = start + Micros::from_secs(seconds);
        let slow_start = Micros::from_secs(10);
        assert_eq!(
            cold.compare(&warm, now, slow_start),
            better,
            "{open} {seconds}"
        );
    }
}

/// Returns the condition, since when, and why.
fn standing(endpoint: &Endpoint) -> (UpstreamCondition, u64, String) {
    let row = endpoint.row(Micros::from_secs(1_000), &[]);
    (row.state, row.since.0 / 1_000_000, row.reason)
}

#[test]
fn a_condition_has_its_time_and_reason_and_changes_once() {
    let mut endpoint = endpoint(1);
    let at = Micros::from_secs;
    let up = |since, why: &str| (UpstreamCondition::Up, since, why.to_owned());
    assert_eq!(standing(&endpoint), up(0, ""));
    endpoint.unreachable(at(10), "refused");
    endpoint.unreachable(at(20), "reset");
    let avoided = (UpstreamCondition::Avoided, 10, "refused".to_owned());
    assert_eq!(standing(&endpoint), avoided);
    // It is frozen, too: one answer ends both.
    (endpoint.open, endpoint.suspects) = (19, 10);
    endpoint.judge_pings(false, at(30));
    let why = "10 of 19 connections are silent".to_owned();
    let unresponsive = (UpstreamCondition::Unresponsive, 30, why);
    assert_eq!(standing(&endpoint), unresponsive);
    endpoint.answered(at(40));
    endpoint.answered(at(41));
    assert_eq!(standing(&endpoint), up(40, "a request was answered"));
    // A request that is answered says nothing of health checks.
    endpoint.checked(Err("the answer is 503"), at(50));
    endpoint.checked(Err("the answer is 503"), at(60));
    endpoint.answered(at(61));
    let unhealthy = UpstreamCondition::Unhealthy;
    let expected = (unhealthy, 60, "the answer is 503".to_owned());
    assert_eq!(standing(&endpoint), expected);
    let long = "x".repeat(10_000);
    endpoint.checked(Ok(()), at(70));
    endpoint.unreachable(at(71), &long);
    assert_eq!(standing(&endpoint).2.len(), 200);
}

#[test]
fn a_connect_is_tried_when_the_time_is_over_and_no_client_tries() {
    let mut endpoint = endpoint(1);
    let mut now = Micros::from_secs(100);
    assert!(!endpoint.wants_connect(now), "it is up");
    for seconds in [1, 2, 4, 8, 16, 30, 30] {
        endpoint.connected(Err("refused"), now);
        now += Micros::from_secs(seconds);
        assert!(!endpoint.wants_connect(now - Micros(1)), "{seconds}");
        assert!(endpoint.wants_connect(now), "{seconds}");
        endpoint.dialing = 1;
        assert!(!endpoint.wants_connect(now), "a client tries");
        endpoint.dialing = 0;
    }
    endpoint.connected(Ok(()), now);
    let why = "it accepts connections again".to_owned();
    let since = now.0 / 1_000_000;
    assert_eq!(standing(&endpoint), (UpstreamCondition::Up, since, why));
    // The kernel accepts connections for a service that answers nothing.
    for is_silent in [false, true] {
        let client = |last| AddressBlock::of(IpAddr::from([192, 0, 2, last]));
        (endpoint.open, endpoint.suspects) = (10, if is_silent { 10 } else { 0 });
        endpoint.judge_pings(false, now);
        (endpoint.open, endpoint.suspects) = (0, 0);
        endpoint.judge_end(now);
        for last in 0..3 {
            endpoint.unanswered(client(last), now + Micros(1), now + Micros(1), "");
        }
        let later = now + Micros::from_secs(60);
        // On trial, it does not answer either.
        endpoint.unanswered(client(9), later, later, "");
        let later = later + Micros::from_secs(60);
        assert!(!endpoint.wants_connect(later), "{is_silent}");
        endpoint.connected(Ok(()), later);
        assert_eq!(endpoint.condition(), UpstreamCondition::Avoided);
        assert_eq!(endpoint.row(later, &[]).is_frozen, is_silent);
        endpoint.answered(later);
        now = later;
    }
}
