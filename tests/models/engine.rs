//! The engine under many random histories, on virtual time. See `tests/models/simulation/`.
//!
//! `SIM_SEEDS` and `SIM_STEPS` ask for more; `SIM_SEED` replays one.

use std::sync::atomic::{AtomicU64, Ordering};

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Runs a simulation with many seeds, or with the one that `SIM_SEED` names. `name` is that of its
/// test, for replays.
pub fn run_seeds(
    name: &str,
    seeds: u64,
    steps: usize,
    run: impl Fn(u64, usize) -> Result<(), String> + Sync,
) {
    let steps = number("SIM_STEPS").map_or(steps, |steps| steps as usize);
    if let Some(seed) = number("SIM_SEED") {
        return run(seed, steps).unwrap_or_else(|e| panic!("{e}"));
    }
    let (seeds, next) = (number("SIM_SEEDS").unwrap_or(seeds), AtomicU64::new(0));
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds {
                return;
            }
            run(seed, steps).unwrap_or_else(|e| {
                panic!(
                    "{e}\nreplay: SIM_SEED={seed} cargo test --all-features --test models {name}"
                )
            });
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
}

#[test]
fn every_promise_holds_in_every_life() {
    run_seeds("engine", 256, 3_000, crate::simulation::run);
}
