//! Random operations in any order.

use super::super::queue::IN_FLIGHT;
use super::bench::{Bench, OK, REFUSED, app};
use crate::base::time::Micros;
use crate::gateway::Patience::{Once, Persistent};
use std::collections::BTreeSet;

/// After any sequence of operations: one request at a time for each pair, the limits hold, each
/// start has one outcome, cancelled or not, and nothing is left.
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
        // All servers are up again: every job ends.
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
