//! The engine on virtual time, without a socket: what peers, hosts and time can do to a connection,
//! and what the loop does about it. Nothing here sleeps.

#[path = "../../benches/micro/pair_host.rs"]
mod bench_pairs;
#[path = "../support/dialer.rs"]
mod dialer;
#[path = "../support/echo.rs"]
mod echo;
#[cfg(feature = "gateway")]
#[path = "../support/fleet/mod.rs"]
mod fleet;
#[path = "../support/frames.rs"]
mod frames;
#[path = "../support/nets.rs"]
mod nets;
#[path = "../support/pairs.rs"]
mod pairs_host;
#[path = "../support/seeds.rs"]
mod seeds;
#[path = "../support/texts.rs"]
mod texts;
#[cfg(feature = "gateway")]
#[path = "../support/tokens.rs"]
mod tokens;

mod allocations;
mod bare;
mod bytes;
mod cadence;
mod calls;
mod capacity;
mod causes;
mod charges;
mod delivery;
mod dialing;
mod drain;
mod fairness;
mod foresight;
mod health;
mod http;
mod links;
mod memory;
#[cfg(feature = "gateway")]
mod outlook;
mod pairs;
mod parking;
mod phases;
mod protocol;
mod timeouts;
mod wheel;
