//! Log lines without waiting: a bounded queue between the threads that log and the one thread that writes to standard
//! error.
//!
//! Standard error may be a pipe that nobody reads. A loop that wrote to it would stand still, and with it every heartbeat;
//! so a line is only put into a queue, and a full queue means that the line is dropped and counted.

mod line;
mod logger;
mod queue;
#[cfg(test)]
mod tests;

pub(crate) use line::LogFormat;
pub(crate) use logger::init;
pub(crate) use queue::LogQueue;
