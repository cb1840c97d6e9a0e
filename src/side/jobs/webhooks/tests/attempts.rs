//! The attempts of one start or stop.

use super::super::queue::WebhookAction;
use super::super::webhook_stats::{WebhookResult, WebhookType};
use super::queue_harness::{OK, QueueHarness, REFUSED, app, failed, ms};
use crate::base::time::Micros;
use crate::gateway::RetryPolicy::{TwoAttempts, UntilCancelled};
use crate::gateway::{StartOutcome, StopReason};
use crate::side::outgoing::PostResult;

#[test]
fn a_start_that_is_answered_is_told_once() {
    let mut harness = QueueHarness::new();
    harness.start(7, "alice", "p", TwoAttempts);
    let request = harness.answer(&OK);
    assert_eq!((&*request.key.user, request.attempt), ("alice", 1));
    assert_eq!(harness.outcomes(), [(7, StartOutcome::Answered)]);
    assert!(harness.is_empty());
    assert_eq!(harness.queue.due(), None);
}

#[test]
fn an_impatient_caller_gets_two_attempts_a_second_apart() {
    for last in [OK, PostResult::Timeout] {
        let mut harness = QueueHarness::new();
        harness.start(1, "alice", "p", TwoAttempts);
        harness.answer(&PostResult::Timeout);
        assert_eq!(harness.pauses(), []);
        let waited = harness.advance_to_due();
        assert!((ms(1_000)..=ms(1_250)).contains(&waited), "{waited}");
        assert_eq!(harness.answer(&last).attempt, 2);
        let expected = match last {
            OK => (1, StartOutcome::Answered),
            _ => failed(1, "the app's server has not answered in time"),
        };
        assert_eq!(harness.outcomes(), [expected]);
        assert!(harness.is_empty());
    }
}

/// The SDK answers 500 when its app could not connect, and its failed session tries once more
/// within 2 s.
#[test]
fn after_500_the_next_attempt_waits_and_callers_are_told_how_long() {
    let mut harness = QueueHarness::new();
    harness.start(1, "alice", "p", TwoAttempts);
    harness.answer(&REFUSED);
    let pauses = harness.pauses();
    let waited = harness.advance_to_due();
    assert_eq!(pauses, [(1, waited)]);
    assert!((ms(3_500)..=ms(4_375)).contains(&waited), "{waited}");
    harness.answer(&OK);
    assert_eq!(harness.outcomes(), [(1, StartOutcome::Answered)]);
}

#[test]
fn a_persistent_start_goes_on_with_growing_pauses_until_it_succeeds() {
    let mut harness = QueueHarness::new();
    harness.start(1, "alice", "p", UntilCancelled);
    for seconds in [1, 2, 4, 8, 16, 32, 60, 60, 60] {
        // Other requests succeed, so the breaker stays closed.
        harness.answer(&PostResult::Timeout);
        harness.start(2, "bob", "p", TwoAttempts);
        harness.answer(&OK);
        assert_eq!(harness.outcomes(), [(2, StartOutcome::Answered)]);
        let waited = harness.advance_to_due();
        let span = Micros::from_secs(seconds);
        let longest = span + Micros(span.0 / 4);
        assert!((span..=longest).contains(&waited), "{seconds}: {waited}");
    }
    assert_eq!(harness.answer(&OK).attempt, 10);
    assert_eq!(harness.outcomes(), [(1, StartOutcome::Answered)]);
    assert!(harness.is_empty());
}

#[test]
fn the_first_attempt_can_be_put_off() {
    let mut harness = QueueHarness::new();
    let after = ms(4_000);
    harness
        .queue
        .start(harness.now, 1, app("alice", "p"), TwoAttempts, after);
    harness.advance();
    assert_eq!(harness.in_flight.len(), 0);
    let waited = harness.advance_to_due();
    assert!((after..=ms(5_000)).contains(&waited), "{waited}");
    harness.answer(&OK);
    assert_eq!(harness.outcomes(), [(1, StartOutcome::Answered)]);
}

#[test]
fn cancelled_in_its_pause_it_is_gone() {
    let mut harness = QueueHarness::new();
    harness.start(1, "alice", "p", UntilCancelled);
    harness.answer(&REFUSED);
    assert_eq!(harness.pauses().len(), 1);
    harness.cancel(1);
    assert_eq!(harness.outcomes(), [(1, StartOutcome::Cancelled)]);
    assert!(harness.is_empty());
    assert_eq!(harness.queue.due(), None);
    harness.advance_time(Micros::from_secs(100));
    assert_eq!(
        (harness.in_flight.len(), harness.outcomes().len()),
        (0, 0),
        "nothing follows"
    );
    let (kind, result) = (WebhookType::SessionRequest, WebhookResult::Cancelled);
    assert_eq!(harness.count(kind, result), 1);
    harness.cancel(1);
    harness.cancel(99);
    assert_eq!(harness.count(kind, result), 1);
}

