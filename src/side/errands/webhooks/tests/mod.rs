//! The webhook rules on virtual time: when each webhook is sent, and which outcomes are reported.

mod attempts;
mod bench;
mod servers;
mod whatever;
