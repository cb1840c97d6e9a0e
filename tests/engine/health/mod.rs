//! The health of a connection: tables to read, and a specification to compare with.
//!
//! All times are virtual. A failure names its seed; `SEED=n cargo test --all-features --test engine
//! health` runs that one alone.

mod against_the_story;
mod blocked_output;
mod ghosts;
mod late;
mod life;
mod new_policy;
mod peer;
mod pings;
mod policies;
mod silence;
mod story;
mod text_beats;
