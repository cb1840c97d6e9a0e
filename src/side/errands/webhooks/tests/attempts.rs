//! The attempts of one start or stop.

use super::super::queue::Kind;
use super::super::stats::{WebhookResult, WebhookType};
use super::bench::{Bench, OK, REFUSED, app, failed, ms};
use crate::base::time::Micros;
use crate::gateway::Patience::{Once, Persistent};
use crate::gateway::{Outcome, StopReason};
use crate::side::outgoing::Reply;

#[test]
fn a_start_that_is_answered_is_told_once() {
    let mut bench = Bench::new();
    bench.start(7, "alice", "p", Once);
    let post = bench.answer(&OK);
    assert_eq!((&*post.key.user, post.attempt), ("alice", 1));
    assert_eq!(bench.told(), [(7, Outcome::Answered)]);
    assert!(bench.is_empty());
    assert_eq!(bench.queue.due(), None);
}

#[test]
fn an_impatient_caller_gets_two_attempts_a_second_apart() {
    for last in [OK, Reply::Timeout] {
        let mut bench = Bench::new();
        bench.start(1, "alice", "p", Once);
        bench.answer(&Reply::Timeout);
        assert_eq!(bench.pauses(), []);
        let waited = bench.pass_to_due();
        assert!((ms(1_000)..=ms(1_250)).contains(&waited), "{waited}");
        assert_eq!(bench.answer(&last).attempt, 2);
        let expected = match last {
            OK => (1, Outcome::Answered),
            _ => failed(1, "the app's server has not answered in time"),
        };
        assert_eq!(bench.told(), [expected]);
        assert!(bench.is_empty());
    }
}

/// The SDK answers 500 when its app could not connect, and its failed session tries once more
/// within 2 s.
#[test]
fn after_500_the_next_attempt_waits_and_callers_are_told_how_long() {
    let mut bench = Bench::new();
    bench.start(1, "alice", "p", Once);
    bench.answer(&REFUSED);
    let pauses = bench.pauses();
    let waited = bench.pass_to_due();
    assert_eq!(pauses, [(1, waited)]);
    assert!((ms(3_500)..=ms(4_375)).contains(&waited), "{waited}");
    bench.answer(&OK);
    assert_eq!(bench.told(), [(1, Outcome::Answered)]);
}

#[test]
fn a_persistent_start_goes_on_with_growing_pauses_until_it_succeeds() {
    let mut bench = Bench::new();
    bench.start(1, "alice", "p", Persistent);
    for seconds in [1, 2, 4, 8, 16, 32, 60, 60, 60] {
        // Other requests succeed, so the breaker stays closed.
        bench.answer(&Reply::Timeout);
        bench.start(2, "bob", "p", Once);
        bench.answer(&OK);
        assert_eq!(bench.told(), [(2, Outcome::Answered)]);
        let waited = bench.pass_to_due();
        let span = Micros::from_secs(seconds);
        let longest = span + Micros(span.0 / 4);
        assert!((span..=longest).contains(&waited), "{seconds}: {waited}");
    }
    assert_eq!(bench.answer(&OK).attempt, 10);
    assert_eq!(bench.told(), [(1, Outcome::Answered)]);
    assert!(bench.is_empty());
}

#[test]
fn the_first_attempt_can_be_put_off() {
    let mut bench = Bench::new();
    let after = ms(4_000);
    bench
        .queue
        .start(bench.now, 1, app("alice", "p"), Once, after);
    bench.turn();
    assert_eq!(bench.under_way.len(), 0);
    let waited = bench.pass_to_due();
    assert!((after..=ms(5_000)).contains(&waited), "{waited}");
    bench.answer(&OK);
    assert_eq!(bench.told(), [(1, Outcome::Answered)]);
}

#[test]
fn cancelled_in_its_pause_it_is_gone() {
    let mut bench = Bench::new();
    bench.start(1, "alice", "p", Persistent);
    bench.answer(&REFUSED);
    assert_eq!(bench.pauses().len(), 1);
    bench.cancel(1);
    assert_eq!(bench.told(), [(1, Outcome::Cancelled)]);
    assert!(bench.is_empty());
    assert_eq!(bench.queue.due(), None);
    bench.pass(Micros::from_secs(100));
    assert_eq!(
        (bench.under_way.len(), bench.told().len()),
        (0, 0),
        "nothing follows"
    );
    let (kind, result) = (WebhookType::SessionRequest, WebhookResult::Cancelled);
    assert_eq!(bench.count(kind, result), 1);
    bench.cancel(1);
    bench.cancel(99);
    assert_eq!(bench.count(kind, result), 1);
}

