//! The rules on virtual time: which webhook goes when, and who is told what.

use super::breaker::LEAST_PAUSE;
use super::queue::{App, IN_FLIGHT, IN_FLIGHT_PER_APP, Kind, Post, Queue};
use super::stats::{WebhookResult, WebhookType};
use crate::gateway::{Outcome, Patience, StopReason};
use crate::side::outgoing::Reply;
use crate::time::Micros;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use Patience::{Once, Persistent};

const OK: Reply = Reply::Answered(200);
const REFUSED: Reply = Reply::Refused(503);

/// The queue, its clock, and the requests that are under way.
struct Bench {
    queue: Queue,
    now: Micros,
    under_way: VecDeque<Post>,
    told: Vec<(u64, Outcome)>,
}

impl Bench {
    fn new() -> Self {
        Bench::with_seed(1)
    }

    fn with_seed(seed: u64) -> Self {
        Bench {
            queue: Queue::new(fastrand::Rng::with_seed(seed)),
            now: Micros::from_secs(1_000),
            under_way: VecDeque::new(),
            told: Vec::new(),
        }
    }

    fn start(&mut self, number: u64, user: &str, package: &str, patience: Patience) {
        let app = app(user, package);
        self.queue
            .start(self.now, number, app, patience, Micros::ZERO);
        self.turn();
    }

    fn stop(&mut self, user: &str, package: &str) {
        let app = app(user, package);
        self.queue.stop(self.now, app, StopReason::UserDisabled);
        self.turn();
    }

    fn cancel(&mut self, number: u64) {
        self.queue.cancel(self.now, number);
        self.turn();
    }

    fn turn(&mut self) {
        self.queue.turn(self.now);
        while let Some(post) = self.queue.next_post(self.now) {
            self.under_way.push_back(post);
        }
        self.told.append(&mut self.queue.take_outcomes());
    }

    /// The oldest request comes back.
    fn answer(&mut self, reply: &Reply) -> Post {
        let post = self.under_way.pop_front().expect("a request");
        self.queue.done(self.now, &post, reply);
        self.turn();
        post
    }

    fn pass(&mut self, span: Micros) {
        self.now += span;
        self.turn();
    }

    /// To the next thing that is due. How long that was.
    fn pass_to_due(&mut self) -> Micros {
        let due = self.queue.due().expect("something due");
        let span = due - self.now;
        self.pass(span);
        span
    }

    /// What was told since the last time, but for pauses.
    fn told(&mut self) -> Vec<(u64, Outcome)> {
        let told = std::mem::take(&mut self.told).into_iter();
        told.filter(|(_, outcome)| !matches!(outcome, Outcome::Again { .. }))
            .collect()
    }

    /// The pauses that were told since the last time; nothing else was.
    fn pauses(&mut self) -> Vec<(u64, Micros)> {
        let told = std::mem::take(&mut self.told).into_iter();
        told.map(|(number, outcome)| match outcome {
            Outcome::Again { after } => (number, after),
            Outcome::Answered | Outcome::Cancelled | Outcome::Failed(_) => {
                panic!("{number}: {outcome:?}")
            }
        })
        .collect()
    }

    fn count(&self, kind: WebhookType, result: WebhookResult) -> u64 {
        self.queue.stats(self.now).counts.get(kind, result)
    }

    /// Five attempts in a row fail.
    fn break_down(&mut self, package: &str) {
        for n in 0..5 {
            let number = 1_000_000 + n;
            self.start(number, &format!("breaker{n}"), package, Persistent);
            self.answer(&REFUSED);
            self.cancel(number);
            assert_eq!(self.told(), [(number, Outcome::Cancelled)]);
        }
        assert_eq!(self.queue.stats(self.now).breakers_open, 1);
    }

    fn is_empty(&self) -> bool {
        let stats = self.queue.stats(self.now);
        (stats.waiting, stats.in_flight) == (0, 0)
    }
}

fn app<'a>(user: &'a str, package: &'a str) -> App<'a> {
    App {
        user,
        package,
        url: "http://127.0.0.1:1/webhook",
    }
}

fn failed(number: u64, why: &str) -> (u64, Outcome) {
    (number, Outcome::Failed(why.into()))
}

