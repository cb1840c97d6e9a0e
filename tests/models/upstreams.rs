//! The upstreams of a route under many random lives, on virtual time. See
//! `tests/models/simulation/balancing/`.
//!
//! `SIM_SEEDS` and `SIM_STEPS` ask for more; `SIM_SEED` replays one.

use crate::engine::run_seeds;

#[test]
fn every_promise_holds_in_every_life_of_a_route() {
    run_seeds("upstreams", 128, 400, crate::simulation::balancing::run);
}
