//! Random operations in any order.

use super::super::queue::IN_FLIGHT_MAX;
use super::queue_harness::{OK, QueueHarness, REFUSED, app};
use crate::base::time::Micros;
use crate::gateway::RetryPolicy::{TwoAttempts, UntilCancelled};
use std::collections::BTreeSet;

/// After any sequence of operations: one request at a time for each app of a user, the limits hold,
/// each start has one outcome, cancelled or not, and nothing is left.
#[test]
fn whatever_happens_every_start_ends_and_nothing_is_left() {
    for seed in 0..300 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut harness = QueueHarness::with_seed(seed);
        let (mut wanted, mut number) = (BTreeSet::new(), 0);
        let health = rng.u8(0..=10);
        for step in 0..600 {
            let (user, package) = (rng.u8(0..40).to_string(), rng.u8(0..4).to_string());
            match rng.u8(0..10) {
                0..4 => {
                    number += 1;
                    wanted.insert(number);
                    let retry = if rng.bool() {
                        TwoAttempts
                    } else {
                        UntilCancelled
                    };
                    let after = Micros::from_millis(rng.u64(0..2) * rng.u64(0..5_000));
                    let app = app(&user, &package);
                    harness.queue.start(harness.now, number, app, retry, after);
                    harness.advance();
                }
                4 => harness.stop(&user, &package),
                5 => {
                    harness.cancel(rng.u64(0..=number));
                }
                6 => harness.advance_time(Micros::from_millis(rng.u64(0..20_000))),
                _ if !harness.in_flight.is_empty() => {
                    let any = rng.usize(0..harness.in_flight.len());
                    harness.in_flight.rotate_left(any);
                    let is_well = rng.u8(0..10) < health;
                    harness.answer(if is_well { &OK } else { &REFUSED });
                }
                _ => {}
            }
            for (number, _) in harness.outcomes() {
                assert!(wanted.remove(&number), "seed {seed} step {step}: {number}");
            }
            let in_flight = &harness.in_flight;
            let users: BTreeSet<_> = in_flight
                .iter()
                .map(|p| (p.key.package.clone(), p.key.user.clone()))
                .collect();
            assert_eq!(users.len(), in_flight.len(), "seed {seed} step {step}");
            let stats = harness.queue.stats(harness.now);
            assert_eq!(stats.in_flight, in_flight.len(), "seed {seed} step {step}");
            assert!(in_flight.len() <= IN_FLIGHT_MAX);
        }
        // All servers are up again: every webhook ends.
        for _ in 0..10_000 {
            match harness.in_flight.is_empty() {
                false => {
                    harness.answer(&OK);
                }
                true if harness.queue.due().is_some() => {
                    harness.advance_to_due();
                }
                true => break,
            }
        }
        for (number, _) in harness.outcomes() {
            assert!(wanted.remove(&number), "seed {seed}: {number}");
        }
        assert_eq!(wanted, BTreeSet::new(), "seed {seed}");
        assert!(harness.is_empty(), "seed {seed}");
        assert!(harness.queue.is_clear(), "seed {seed}");
    }
}
