//! The webhook rules on virtual time: when each webhook is sent, and which outcomes are reported.

mod attempts;
mod queue_harness;
mod random_operations;
mod servers;
