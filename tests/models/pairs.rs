//! Dials and linked pairs under many random lives, on virtual time. See
//! `tests/models/simulation/pairs/`.
//!
//! `SIM_SEEDS` and `SIM_STEPS` ask for more; `SIM_SEED` replays one.

use crate::engine::run_seeds;

#[test]
fn every_promise_holds_in_every_life_of_a_pair() {
    run_seeds("pairs", 128, 600, crate::simulation::pairs::run);
}