#[test]
fn cancelled_under_way_it_is_told_what_becomes_of_it() {
    for (reply, outcome) in [
        (OK, (1, StartOutcome::Answered)),
        (
            REFUSED,
            failed(1, "the app's server has refused the request"),
        ),
    ] {
        let mut harness = QueueHarness::new();
        harness.start(1, "alice", "p", UntilCancelled);
        harness.cancel(1);
        harness.cancel(1);
        assert_eq!(harness.outcomes(), []);
        harness.answer(&reply);
        assert_eq!(harness.outcomes(), [outcome]);
        assert!(harness.is_empty(), "no second attempt");
    }
}

#[test]
fn there_is_one_request_for_an_app_of_a_user() {
    let mut harness = QueueHarness::new();
    for number in 0..5 {
        harness.start(number, "alice", "p", TwoAttempts);
    }
    harness.start(10, "alice", "q", TwoAttempts);
    harness.start(11, "bob", "p", TwoAttempts);
    assert_eq!(harness.in_flight.len(), 3, "of other pairs there are more");
    harness.answer(&OK);
    let all: Vec<_> = (0..5).map(|n| (n, StartOutcome::Answered)).collect();
    assert_eq!(harness.outcomes(), all);
    // The answer to a request that was cancelled under way does not count as the answer to the next
    // one.
    harness.in_flight.clear();
    let mut harness = QueueHarness::new();
    harness.start(1, "alice", "p", TwoAttempts);
    harness.cancel(1);
    harness.start(2, "alice", "p", TwoAttempts);
    assert_eq!(harness.in_flight.len(), 1);
    harness.answer(&OK);
    assert_eq!(harness.outcomes(), [(1, StartOutcome::Answered)]);
    assert_eq!(harness.in_flight.len(), 1, "the next one is made");
    harness.answer(&OK);
    assert_eq!(harness.outcomes(), [(2, StartOutcome::Answered)]);
    assert!(harness.is_empty());
}

#[test]
fn a_waiting_caller_does_not_wait_for_a_long_pause() {
    let mut harness = QueueHarness::new();
    harness.start(1, "alice", "p", UntilCancelled);
    for _ in 0..4 {
        harness.answer(&REFUSED);
        harness.advance_to_due();
    }
    harness.start(9, "bob", "p", TwoAttempts);
    harness.in_flight.rotate_left(1);
    harness.answer(&OK);
    harness.answer(&REFUSED);
    harness.outcomes();
    harness.start(2, "alice", "p", TwoAttempts);
    assert_eq!(harness.in_flight.len(), 1, "at once");
    harness.answer(&REFUSED);
    assert!(harness.advance_to_due() <= ms(4_375));
    harness.answer(&REFUSED);
    assert_eq!(
        harness.outcomes(),
        [failed(2, "the app's server has refused the request")]
    );
    assert!(
        harness.advance_to_due() > ms(30_000),
        "the other one goes on"
    );
    harness.answer(&OK);
    assert_eq!(harness.outcomes(), [(1, StartOutcome::Answered)]);
}

#[test]
fn too_many_that_wait_for_one_request_are_refused() {
    let mut harness = QueueHarness::new();
    for number in 0..17 {
        harness.start(number, "alice", "p", UntilCancelled);
    }
    assert_eq!(
        harness.outcomes(),
        [failed(16, "the queue of webhooks is full")]
    );
}

#[test]
fn a_stop_ends_a_start_and_a_start_ends_a_stop_that_waits() {
    let mut harness = QueueHarness::new();
    harness.start(1, "alice", "p", UntilCancelled);
    harness.stop("alice", "p");
    assert_eq!(harness.outcomes(), [failed(1, "the app was stopped")]);
    assert_eq!(harness.in_flight.len(), 1, "one at a time, in order");
    harness.answer(&OK);
    let stop = harness.in_flight.front().expect("the stop").clone();
    assert_eq!(stop.action, WebhookAction::Stop(StopReason::UserDisabled));
    // It is under way: the next webhook waits for it, and it gets no second attempt.
    harness.start(2, "alice", "p", TwoAttempts);
    assert_eq!(harness.in_flight.len(), 1);
    harness.answer(&REFUSED);
    assert_eq!(harness.answer(&OK).action, WebhookAction::Start);
    assert_eq!(harness.outcomes(), [(2, StartOutcome::Answered)]);
    // A stop that waits for its second attempt is no longer wanted.
    harness.stop("alice", "p");
    harness.answer(&REFUSED);
    harness.start(3, "alice", "p", TwoAttempts);
    assert_eq!(harness.answer(&OK).action, WebhookAction::Start);
    assert!(harness.is_empty());
    // A stop alone has two attempts.
    harness.stop("alice", "p");
    harness.answer(&REFUSED);
    harness.advance_to_due();
    harness.answer(&REFUSED);
    assert!(harness.is_empty());
}
