//! Tests the random models: each deliberate bug, switched on alone, must be caught.

use pulsegate::sabotage::{self, Bug};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};

thread_local! {
    /// Whether panics of this thread are expected, and not printed. Other tests run beside it.
    static EXPECTS_PANICS: Cell<bool> = const { Cell::new(false) };
}

/// Panics of this thread are expected from now on, and not printed.
fn be_quiet() {
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
}

#[test]
fn every_deliberate_bug_of_the_loop_is_caught() {
    assert_caught(&Bug::OF_THE_LOOP, |seed| {
        crate::simulation::run(seed, 1_500)
    });
}

#[test]
fn every_deliberate_bug_of_the_mailboxes_is_caught() {
    assert_caught(&Bug::OF_THE_MAIL, crate::mailbox::run);
}

#[test]
fn every_deliberate_bug_of_pulse_is_caught() {
    assert_caught(&Bug::OF_PULSE, crate::pulse_model::run);
}

#[test]
fn every_deliberate_bug_of_pulse_on_the_relay_is_caught() {
    assert_caught(&Bug::OF_RELAY_PULSE, |seed| {
        crate::pulse_peers::run(seed).map(drop)
    });
}

#[test]
fn every_deliberate_bug_of_sessions_is_caught() {
    // The bugs of the protocol itself are caught with the gateway, too.
    let bugs = [&Bug::OF_SESSIONS[..], &Bug::OF_PULSE].concat();
    assert_caught(&bugs, |seed| {
        crate::simulation::pulse_sessions::run(seed, 400)
    });
}

#[test]
fn every_deliberate_bug_of_the_relay_is_caught() {
    assert_caught(&Bug::OF_THE_RELAY, crate::fan_outs::run);
}

#[test]
fn every_deliberate_bug_of_links_is_caught() {
    let bugs = [&Bug::OF_THE_LINKS[..], &Bug::OF_LINKED_LIVES].concat();
    assert_caught(&bugs, |seed| crate::simulation::pairs::run(seed, 600));
}

#[test]
fn every_deliberate_bug_of_balancing_is_caught() {
    assert_caught(&Bug::OF_BALANCING, |seed| {
        crate::simulation::balancing::run(seed, 400)
    });
}

/// Asserts that each bug makes some seed fail. `tests/models/engine.rs`, `tests/models/pairs.rs`,
/// `tests/models/mail.rs` and `tests/models/sessions.rs` show that none fails without it.
#[track_caller]
fn assert_caught(bugs: &[Bug], run: impl Fn(u64) -> Result<(), String> + Sync) {
    let is_caught = |bug: Bug| {
        (0..64).any(|seed| {
            let run = || sabotage::with(bug, || run(seed));
            !matches!(catch_unwind(AssertUnwindSafe(run)), Ok(Ok(())))
        })
    };
    // A bug is switched on for one thread. Some take long to be caught, so the threads share them.
    let next = AtomicUsize::new(0);
    let work = || {
        be_quiet();
        let mut missed = Vec::new();
        while let Some(bug) = bugs.get(next.fetch_add(1, Ordering::Relaxed)) {
            if !is_caught(*bug) {
                missed.push(*bug);
            }
        }
        missed
    };
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let missed: Vec<Bug> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let missed = threads.into_iter().map(|t| t.join().expect("no panic"));
        missed.flatten().collect()
    });
    assert!(missed.is_empty(), "not caught: {missed:?}");
}
