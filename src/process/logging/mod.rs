//! Logging without blocking: a bounded queue between the threads that log and the one thread that
//! writes to standard error.
//!
//! Standard error may be a pipe without a reader. A loop that wrote to it directly would block, and
//! all heartbeats would stop. So a line is only queued; if the queue is full, the line is dropped
//! and counted.

mod line;
mod logger;
mod queue;
#[cfg(test)]
mod tests;

pub(crate) use line::LogFormat;
pub(crate) use logger::init;
pub(crate) use queue::LogQueue;
