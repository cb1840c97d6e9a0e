//! Linked pairs on real sockets.

mod both_ways;
mod closes;
mod losses;
mod refusals;
mod rows;
