//! Sessions that outlive their connections, as clients and services see them: the whole gateway on
//! virtual time.

#[path = "../support/fleet/mod.rs"]
mod fleet;
#[path = "../support/tokens.rs"]
mod tokens;

mod draining;
mod hinting;
mod holding;
mod opening;
mod refusing;
mod resuming;
mod rig;
