//! Tests the random models: each deliberate bug, switched on alone, must be caught.

use pulsegate::sabotage::{self, Bug};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

thread_local! {
    /// Whether panics of this thread are expected, and not printed. Other tests run beside it.
    static EXPECTS_PANICS: Cell<bool> = const { Cell::new(false) };
}

/// Runs `f` on this thread. Panics are expected, and not printed.
fn quietly<T>(f: impl FnOnce() -> T) -> T {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let print = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !EXPECTS_PANICS.get() {
                print(info);
            }
        }));
    });
    EXPECTS_PANICS.set(true);
    let result = f();
    EXPECTS_PANICS.set(false);
    result
}

#[test]
fn every_deliberate_bug_is_caught() {
    let missed = quietly(|| {
        let of_the_loop = Bug::OF_THE_LOOP.into_iter();
        let mut missed: Vec<Bug> = of_the_loop
            .filter(|bug| !caught(*bug, |seed| crate::simulation::run(seed, 1_500)))
            .collect();
        let of_the_mail = Bug::OF_THE_MAIL.into_iter();
        missed.extend(of_the_mail.filter(|bug| !caught(*bug, crate::mailbox::run)));
        let of_the_relay = Bug::OF_THE_RELAY.into_iter();
        missed.extend(of_the_relay.filter(|bug| !caught(*bug, crate::fan_outs::run)));
        missed
    });
    assert!(missed.is_empty(), "not caught: {missed:?}");
}

#[test]
fn every_deliberate_bug_of_links_is_caught() {
    let missed: Vec<Bug> = quietly(|| {
        let bugs = Bug::OF_THE_LINKS.into_iter().chain(Bug::OF_LINKED_LIVES);
        bugs.filter(|bug| !caught(*bug, |seed| crate::simulation::pairs::run(seed, 600)))
            .collect()
    });
    assert!(missed.is_empty(), "not caught: {missed:?}");
}

/// Returns whether some seed fails with the bug. `tests/models/engine.rs`, `tests/models/pairs.rs`,
/// `tests/models/mail.rs` and `tests/models/sessions.rs` show that none fails without it.
fn caught(bug: Bug, run: impl Fn(u64) -> Result<(), String>) -> bool {
    (0..48).any(|seed| {
        let run = || sabotage::with(bug, || run(seed));
        !matches!(catch_unwind(AssertUnwindSafe(run)), Ok(Ok(())))
    })
}