fn ms(ms: u64) -> Micros {
    Micros::from_millis(ms)
}

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
fn whoever_has_no_patience_gets_two_attempts_a_second_apart() {
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

/// The SDK answers 500 when its app could not connect, and what is left of it tries once more within 2 s.
#[test]
fn after_500_the_next_attempt_waits_and_those_who_wait_are_told_how_long() {
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
        // Others succeed, so the breaker stays closed.
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
        (REFUSED, failed(1, "the app's server has refused")),
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
    // The answer to one that was cancelled under way is not taken for the answer to the next, which follows.
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
fn somebody_who_waits_does_not_wait_for_a_long_pause() {
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
    assert_eq!(bench.told(), [failed(2, "the app's server has refused")]);
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
    assert_eq!(bench.told(), [failed(16, "too many webhooks wait")]);
}

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
    // Without patience: at once. Others wait.
    bench.start(1, "alice", "p", Once);
    assert_eq!(bench.told(), [failed(1, "the app's server is down")]);
    bench.stop("alice", "p");
    let (kind, result) = (WebhookType::StopRequest, WebhookResult::BreakerOpen);
    assert_eq!(bench.count(kind, result), 1);
    for number in 2..5 {
        bench.start(number, &format!("user{number}"), "p", Persistent);
    }
    // And other apps are not concerned.
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
        "who comes now waits for it"
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
    // In the places of the first four there were others.
    let begun = IN_FLIGHT_PER_APP + 4;
    assert_eq!(bench.told().len(), 1_000 - begun);
    // Those that have begun come back, have their second attempt refused, and that is all.
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
    // Five apps with more than they may have: 64 places for 80.
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
    // It is under way: what follows waits for it, and it has no second attempt.
    bench.start(2, "alice", "p", Once);
    assert_eq!(bench.under_way.len(), 1);
    bench.answer(&REFUSED);
    assert_eq!(bench.answer(&OK).kind, Kind::Start);
    assert_eq!(bench.told(), [(2, Outcome::Answered)]);
    // A stop that waits for its second attempt is not wanted any more.
    bench.stop("alice", "p");
    bench.answer(&REFUSED);
    bench.start(3, "alice", "p", Once);
    assert_eq!(bench.answer(&OK).kind, Kind::Start);
    assert!(bench.is_empty());
    // Alone it has two.
    bench.stop("alice", "p");
    bench.answer(&REFUSED);
    bench.pass_to_due();
    bench.answer(&REFUSED);
    assert!(bench.is_empty());
}

/// Whatever happens: one request for each pair, the bounds hold, each start has one outcome, cancelled or not, and
/// nothing is left.
#[test]
fn whatever_happens_every_start_ends_and_nothing_is_left() {
    for seed in 0..300 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut bench = Bench::with_seed(seed);
        let (mut wanted, mut number) = (BTreeSet::new(), 0);
        let health = rng.u8(0..=10);
        for step in 0..600 {
            let (user, package) = (rng.u8(0..40).to_string(), rng.u8(0..4).to_string());
            match rng.u8(0..10) {
                0..4 => {
                    number += 1;
                    wanted.insert(number);
                    let patience = if rng.bool() { Once } else { Persistent };
                    let after = Micros::from_millis(rng.u64(0..2) * rng.u64(0..5_000));
                    let app = app(&user, &package);
                    bench.queue.start(bench.now, number, app, patience, after);
                    bench.turn();
                }
                4 => bench.stop(&user, &package),
                5 => {
                    bench.cancel(rng.u64(0..=number));
                }
                6 => bench.pass(Micros::from_millis(rng.u64(0..20_000))),
                _ if !bench.under_way.is_empty() => {
                    let any = rng.usize(0..bench.under_way.len());
                    bench.under_way.rotate_left(any);
                    let is_well = rng.u8(0..10) < health;
                    bench.answer(if is_well { &OK } else { &REFUSED });
                }
                _ => {}
            }
            for (number, _) in bench.told() {
                assert!(wanted.remove(&number), "seed {seed} step {step}: {number}");
            }
            let under_way = &bench.under_way;
            let pairs: BTreeSet<_> = under_way
                .iter()
                .map(|p| (p.key.package.clone(), p.key.user.clone()))
                .collect();
            assert_eq!(pairs.len(), under_way.len(), "seed {seed} step {step}");
            let stats = bench.queue.stats(bench.now);
            assert_eq!(stats.in_flight, under_way.len(), "seed {seed} step {step}");
            assert!(under_way.len() <= IN_FLIGHT);
        }
        // All servers are well again: everything comes to its end.
        for _ in 0..10_000 {
            match bench.under_way.is_empty() {
                false => {
                    bench.answer(&OK);
                }
                true if bench.queue.due().is_some() => {
                    bench.pass_to_due();
                }
                true => break,
            }
        }
        for (number, _) in bench.told() {
            assert!(wanted.remove(&number), "seed {seed}: {number}");
        }
        assert_eq!(wanted, BTreeSet::new(), "seed {seed}");
        assert!(bench.is_empty(), "seed {seed}");
        assert!(bench.queue.holds_nothing(), "seed {seed}");
    }
}
