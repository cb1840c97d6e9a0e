//! Tests the random models: each deliberate bug, switched on alone, must be caught.

mod mailbox;
mod relaying;
mod simulation;

use pulsegate::sabotage::{self, Bug};
use std::panic::{AssertUnwindSafe, catch_unwind};

#[test]
fn every_deliberate_bug_is_caught() {
    let quiet = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let of_the_loop = Bug::OF_THE_LOOP.into_iter();
    let mut missed: Vec<Bug> = of_the_loop
        .filter(|bug| !caught(*bug, |seed| simulation::run(seed, 1_500)))
        .collect();
    let of_the_mail = Bug::OF_THE_MAIL.into_iter();
    missed.extend(of_the_mail.filter(|bug| !caught(*bug, mailbox::run)));
    let of_the_relay = Bug::OF_THE_RELAY.into_iter();
    missed.extend(of_the_relay.filter(|bug| !caught(*bug, relaying::fan_outs::run)));
    std::panic::set_hook(quiet);
    assert!(missed.is_empty(), "not caught: {missed:?}");
}

/// Returns whether some seed fails with the bug. `tests/sim.rs`, `tests/mail.rs` and
/// `tests/relay_model.rs` show that none fails without it.
fn caught(bug: Bug, run: impl Fn(u64) -> Result<(), String>) -> bool {
    (0..48).any(|seed| {
        let run = || sabotage::with(bug, || run(seed));
        !matches!(catch_unwind(AssertUnwindSafe(run)), Ok(Ok(())))
    })
}