#[test]
fn cancelled_under_way_it_is_told_what_becomes_of_it() {
    for (reply, outcome) in [
        (OK, (1, Outcome::Answered)),
        (
            REFUSED,
            failed(1, "the app's server has refused the request"),
        ),
    ] {
        let mut bench = Bench::new();
        bench.start(1, "alice", "p", Persistent);
        bench.cancel(1);
        bench.cancel(1);
        assert_eq!(bench.told(), []);
        bench.answer(&reply);
        assert_eq!(bench.told(), [outcome]);
        assert!(bench.is_empty(), "no second attempt");
    }
}

#[test]
fn there_is_one_request_for_an_app_of_a_user() {
    let mut bench = Bench::new();
    for number in 0..5 {
        bench.start(number, "alice", "p", Once);
    }
    bench.start(10, "alice", "q", Once);
    bench.start(11, "bob", "p", Once);
    assert_eq!(bench.under_way.len(), 3, "of other pairs there are more");
    bench.answer(&OK);
    let all: Vec<_> = (0..5).map(|n| (n, Outcome::Answered)).collect();
    assert_eq!(bench.told(), all);
    // The answer to a request that was cancelled under way does not count as the answer to the next
    // one.
    bench.under_way.clear();
    let mut bench = Bench::new();
    bench.start(1, "alice", "p", Once);
    bench.cancel(1);
    bench.start(2, "alice", "p", Once);
    assert_eq!(bench.under_way.len(), 1);
    bench.answer(&OK);
    assert_eq!(bench.told(), [(1, Outcome::Answered)]);
    assert_eq!(bench.under_way.len(), 1, "the next one is made");
    bench.answer(&OK);
    assert_eq!(bench.told(), [(2, Outcome::Answered)]);
    assert!(bench.is_empty());
}

#[test]
fn a_waiting_caller_does_not_wait_for_a_long_pause() {
    let mut bench = Bench::new();
    bench.start(1, "alice", "p", Persistent);
    for _ in 0..4 {
        bench.answer(&REFUSED);
        bench.pass_to_due();
    }
    bench.start(9, "bob", "p", Once);
    bench.under_way.rotate_left(1);
    bench.answer(&OK);
    bench.answer(&REFUSED);
    bench.told();
    bench.start(2, "alice", "p", Once);
    assert_eq!(bench.under_way.len(), 1, "at once");
    bench.answer(&REFUSED);
    assert!(bench.pass_to_due() <= ms(4_375));
    bench.answer(&REFUSED);
    assert_eq!(
        bench.told(),
        [failed(2, "the app's server has refused the request")]
    );
    assert!(bench.pass_to_due() > ms(30_000), "the other one goes on");
    bench.answer(&OK);
    assert_eq!(bench.told(), [(1, Outcome::Answered)]);
}

#[test]
fn too_many_that_wait_for_one_request_are_refused() {
    let mut bench = Bench::new();
    for number in 0..17 {
        bench.start(number, "alice", "p", Persistent);
    }
    assert_eq!(bench.told(), [failed(16, "the queue of webhooks is full")]);
}

#[test]
fn a_stop_ends_a_start_and_a_start_ends_a_stop_that_waits() {
    let mut bench = Bench::new();
    bench.start(1, "alice", "p", Persistent);
    bench.stop("alice", "p");
    assert_eq!(bench.told(), [failed(1, "the app was stopped")]);
    assert_eq!(bench.under_way.len(), 1, "one at a time, in order");
    bench.answer(&OK);
    let stop = bench.under_way.front().expect("the stop").clone();
    assert_eq!(stop.kind, Kind::Stop(StopReason::UserDisabled));
    // It is under way: the next job waits for it, and it gets no second attempt.
    bench.start(2, "alice", "p", Once);
    assert_eq!(bench.under_way.len(), 1);
    bench.answer(&REFUSED);
    assert_eq!(bench.answer(&OK).kind, Kind::Start);
    assert_eq!(bench.told(), [(2, Outcome::Answered)]);
    // A stop that waits for its second attempt is no longer wanted.
    bench.stop("alice", "p");
    bench.answer(&REFUSED);
    bench.start(3, "alice", "p", Once);
    assert_eq!(bench.answer(&OK).kind, Kind::Start);
    assert!(bench.is_empty());
    // A stop alone has two attempts.
    bench.stop("alice", "p");
    bench.answer(&REFUSED);
    bench.pass_to_due();
    bench.answer(&REFUSED);
    assert!(bench.is_empty());
}
