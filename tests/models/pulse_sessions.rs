//! Sessions that outlive their connections under many random lives, on virtual time. See
//! `tests/models/simulation/pulse_sessions/`.
//!
//! `SIM_SEEDS` and `SIM_STEPS` ask for more; `SIM_SEED` replays one. A million steps:
//! `SIM_SEEDS=2000 SIM_STEPS=500`.

use crate::engine::run_seeds;
use crate::simulation::pulse_sessions::{Tally, run_counted};
use std::sync::Mutex;

#[test]
fn every_promise_holds_in_every_life_of_a_session() {
    let sum = Mutex::new(Tally::default());
    run_seeds("pulse_sessions", 48, 400, |seed, steps| {
        let tally = run_counted(seed, steps)?;
        sum.lock().expect("no panic").add(&tally);
        Ok(())
    });
    let tally = sum.into_inner().expect("no panic");
    println!("{tally:?}");
    // A run in which too little happens proves nothing. A replay is only one life.
    if std::env::var_os("SIM_SEED").is_some() {
        return;
    }
    assert!(
        tally.cuts_with_unacknowledged_up * 2 >= tally.cuts,
        "{tally:?}"
    );
    assert!(
        tally.cuts_with_unacknowledged_down * 2 >= tally.cuts,
        "{tally:?}"
    );
    for (what, count) in [
        ("resumed", tally.resumed),
        ("taken over", tally.taken_over),
        ("reset", tally.reset),
        ("refused", tally.refused),
        ("ends", tally.ends),
        ("holds expired", tally.holds_expired),
        ("holds full", tally.holds_full),
        ("holds crowded", tally.holds_crowded),
        ("holds shed", tally.holds_shed),
        ("not held", tally.not_held),
        ("drains", tally.drains),
    ] {
        assert!(count > 0, "{what}: {tally:?}");
    }
}
