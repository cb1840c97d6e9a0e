//! Sessions compared with a model: random joins, losses, returns, stops and graces on virtual time.
//! The promises of the relay are checked for each frame. There is at most one pair of glasses and
//! one app of a package at a time, and every wait ends.

mod accounts;
mod frames;
mod lives;
mod peers;
