//! Clients spread over the upstreams of a route by the bridge, on virtual time: seeded random lives
//! of clients, upstreams, drains and reloads, and checks after each step.

mod world;

pub use world::run;
