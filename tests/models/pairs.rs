//! Dials and linked pairs under many random lives, on virtual time. See
//! `tests/models/simulation/pairs/`.
//!
//! `SIM_SEEDS` and `SIM_STEPS` ask for more; `SIM_SEED` replays one.

use crate::engine::run_seeds;

#[test]
fn every_promise_holds_in_every_life_of_a_pair() {
    run_seeds("pairs", 128, 600, crate::simulation::pairs::run);
}

/// Lives that found faults: two peers that were lost inside long frames to each other; an answer to
/// a close that came when the partner had ended. Then one that came after the close timeout, and a
/// kick of a client that had ended its stream while it was not read.
#[test]
fn lives_that_have_found_faults_keep_the_promises() {
    for seed in [346, 743, 696, 4_163] {
        let kept = crate::simulation::pairs::run(seed, 600);
        assert_eq!(kept, Ok(()), "seed {seed}");
    }
}
