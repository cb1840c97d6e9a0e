//! Work of one peer does not delay the heartbeats of others. Runs on virtual time, turn by turn.

pub mod host;
mod pausing;
mod shares;
mod slow_readers;
mod turns;
mod waiting_input;
