//! Every rule on invented looks with a virtual clock: it fires, is silent just below the threshold,
//! resolves, and does not flap.

mod agents;
mod bench;
mod book;
mod deaths;
mod healthy;
mod limits;
mod names;
mod shares;
mod telling;
