//! The bridge: a service that we write by hand, clients that we write by hand, and the gateway
//! between them.

mod addresses;
mod answers;
mod balancing;
mod client_limits;
mod client_reports;
mod closes;
mod crowding;
mod edges;
mod events;
mod failures;
mod faults;
mod health;
pub mod identities;
pub mod legs;
mod losses;
mod operators;
mod pair_lines;
mod pair_queries;
mod pulse_settings;
mod refusing;
mod requests;
mod route_reloads;
mod routes;
mod session_records;
mod watching;
