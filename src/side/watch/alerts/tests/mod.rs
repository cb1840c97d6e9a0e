//! Every rule on looks that a test makes up, on a clock of its own: it fires, is silent just below, resolves, and does not flap.

mod agents;
mod bench;
mod book;
mod deaths;
mod healthy;
mod limits;
mod names;
mod shares;
mod telling;
