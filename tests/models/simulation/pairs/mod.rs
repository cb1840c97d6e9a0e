//! Clients linked to a service by the bridge, on virtual time: seeded random lives of pairs, a
//! model of what each peer has said, and checks of what the other one has heard after each step.

mod ends;
mod hearing;
mod liveness;
mod opening;
mod planned;
mod side;
mod speaking;
mod turning_points;
mod world;

pub use world::run;
