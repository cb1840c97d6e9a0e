//! Is the simulation worth anything? Each deliberate bug, switched on alone, must be caught by it.

mod simulation;

use pulsegate::sabotage::{self, Bug};
use std::panic::{AssertUnwindSafe, catch_unwind};

#[test]
fn every_deliberate_bug_is_caught() {
    let quiet = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let missed: Vec<Bug> = Bug::ALL.into_iter().filter(|bug| !caught(*bug)).collect();
    std::panic::set_hook(quiet);
    assert!(missed.is_empty(), "not caught: {missed:?}");
}

/// Whether some seed fails with the bug; that none fails without it is shown by `tests/sim.rs`.
fn caught(bug: Bug) -> bool {
    (0..48).any(|seed| {
        let run = || sabotage::with(bug, || simulation::run(seed, 1_500));
        !matches!(catch_unwind(AssertUnwindSafe(run)), Ok(Ok(())))
    })
}
