//! The engine on virtual time, without a socket: what peers, hosts and time can do to a connection,
//! and what the loop does about it.

#[path = "../support/echo.rs"]
mod echo;
#[cfg(feature = "gateway")]
#[path = "../support/fleet.rs"]
mod fleet;
#[cfg(feature = "gateway")]
#[path = "../support/tokens.rs"]
mod tokens;

mod allocations;
mod causes;
mod charges;
mod conformance;
mod delivery;
mod fairness;
mod faults;
mod health;
mod links;
#[cfg(feature = "gateway")]
mod outlook;
mod parking;
mod wheel;
