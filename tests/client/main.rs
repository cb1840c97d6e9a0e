//! The Rust client of pulse: its vectors, and its life on virtual time.

mod cuts;
mod ends;
mod liveness;
mod many;
mod own_loop;
mod reports;
mod rig;
mod sessions;
mod storms;
mod vectors;
